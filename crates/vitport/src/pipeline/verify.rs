//! Verifying a folder that is there, and which verdicts are accepted.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use vitport_checkpoint::open_regular;

use super::error::ConvertError;
use super::plan::{Request, plan};
use super::unheld::deviations_of;
use crate::frameworks::DESTINATIONS;
use crate::mapping::{self, Mapping};
use crate::model::Prepared;
use crate::options::FactOptions;
use crate::source::{MAX_CONFIG_BYTES, Source};
use crate::verify::{
    CROP_ROUNDING, Hashing, NamedDeviation, Report, TestImage, Verdict, VerifyError, VerifyStep, compare,
};

/// Says which verdicts are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acceptance<'a> {
    /// Says whether a known deviation is a failure.
    pub strict: bool,
    /// Names those that are accepted all the same.
    pub allow: &'a [String],
}

/// Returns the names of all known deviations, those of the request's own mapping with them.
pub fn deviation_names(request: &Request) -> BTreeSet<String> {
    let own = request.mapping.as_ref().and_then(|(file, text)| Mapping::parse(file, text).ok());
    let mappings = mapping::mappings().iter().chain(&own);
    let named = mappings.flat_map(|mapping| mapping.deviations()).map(|known| known.name().to_owned());
    named.chain([CROP_ROUNDING.to_owned()]).chain(DESTINATIONS.into_iter().flat_map(deviations_of)).collect()
}

/// Says why a verdict is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// Means that the two networks, or facts, disagree.
    #[error("the folder is not the same model as its source: {}", .reasons.join("; "))]
    Different {
        /// Lists one sentence each.
        reasons: Vec<String>,
    },
    /// Means that what was written of a folder for another framework is another model than the folder.
    #[error("{framework}'s network is not the same model as the folder: {}", .reasons.join("; "))]
    DifferentBack {
        /// Names the framework: `timm`.
        framework: String,
        /// Lists one sentence each.
        reasons: Vec<String>,
    },
    /// Means that numbers are not finite, so that nothing can be said.
    #[error("the folder cannot be compared with its source: {}", .reasons.join("; "))]
    NotComparable {
        /// Lists one sentence each.
        reasons: Vec<String>,
    },
    /// Means that there is a known deviation that is not accepted.
    #[error("{what}; --strict does not allow that without --allow {name}; {remedy}")]
    Deviation {
        /// Gives its name; those of several with commas between them.
        name: String,
        /// Says what deviates.
        what: String,
        /// Says what removes it.
        remedy: String,
    },
}

impl NotAccepted {
    /// Returns the same in the words of the way back, where what was written is what a report calls the source.
    pub(super) fn of_the_way_back(self, framework: &str) -> Self {
        match self {
            Self::Different { reasons } => Self::DifferentBack { framework: framework.to_owned(), reasons },
            other => other,
        }
    }
}

/// Returns a sentence about a source and a folder in the words of the way back, where a framework's network is what was written.
#[must_use]
pub fn of_the_way_back(sentence: &str, framework: &str) -> String {
    sentence.replace("the source", framework)
}

impl Acceptance<'_> {
    /// Returns whether a report's verdict is accepted.
    ///
    /// # Errors
    /// Returns why it is not.
    pub fn of(self, report: &Report) -> Result<(), NotAccepted> {
        match report.verdict {
            Verdict::Same => Ok(()),
            Verdict::SameWithKnownDeviation if !self.strict => Ok(()),
            Verdict::SameWithKnownDeviation => {
                let each = report.known_deviation.iter().flat_map(|deviation| &deviation.each);
                let refused: Vec<&NamedDeviation> =
                    each.filter(|known| !known.removed && !self.allow.contains(&known.name)).collect();
                if refused.is_empty() {
                    return Ok(());
                }
                let joined = |part: fn(&NamedDeviation) -> &str, by: &str| {
                    refused.iter().map(|known| part(known)).collect::<Vec<_>>().join(by)
                };
                Err(NotAccepted::Deviation {
                    name: joined(|known| &known.name, ","),
                    what: joined(|known| &known.what, "; and "),
                    remedy: joined(|known| &known.remedy, "; and "),
                })
            }
            Verdict::NotComparable => Err(NotAccepted::NotComparable { reasons: report.reasons.clone() }),
            Verdict::Different => Err(NotAccepted::Different { reasons: report.reasons.clone() }),
        }
    }
}

/// Plans the conversion that made a folder: to the class that the folder's `config.json` names, if the source can become it and the
/// request names none.
///
/// # Errors
/// Returns [`ConvertError`] as [`plan`] does.
pub fn plan_for(source: Source, request: &Request, folder: &Path) -> Result<Prepared, ConvertError> {
    let prepared = plan(source, request)?;
    if request.facts.target.is_some() {
        return Ok(prepared);
    }
    let found = class_of_folder(folder).filter(|class| {
        prepared.model.other_targets().any(|other| other.class == *class)
            && prepared.model.target_class().is_none_or(|target| target.class != *class)
    });
    match found {
        None => Ok(prepared),
        Some(class) => {
            let facts = FactOptions { target: Some(class), ..request.facts.clone() };
            plan(prepared.source, &Request { facts, ..request.clone() })
        }
    }
}

/// Returns the class that a folder's `config.json` names, if it can be read.
fn class_of_folder(folder: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = open_regular(&folder.join("config.json")).ok()?;
    file.take(MAX_CONFIG_BYTES).read_to_end(&mut bytes).ok()?;
    let config: Value = serde_json::from_slice(&bytes).ok()?;
    Some(config.get("architectures")?.get(0)?.as_str()?.to_owned())
}

/// Compares a folder with its source in everything: weights, config, image processor, and both networks layer by layer on an
/// image.
///
/// # Errors
/// Returns [`VerifyError`] if a file cannot be read or the source's network cannot be run. Disagreement is not an error but a
/// verdict.
pub fn verify(prepared: &Prepared, folder: &Path, image: &TestImage) -> Result<Report, VerifyError> {
    verify_watched(prepared, folder, image, &|_| {})
}

/// Does the same, and tells `progress` what is being done.
///
/// # Errors
/// As [`verify`].
pub fn verify_watched(
    prepared: &Prepared,
    folder: &Path,
    image: &TestImage,
    progress: &(dyn Fn(VerifyStep) + Sync),
) -> Result<Report, VerifyError> {
    compare(prepared, folder, image, Hashing::start(&prepared.source.checkpoint)?, progress)
}
