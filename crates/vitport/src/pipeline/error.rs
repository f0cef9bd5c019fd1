//! Why a conversion fails.

use crate::facts::FactError;
use crate::folder;
use crate::labels::LabelError;
use crate::mapping::{MappingError, Problems};
use crate::preprocessing::NoProcessor;
use crate::source::SourceError;

/// Says why a conversion could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Means that the source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Means that the source is not known, has no target, or is undecided.
    #[error(transparent)]
    Facts(#[from] FactError),
    /// Means that the source's preprocessing cannot be expressed.
    #[error(transparent)]
    Processor(#[from] NoProcessor),
    /// Means that labels cannot be read or do not fit.
    #[error(transparent)]
    Labels(#[from] LabelError),
    /// Means that the mapping file cannot be used.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// Means that the rules do not cover the tensors.
    #[error("{}: {problems}", vitport_checkpoint::escape(.file))]
    Unaccounted {
        /// Names the source.
        file: String,
        /// Lists everything that is wrong.
        problems: Problems,
    },
    /// Means that the folder cannot be written.
    #[error(transparent)]
    Folder(#[from] folder::FolderError),
}
