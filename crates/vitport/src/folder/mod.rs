//! The transformers folder on disk: which files it has, how the weights get into them, how it appears under its name in
//! one step, and how one that exists is opened again.
//!
//! Nothing here knows a family.
//! [`publish::Staging`] makes the place and [`json`] writes the documents.

pub mod error;
pub mod json;
mod occupant;
pub mod publish;
mod stale;

pub use error::{Class, Error, Result};
