//! The fifth step: both networks run on an image, and everything that could differ is compared with each other.
//!
//! The source network runs from the source file, in its own layout, by its own definition, on pixels prepared as the source
//! prepares them. The target network runs from the written folder: its `config.json`, its weights, its
//! `preprocessor_config.json`, as transformers would. They share kernels and nothing else. Next to the outputs the weights
//! are compared bit by bit and the facts that no output shows one by one.

mod classify;
mod difference;
mod effects;
mod facts;
mod hash;
mod layers;
mod magnitude;
pub mod overview;
pub mod page;
mod pixels;
mod probabilities;
mod progress;
mod recognise;
mod report;
mod rounded;
mod run;
mod tensors;
mod test_image;
mod warnings;
mod weights;

pub use classify::Classifier;
pub use difference::{Arithmetic, Difference, NotFinite};
pub(crate) use effects::in_config;
pub use facts::FactCheck;
pub use hash::Hashing;
pub use magnitude::shown_difference;
pub use pixels::CROP_ROUNDING;
pub use probabilities::{Guess, Probabilities, top};
pub use progress::VerifyStep;
pub use recognise::is_report;
pub use report::{
    CastReport, Comparison, HashedFile, ImageReport, KnownDeviation, NamedDeviation, Report, Run, SCHEMA,
    SourceReport, TensorCounts, Timings, Verdict,
};
pub use run::{compare, tensor_counts};
pub use tensors::{TensorMismatch, WeightsComparison};
pub use test_image::TestImage;
pub use warnings::warnings;
pub use weights::SourceWeights;

use crate::folder;
use crate::image::ImageError;
use crate::nn::ForwardError;

/// Says why a conversion could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Reports a file that cannot be read.
    #[error(transparent)]
    Folder(#[from] folder::FolderError),
    /// Reports a folder whose documents or weights cannot be read as transformers reads them.
    #[error("the folder is not verified: {0}")]
    NotVerified(folder::FolderError),
    /// Reports a network that cannot be run.
    #[error("the {side} network: {error}")]
    Forward {
        /// Is `source` or `target`.
        side: &'static str,
        /// Says why.
        error: ForwardError,
    },
    /// Reports places to compare of the mapping that cannot be made out.
    #[error("the mapping's [compare] cannot be used: {0}")]
    Mapping(String),
    /// Reports an image that cannot be prepared.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Reports an image's file that cannot be read or decoded.
    #[error("{}: {reason}", vitport_checkpoint::escape(.path))]
    ImageFile {
        /// Gives the file.
        path: String,
        /// Says why, and what to do.
        reason: String,
    },
    /// Reports a folder with a model that cannot be run here.
    #[error("{}: {reason}; give a folder of a class that vitport runs", vitport_checkpoint::escape(.folder))]
    NotRunnable {
        /// Gives the folder.
        folder: String,
        /// Says what it holds.
        reason: String,
    },
    /// Reports a network of the folder's that gives numbers of which nothing follows.
    #[error("{}: its logits are not all finite, so they give no probabilities; `vitport verify` says where that begins", vitport_checkpoint::escape(.folder))]
    NotFinite {
        /// Gives the folder.
        folder: String,
    },
    /// Reports a file of the source that cannot be hashed.
    #[error("{}: {error}", vitport_checkpoint::escape(.path))]
    Hash {
        /// Gives the file.
        path: String,
        /// Says why.
        error: std::io::Error,
    },
}
