//! What many of transformers' encoders share: pre-norm layers, whose modules only differ in kind and name, and the sizes of their
//! attention and positions.

use crate::nn::{
    Context, Conv2d, ForwardError, GatedMlp, Grid, Heads, LayerNorm, LayerScale, Linear, Matrix, Mlp, Pixels,
    Positions, Qkv, RmsNorm, Scope, SelfAttention, Window,
};

/// Stands for `nn.LayerNorm` or one of the classes' own `RMSNorm`.
pub(super) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    pub(super) fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match self {
            Self::Layer(norm) => norm.forward(x, cx),
            Self::Rms(norm) => norm.forward(x, cx),
        }
    }
}

/// Stands for an MLP with or without a gate.
pub(super) enum FeedForward {
    Plain(Mlp),
    Gated(GatedMlp),
}

/// Computes x + scale1(attention(norm1(x))), then x + scale2(mlp(norm2(x))).
pub(super) struct EncoderLayer {
    pub(super) norm1: Norm,
    pub(super) attention: SelfAttention,
    pub(super) scale1: Option<LayerScale>,
    pub(super) norm2: Norm,
    pub(super) mlp: FeedForward,
    pub(super) scale2: Option<LayerScale>,
}

impl EncoderLayer {
    /// Runs the layer on tokens that lie at those positions.
    pub(super) fn forward(
        &self,
        hidden_states: &mut Matrix,
        positions: Positions<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let normalized = self.norm1.forward(hidden_states, cx)?;
        let attended = self.attention.forward_at(&normalized, positions, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.scale1.as_ref(), hidden_states, attended, cx)?;
        let normalized = self.norm2.forward(hidden_states, cx)?;
        let output = match &self.mlp {
            FeedForward::Plain(mlp) => mlp.forward(&normalized, cx)?,
            FeedForward::Gated(mlp) => mlp.forward(&normalized, cx)?,
        };
        cx.recycle(normalized);
        LayerScale::add(self.scale2.as_ref(), hidden_states, output, cx)
    }
}

/// Runs the layers one after the other, each shown to the observer as `name` and its number.
pub(super) fn run(
    layers: &[EncoderLayer],
    name: &str,
    hidden_states: &mut Matrix,
    cx: &mut Context<'_>,
) -> Result<(), ForwardError> {
    for (index, layer) in layers.iter().enumerate() {
        layer.forward(hidden_states, Positions::Embedded, cx)?;
        cx.trace(&format!("{name}.{index}"), hidden_states);
    }
    Ok(())
}

/// Returns the heads of a width, or what is wrong with the config.
pub(super) fn heads(width: usize, count: usize) -> Result<Heads, ForwardError> {
    if count == 0 || !width.is_multiple_of(count) {
        let detail = format!("hidden_size {width} is not a multiple of num_attention_heads {count}");
        return Err(ForwardError::config(detail));
    }
    Ok(Heads::of_width(count, width))
}

/// Makes an attention with separate layers of these names for queries, keys and values, and one after it.
pub(super) fn attention(
    scope: &Scope,
    [query, key, value, out]: [&str; 4],
    (width, heads): (usize, Heads),
    [qkv_bias, out_bias]: [bool; 2],
) -> Result<SelfAttention, ForwardError> {
    let linear = |name: &str, bias| Linear::new(&scope.pp(name), width, width, bias);
    let qkv = Qkv::Separate([linear(query, qkv_bias)?, linear(key, qkv_bias)?, linear(value, qkv_bias)?]);
    Ok(SelfAttention::new(qkv, heads, linear(out, out_bias)?))
}

/// Makes an attention as timm names it: `qkv`, one layer for queries, keys and values, and `proj`.
pub(super) fn fused_attention(
    scope: &Scope,
    (width, heads): (usize, Heads),
    qkv_bias: bool,
) -> Result<SelfAttention, ForwardError> {
    let qkv = Linear::new(&scope.pp("qkv"), width, width.saturating_mul(3), qkv_bias)?;
    Ok(SelfAttention::new(Qkv::Fused(qkv), heads, Linear::new(&scope.pp("proj"), width, width, true)?))
}

/// Cuts images into patches with a convolution.
pub(super) struct Patches {
    input: [usize; 3],
    projection: Conv2d,
    /// Counts the patches of an image.
    pub(super) count: usize,
}

impl Patches {
    /// Takes the sizes of image and patches as (height, width).
    pub(super) fn new(
        scope: &Scope,
        (channels, width): (usize, usize),
        (height, breadth): (usize, usize),
        patch: (usize, usize),
    ) -> Result<Self, ForwardError> {
        let window = Window::patches(patch);
        let (rows, columns) = window.output_size(height, breadth).unwrap_or((0, 0));
        Ok(Self {
            input: [channels, height, breadth],
            projection: Conv2d::new(scope, channels, width, window, true)?,
            count: rows.saturating_mul(columns),
        })
    }

    pub(super) fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        Ok(self.projection.forward(grid, cx)?.tokens)
    }
}
