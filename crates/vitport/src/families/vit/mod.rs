//! The vision transformer: timm's on the source side, transformers' on the target side.

pub mod forward_timm;
pub mod forward_transformers;
