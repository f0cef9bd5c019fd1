//! timm, PyTorch Image Models.

pub mod registry;
