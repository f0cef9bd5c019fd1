//! Why the facts of a model cannot be had, or no target holds it.

use std::path::PathBuf;

use vitport_checkpoint::escape;

use super::fact::{Fact, Facts, Origin};
use super::question::Question;

/// Describes two statements about the same model that cannot both be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// Names the fact that they are about, or the option.
    pub about: String,
    /// Names both of them, and what to do.
    pub sentence: String,
}

impl Contradiction {
    /// Returns that an option does not fit the file.
    pub(crate) fn of_option(option: &str, reason: &str) -> Self {
        let name = option.split_whitespace().next().unwrap_or(option);
        Self {
            about: name.trim_start_matches('-').replace('-', "_"),
            sentence: format!("{option} does not fit the file: {reason}"),
        }
    }

    /// Returns the contradiction between two values of one fact.
    pub(crate) fn between(one: &Fact, other: &Fact) -> Self {
        let (first, second) = match (&one.origin, &other.origin) {
            (_, Origin::Option(_)) | (Origin::Weights(_), _) => (other, one),
            _ => (one, other),
        };
        match &first.origin {
            Origin::Option(option) => Self::of_option(
                &format!("{option} {}", first.shown()),
                &format!(
                    "{} is {} according to {}; leave {} out, or correct the source",
                    second.name,
                    second.shown(),
                    second.origin,
                    option.split_whitespace().next().unwrap_or(option)
                ),
            ),
            _ => Self {
                about: first.name.to_owned(),
                sentence: format!(
                    "{} is {} according to {}, but {} according to {}; correct or remove whichever is wrong",
                    first.name,
                    first.shown(),
                    first.origin,
                    second.shown(),
                    second.origin
                ),
            },
        }
    }
}

/// Says why a source is not known, or nothing holds it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactError {
    /// Means that no definition has these tensors.
    #[error("{}: its tensors ({}) fit no family that vitport knows ({known}); `vitport inspect` shows what the file holds", escape(.file), escape(.sample))]
    Unknown {
        /// Names the file.
        file: String,
        /// Lists some of its names.
        sample: String,
        /// Says what is known.
        known: String,
    },
    /// Means that no registry has the name.
    #[error("`{}` is not an architecture that vitport knows{suggestion}; `vitport models` lists them", escape(.name))]
    UnknownName {
        /// Gives the name.
        name: String,
        /// Holds ` (did you mean …?)`, or nothing.
        suggestion: String,
    },
    /// Means that the model is understood, but no class of the target framework holds it, or no mapping to one is there yet.
    #[error("{what} cannot be converted: {why}{}; {instead}", .tensor.as_ref().map(|t| format!(" (detected by {})", escape(t))).unwrap_or_default())]
    NoTarget {
        /// Says what it is.
        what: String,
        /// Says why the target cannot hold it.
        why: String,
        /// Names the tensor or key that shows it.
        tensor: Option<String>,
        /// Says what could hold it, or what to do.
        instead: String,
    },
    /// Means that something is not known.
    #[error("{}", .open.iter().map(ToString::to_string).collect::<Vec<_>>().join("; and "))]
    Questions {
        /// Asks it, all at once.
        open: Vec<Question>,
        /// Lists what is known.
        known: Facts,
    },
    /// Means that two statements disagree.
    #[error("{}", .0.sentence)]
    Contradiction(Contradiction),
    /// Means that a tensor of the network is missing or has a shape that no network of the family has.
    #[error("the tensor {} does not fit this {family}: {reason}; check that the file holds the whole state dict", escape(.tensor))]
    Misshapen {
        /// Names the tensor.
        tensor: String,
        /// Names the family.
        family: &'static str,
        /// Says what is wrong.
        reason: String,
    },
    /// Means that the source declares more than a limit allows.
    #[error("{what}")]
    Limit {
        /// Says what is too large, what the limit is, and what to do.
        what: String,
    },
    /// Means that the `config.json` next to the weights is not one that a framework writes.
    #[error("{}: {reason}; correct or remove it", escape(&.path.display().to_string()))]
    Config {
        /// Names the file.
        path: PathBuf,
        /// Says what is wrong with it.
        reason: String,
    },
    /// Means that the source states something that its own framework does not accept.
    #[error("{}: {reason}; correct or remove it", escape(.place))]
    Impossible {
        /// Says where it is stated: `config.json: model_args.num_heads`.
        place: String,
        /// Says what is wrong with it.
        reason: String,
    },
}

impl FactError {
    /// Returns a contradiction between an option and the file.
    pub(crate) fn contradiction(option: impl AsRef<str>, reason: impl AsRef<str>) -> Self {
        Self::Contradiction(Contradiction::of_option(option.as_ref(), reason.as_ref()))
    }

    /// Returns a refusal with what opens the model as it is, if that is known.
    pub(crate) fn or_else_by(mut self, opened_by: Option<&str>) -> Self {
        if let (Self::NoTarget { instead, .. }, Some(opened_by)) = (&mut self, opened_by) {
            instead.push_str("; ");
            instead.push_str(opened_by);
        }
        self
    }

    /// Returns a refusal with what shows that the source is such a network, if it does not say so already.
    pub(crate) fn detected_by(mut self, what: &str) -> Self {
        if let Self::NoTarget { tensor: tensor @ None, .. } = &mut self {
            *tensor = Some(what.to_owned());
        }
        self
    }

    /// Returns that no registry has a name, and which are near it.
    pub(crate) fn unknown_name(name: &str, near: &[String]) -> Self {
        let suggestion = match near {
            [] => String::new(),
            names => format!(" (did you mean {}?)", names.join(", ")),
        };
        Self::UnknownName { name: name.to_owned(), suggestion }
    }

    /// Returns that something is not known, from one who does not know the rest.
    pub(crate) fn questions(open: Vec<Question>) -> Self {
        Self::Questions { open, known: Facts::default() }
    }
}

impl From<Contradiction> for FactError {
    fn from(contradiction: Contradiction) -> Self {
        Self::Contradiction(contradiction)
    }
}
