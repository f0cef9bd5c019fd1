//! The few float32 kernels that the forward passes need: products, normalisation, attention,
//! convolutions, activations. Batch size is one, tokens are rows, and the threads are rayon's.

mod activation;
mod attention;
mod convolution;
mod depthwise;
mod elementary;
mod error;
mod kernel;
mod layer_norm;
mod linear;
mod matrix;
mod panel;
mod product;
mod threads;
mod trace;
mod transpose;
mod view;
mod weights;

pub use activation::Activation;
pub use attention::{Heads, Projection, attention};
pub use convolution::{Convolution, Grid, Layout, Window};
pub use depthwise::{BATCH_NORM_EPS, DepthwiseConvolution};
pub use error::ForwardError;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use matrix::Matrix;
pub use threads::on_the_pool;
pub use trace::{Observer, Output, Stage};
pub use weights::{StateDict, Weights};
