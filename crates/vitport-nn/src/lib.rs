//! Runs neural networks in float32, as numbers and nothing else: a definition builds a [`Network`] of modules named as in
//! PyTorch, which knows its tensors and runs on weights read from wherever they are. Batch size is one, tokens are rows, and
//! the threads are rayon's.

mod error;
mod kernels;
mod matrix;
mod modules;
mod network;
mod observer;
mod pixels;
mod scope;
mod threads;
mod weights;

pub use error::ForwardError;
pub use kernels::activation::Activation;
pub use kernels::attention::Heads;
pub use kernels::convolution::{Grid, GridLayout, Window};
pub use matrix::Matrix;
pub use modules::{
    Attention, AttentionPool, AvgPool2d, BatchNorm2d, BiasedBlocks, ContinuousPositionBias, Conv2d, ConvNorm,
    CosineScale, DepthwiseBlock, DepthwiseNames, DepthwiseNetwork, DepthwiseStage, EncoderBlock, FeatureMap,
    FeedForward, Gate, GatedMlp, GlobalResponseNorm, LayerNorm, LayerScale, Linear, LogPositionBias,
    MaxPool2d, Mlp, Norm, NormConv, PatchEmbed, PatchMerging, PoolQkv, PositionBias, PositionTable,
    Positions, Qkv, RelativePositionBias, ResidualBlock, ResidualNames, ResidualNetwork, RmsNorm, Rotation,
    SelfAttention, SqueezeExcite, WindowAttention, WindowBias, WindowBlock, WindowStage, WindowTable,
    mean_of_rows, outputs_of_head, prepend, residual_stages, token, without_leading,
};
pub use network::{Context, Forward, Network};
pub use observer::{Observer, Output, Outputs};
pub use pixels::Pixels;
pub use scope::{Parameter, Role, Scope};
pub use threads::on_the_pool;
pub use weights::{MemoryWeights, Weights};
