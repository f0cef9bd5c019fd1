//! One folder for each family of networks.

pub mod cvt;
pub mod vit;
