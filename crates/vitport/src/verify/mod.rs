//! The fifth step: both networks run on a picture, and everything that could differ is held against each other.
//!
//! The source network runs from the source file, in its own layout, by its own definition, on pixels prepared as the source
//! prepares them. The target network runs from the written folder: its `config.json`, its weights, its
//! `preprocessor_config.json`, as transformers would. They share kernels and nothing else. Beside the outputs the weights
//! are compared bit by bit and the facts that no output shows one by one.

mod classify;
mod difference;
mod effects;
mod facts;
mod hash;
mod layers;
pub mod page;
mod picture;
mod pixels;
mod report;
mod rounded;
mod tensors;
mod weigh;
mod weights;

pub use classify::Classifier;
pub use difference::{Arithmetic, Difference};
pub use facts::FactCheck;
pub use hash::Hashing;
pub use picture::Picture;
pub use report::{
    Accounts, CastReport, Comparison, Guess, HashedFile, KnownDeviation, PictureReport, Probabilities,
    Report, SCHEMA, SourceReport, Timings, Verdict, top5,
};
pub use tensors::{Odd, Weights};
pub use weigh::{accounts, weigh, weigh_hashed};
pub use weights::SourceWeights;

use crate::folder;
use crate::image::ImageError;
use crate::nn::ForwardError;

/// Why a conversion could not be weighed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A file cannot be read.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A network cannot be run.
    #[error("the {side} network: {error}")]
    Forward {
        /// `source` or `target`.
        side: &'static str,
        /// Why.
        error: ForwardError,
    },
    /// The mapping's places to compare cannot be made out.
    #[error("the mapping's [compare] cannot be used: {0}")]
    Mapping(String),
    /// The picture cannot be prepared.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The picture's file cannot be read or decoded.
    #[error("{}: {reason}", vitport_checkpoint::escape(.path))]
    Picture {
        /// The file.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The folder holds a model that cannot be run here.
    #[error("{}: {reason}; give a folder of a class that vitport runs", vitport_checkpoint::escape(.folder))]
    NotRunnable {
        /// The folder.
        folder: String,
        /// What it holds.
        reason: String,
    },
    /// A file of the source cannot be hashed.
    #[error("{}: {error}", vitport_checkpoint::escape(.path))]
    Hash {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}
