//! Carries a vision model from the framework it was trained in to the one it will be used in.

pub mod families;
pub mod folder;
#[cfg(feature = "hub")]
pub mod hub;
pub mod image;
pub mod labels;
pub mod nn;
pub mod plan;
pub mod zoo;
