//! The convolutional vision transformer: Microsoft's on the source side, transformers' on the target side.

pub mod forward_microsoft;
pub mod forward_transformers;
