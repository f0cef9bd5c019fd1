//! Does arithmetic on float32: products, normalisation, attention, convolutions, activations. Nothing here knows what a tensor
//! is called; [`crate::modules`] does.

pub mod activation;
pub mod affine;
pub mod attention;
pub mod convolution;
pub mod depthwise;
mod elementary;
pub mod layer_norm;
pub mod linear;
mod panel;
pub mod pool;
mod product;
mod tile;
mod transpose;
mod view;
