//! Carries a vision model from the framework it was trained in to the one it will be used in.

#[cfg(feature = "hub")]
pub mod hub;
pub mod image;
pub mod nn;
