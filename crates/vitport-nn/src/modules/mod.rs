//! Defines modules, named and defined as in PyTorch and timm. A module is made under a [`crate::Scope`], where it registers its
//! tensors, and computes with the weights of a [`crate::Context`]. Every number that decides what is computed is an argument of
//! its constructor: there are no defaults that a definition could forget to set.

mod attention;
mod attention_pool;
mod batch_norm;
mod conv2d;
mod depthwise_block;
mod depthwise_network;
mod depthwise_stage;
mod feature_map;
mod gated_mlp;
mod grn;
mod head;
mod layer_norm;
mod layer_scale;
mod linear;
mod mlp;
mod pool;
mod relative_position;
mod residual_block;
mod residual_network;
mod rms_norm;
mod rotation;
mod squeeze_excite;
mod tokens;

pub use attention::{Attention, Positions, Qkv, SelfAttention};
pub use attention_pool::{AttentionPool, PoolQkv};
pub use batch_norm::BatchNorm2d;
pub use conv2d::Conv2d;
pub use depthwise_block::{DepthwiseBlock, NormConv};
pub use depthwise_network::{DepthwiseNames, DepthwiseNetwork};
pub use depthwise_stage::DepthwiseStage;
pub use feature_map::FeatureMap;
pub use gated_mlp::{Gate, GatedMlp};
pub use grn::GlobalResponseNorm;
pub use head::outputs_of_head;
pub use layer_norm::LayerNorm;
pub use layer_scale::LayerScale;
pub use linear::Linear;
pub use mlp::Mlp;
pub use pool::{AvgPool2d, MaxPool2d};
pub use relative_position::{PositionBias, RelativePositionBias};
pub use residual_block::{ConvNorm, ResidualBlock};
pub use residual_network::{ResidualNames, ResidualNetwork, residual_stages};
pub use rms_norm::RmsNorm;
pub use rotation::Rotation;
pub use squeeze_excite::SqueezeExcite;
pub use tokens::{mean_of_rows, prepend, token, without_leading};
