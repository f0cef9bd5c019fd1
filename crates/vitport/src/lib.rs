//! Carries a vision model from the framework it was trained in to the one it will be used in, and proves that it is still
//! the same model.
//!
//! Data takes five steps, in one direction: [`source`] opens a checkpoint, [`identify`] finds out what it is, [`rules`]
//! plan where every tensor goes, [`folder`] carries the bytes, and [`verify`] runs both networks and compares. [`convert`]
//! is the first four. [`families`] holds all that is known of one kind of network.
//!
//! The library prints nothing, reads no environment variable and never exits; `vitport-cli` does.

pub mod card;
pub mod catalogue;
pub mod convert;
pub mod families;
pub mod folder;
pub mod frameworks;
pub mod front_matter;
#[cfg(feature = "hub")]
pub mod hub;
pub mod identify;
pub mod image;
pub mod labels;
pub mod license;
pub mod plan;
pub mod preprocessing;
pub mod rules;
pub mod source;
pub mod state_dict;
pub mod verify;
pub mod zoo;

pub use vitport_nn as nn;
