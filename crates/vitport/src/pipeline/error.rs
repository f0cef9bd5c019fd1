//! Why a conversion fails.

use crate::facts::FactError;
use crate::folder;
use crate::labels::LabelError;
use crate::mapping::{MappingError, Problems};
use crate::preprocessing::NoProcessor;
use crate::source::SourceError;

/// Why a conversion could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source is not known, has no target, or is undecided.
    #[error(transparent)]
    Facts(#[from] FactError),
    /// The source's preprocessing cannot be expressed.
    #[error(transparent)]
    Processor(#[from] NoProcessor),
    /// Labels cannot be read or do not fit.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// The mapping file cannot be used.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// The rules do not account for the tensors.
    #[error("{}: {problems}", vitport_checkpoint::escape(.file))]
    Unaccounted {
        /// The source.
        file: String,
        /// Everything that is wrong.
        problems: Problems,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Folder(#[from] folder::Error),
}
