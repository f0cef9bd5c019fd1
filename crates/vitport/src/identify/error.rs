//! Why a model could not be identified: unknown, without a target, undecided, or contradictory.

use vitport_checkpoint::escape;

use crate::labels::LabelError;
use crate::preprocessing::NoProcessor;

/// Why a checkpoint cannot be named or has no place in transformers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// No family knows these tensors.
    #[error("{}: no family that vitport knows has these tensors ({}); known are {known}; `vitport inspect` shows what the file holds", escape(.file), escape(.sample))]
    Unknown {
        /// The file.
        file: String,
        /// Some of its names.
        sample: String,
        /// The families.
        known: String,
    },
    /// A name that no table has.
    #[error("`{}` is no architecture that vitport knows{suggestion}; `vitport models` lists them", escape(.name))]
    UnknownName {
        /// The name.
        name: String,
        /// ` (did you mean …?)`, or nothing.
        suggestion: String,
    },
    /// Understood, but the target framework has no class for it yet.
    #[error("{what} cannot be converted: {why}{}; {instead}", .tensor.as_ref().map(|t| format!(" (given away by {})", escape(t))).unwrap_or_default())]
    NoTarget {
        /// What it is.
        what: String,
        /// Why the target cannot hold it.
        why: String,
        /// The tensor that gave it away.
        tensor: Option<String>,
        /// What could hold it, or what to do.
        instead: String,
    },
    /// Several answers fit and nothing tells them apart.
    #[error("{question}: {candidates} fit; {option}")]
    Undecided {
        /// What is not known.
        question: String,
        /// What it could be.
        candidates: String,
        /// Which option decides it.
        option: String,
    },
    /// An option and the file contradict each other.
    #[error("{option} does not fit the file: {reason}")]
    Contradiction {
        /// The option as given.
        option: String,
        /// What the file says.
        reason: String,
    },
    /// A tensor of the network is missing or has a shape that no network of the family has.
    #[error("the tensor {} does not fit a {family}: {reason}; check that the file holds the whole state dict", escape(.tensor))]
    Misshapen {
        /// The tensor.
        tensor: String,
        /// The family.
        family: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The source's preprocessing cannot be expressed.
    #[error(transparent)]
    Processor(#[from] NoProcessor),
    /// Labels cannot be read or do not fit.
    #[error(transparent)]
    Labels(#[from] LabelError),
}

impl IdentifyError {
    /// Whether the command line, not the file, is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, IdentifyError::Contradiction { .. } | IdentifyError::Labels(_))
    }
}
