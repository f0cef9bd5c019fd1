//! What many of transformers' encoders share: the keys of their configs, and the modules that are made of these under names of
//! each class's own.

use serde::Deserialize;

use super::ImageSize;
use super::activations::activation;
use crate::nn::{
    Activation, Context, EncoderBlock, FeedForward, ForwardError, Gate, GatedMlp, Heads, LayerNorm,
    LayerScale, Linear, Matrix, Mlp, Norm, PatchEmbed, Positions, Qkv, Scope, SelfAttention,
};

/// Holds the keys of `config.json` that most encoders have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct EncoderConfig {
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) num_attention_heads: usize,
    pub(super) hidden_act: String,
    pub(super) layer_norm_eps: f64,
    pub(super) image_size: ImageSize,
    pub(super) patch_size: ImageSize,
    pub(super) num_channels: usize,
}

impl EncoderConfig {
    /// Returns the heads of an attention.
    pub(super) fn heads(&self) -> Result<Heads, ForwardError> {
        heads(self.hidden_size, self.num_attention_heads)
    }

    /// Returns the edges of images and patches, for a class that takes one number for each.
    pub(super) fn edges(&self) -> Result<(usize, usize), ForwardError> {
        match (self.image_size, self.patch_size) {
            (ImageSize::Square(image), ImageSize::Square(patch)) => Ok((image, patch)),
            _ => Err(ForwardError::config("image_size and patch_size are not single numbers")),
        }
    }

    /// Fails with `reason` unless images and patches are squares.
    pub(super) fn check_squares(&self, reason: &str) -> Result<(), ForwardError> {
        let is_square = |size: ImageSize| size.sides().0 == size.sides().1;
        if is_square(self.image_size) && is_square(self.patch_size) {
            return Ok(());
        }
        Err(ForwardError::config(format!("image_size and patch_size must be those of squares, {reason}")))
    }

    /// Makes the convolution that cuts images into patches.
    pub(super) fn patches(&self, scope: &Scope, has_bias: bool) -> Result<PatchEmbed, ForwardError> {
        let (height, width) = self.image_size.sides();
        let input = [self.num_channels, height, width];
        PatchEmbed::new(scope, input, self.patch_size.sides(), self.hidden_size, has_bias)
    }

    /// Makes a norm of tokens.
    pub(super) fn norm(&self, scope: &Scope, name: &str) -> Result<LayerNorm, ForwardError> {
        LayerNorm::new(&scope.pp(name), self.hidden_size, self.layer_norm_eps)
    }

    /// Makes an attention with separate layers of these names for queries, keys and values, and one after it.
    pub(super) fn attention(
        &self,
        scope: &Scope,
        names: [&str; 4],
        biases: [bool; 2],
    ) -> Result<SelfAttention, ForwardError> {
        attention(scope, names, (self.hidden_size, self.heads()?), biases)
    }

    /// Makes an attention as timm names it: `qkv`, one layer for queries, keys and values, and `proj`.
    pub(super) fn fused_attention(
        &self,
        scope: &Scope,
        qkv_bias: bool,
    ) -> Result<SelfAttention, ForwardError> {
        let (width, heads) = (self.hidden_size, self.heads()?);
        let qkv = Linear::new(&scope.pp("qkv"), width, width.saturating_mul(3), qkv_bias)?;
        let proj = Linear::new(&scope.pp("proj"), width, width, true)?;
        Ok(SelfAttention::new(Qkv::Fused(qkv), heads, proj))
    }

    /// Makes an MLP whose two layers have these names.
    pub(super) fn mlp(
        &self,
        scope: &Scope,
        names: [&str; 2],
        hidden: usize,
    ) -> Result<FeedForward, ForwardError> {
        Ok(FeedForward::Plain(self.plain_mlp(scope, names, hidden)?))
    }

    /// Makes the same, for where there never is a gate.
    pub(super) fn plain_mlp(
        &self,
        scope: &Scope,
        names: [&str; 2],
        hidden: usize,
    ) -> Result<Mlp, ForwardError> {
        let activation = activation("hidden_act", &self.hidden_act)?;
        let sizes = [self.hidden_size, hidden, self.hidden_size];
        Mlp::with_biases(Linear::new, scope, names, sizes, activation)
    }

    /// Makes a block whose norms have these names.
    pub(super) fn block(
        &self,
        scope: &Scope,
        [norm1, norm2]: [&str; 2],
        attention: SelfAttention,
        mlp: FeedForward,
        [scale1, scale2]: [Option<LayerScale>; 2],
    ) -> Result<EncoderBlock, ForwardError> {
        let norm = |name| self.norm(scope, name).map(Norm::Layer);
        Ok(EncoderBlock { norm1: norm(norm1)?, attention, scale1, norm2: norm(norm2)?, mlp, scale2 })
    }
}

/// Holds the keys that decide on the MLPs of DINOv2 and those after it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct DinoMlpConfig {
    pub(super) mlp_ratio: f64,
    pub(super) use_swiglu_ffn: bool,
}

impl DinoMlpConfig {
    /// Makes `Dinov2MLP` or `Dinov2SwiGLUFFN`, whose two layers have the names of `plain` or `gated`.
    pub(super) fn feed_forward(
        &self,
        scope: &Scope,
        encoder: &EncoderConfig,
        plain: [&str; 2],
        gated: [&str; 2],
    ) -> Result<FeedForward, ForwardError> {
        let width = encoder.hidden_size;
        // `int(hidden_size * mlp_ratio)`; the cast saturates.
        let hidden = (width as f64 * self.mlp_ratio) as usize;
        if !self.use_swiglu_ffn {
            return encoder.mlp(scope, plain, hidden);
        }
        // `(int(hidden * 2 / 3) + 7) // 8 * 8`
        let hidden = ((hidden as f64 * 2.0 / 3.0) as usize).div_ceil(8).saturating_mul(8);
        let linear = |name: &str, inputs, outputs| Linear::new(&scope.pp(name), inputs, outputs, true);
        let gate = Gate::Packed(linear(gated[0], width, hidden.saturating_mul(2))?);
        Ok(FeedForward::Gated(GatedMlp::new(gate, Activation::Silu, linear(gated[1], hidden, width)?)))
    }
}

/// Runs the blocks one after the other, each shown to the observer as `name` and its number.
pub(super) fn run(
    blocks: &[EncoderBlock],
    name: &str,
    positions: Positions<'_>,
    hidden_states: &mut Matrix,
    cx: &mut Context<'_>,
) -> Result<(), ForwardError> {
    for (index, block) in blocks.iter().enumerate() {
        block.forward(hidden_states, positions, cx)?;
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
