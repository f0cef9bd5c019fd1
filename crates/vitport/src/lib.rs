//! Converts a vision model from the framework it was trained in to transformers, and verifies that it is still the same
//! model.
//!
//! Frameworks define networks ([`frameworks`]), mappings connect them ([`mapping`]), and everything else is machinery that
//! knows neither: [`source`] opens a checkpoint, [`facts`] holds what is known of the model, [`folder`] writes, [`verify`] runs
//! both networks and compares. [`pipeline`] has the steps in their order. `ARCHITECTURE.md` says where things are.
//!
//! The library prints nothing, reads no environment variable and never exits; `vitport-cli` does.

pub mod adapters;
pub mod attestation;
pub mod card;
pub mod catalogue;
pub mod diff;
pub mod facts;
pub mod finding;
pub mod folder;
pub mod frameworks;
pub mod front_matter;
#[cfg(feature = "hub")]
pub mod hub;
pub mod image;
pub mod labels;
pub mod license;
pub mod mapping;
pub mod model;
pub mod options;
pub mod pipeline;
pub mod plan;
pub mod preprocessing;
pub mod resampling;
pub mod source;
pub mod state_dict;
pub mod temporary;
pub mod training;
pub mod verify;

pub use vitport_nn as nn;
