//! What timm's BEiT, EVA and ViT with relative positions share: the arguments of their constructors, their blocks, and pooling with a
//! norm before or after it.

use serde::Deserialize;

use super::layers::{activation, heads};
use crate::nn::{
    Context, EncoderBlock, FeedForward, ForwardError, LayerNorm, LayerScale, Linear, Matrix, Mlp, Norm,
    PatchEmbed, Qkv, Scope, SelfAttention, mean_of_rows, token, without_leading,
};

/// Holds what all of them are made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct EncoderConfig {
    /// Gives the height and width of the image in pixels.
    pub img_size: [usize; 2],
    /// Gives the height and width of a patch in pixels.
    pub patch_size: [usize; 2],
    /// Gives the channels of the image.
    pub in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Gives the width of a token.
    pub embed_dim: usize,
    /// Gives the number of blocks.
    pub depth: usize,
    /// Gives the attention heads.
    pub num_heads: usize,
    /// Gives the width of the hidden layer of a block's MLP.
    pub mlp_dim: usize,
    /// Says whether queries and values have biases. Keys have them only where all three are one layer.
    pub qkv_bias: bool,
    /// Says whether each branch has a layer scale: `init_values` is not None.
    pub layer_scale: bool,
    /// Says whether the last norm stands after pooling, and not before it.
    pub fc_norm: bool,
    /// Is `avg` or `token`.
    pub global_pool: String,
    /// Gives timm's name of the MLP's activation.
    pub act_layer: String,
    /// Gives the epsilon of every layer normalisation.
    pub norm_eps: f64,
}

impl EncoderConfig {
    /// Builds `PatchEmbed`.
    pub fn patch_embed(&self, scope: &Scope) -> Result<PatchEmbed, ForwardError> {
        let [height, width] = self.img_size;
        let (proj, input) = (scope.pp("patch_embed.proj"), [self.in_chans, height, width]);
        PatchEmbed::new(&proj, input, self.patch_size.into(), self.embed_dim, true)
    }

    /// Builds the layer of queries, keys and values, with biases of queries and values under names of their own.
    pub fn separate_biases(&self, block: &Scope) -> Result<Qkv, ForwardError> {
        let (attn, dim) = (block.pp("attn"), self.embed_dim);
        let layer = Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), false)?;
        Ok(match self.qkv_bias {
            false => Qkv::Fused(layer),
            true => Qkv::FusedWithBiases {
                layer,
                query_bias: attn.parameter("q_bias", &[dim])?,
                value_bias: attn.parameter("v_bias", &[dim])?,
            },
        })
    }

    /// Builds `Mlp`.
    pub fn mlp(&self, block: &Scope) -> Result<FeedForward, ForwardError> {
        let sizes = [self.embed_dim, self.mlp_dim, self.embed_dim];
        let activation = activation(&self.act_layer)?;
        let mlp = Mlp::with_biases(Linear::new, block, ["mlp.fc1", "mlp.fc2"], sizes, activation)?;
        Ok(FeedForward::Plain(mlp))
    }

    /// Builds a block, whose scales have these names.
    pub fn block(
        &self,
        scope: &Scope,
        qkv: Qkv,
        mlp: FeedForward,
        [scale1, scale2]: [&str; 2],
    ) -> Result<EncoderBlock, ForwardError> {
        let dim = self.embed_dim;
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, self.norm_eps).map(Norm::Layer);
        let scale = |name: &str| self.layer_scale.then(|| LayerScale::new(scope, name, dim)).transpose();
        let proj = Linear::new(&scope.pp("attn.proj"), dim, dim, true)?;
        Ok(EncoderBlock {
            norm1: norm("norm1")?,
            attention: SelfAttention::new(qkv, heads(dim, self.num_heads)?, proj),
            scale1: scale(scale1)?,
            norm2: norm("norm2")?,
            mlp,
            scale2: scale(scale2)?,
        })
    }
}

/// Computes what stands behind the blocks: the last norm and the pooling, in either order.
#[derive(Debug)]
pub(super) struct Pool {
    norm: LayerNorm,
    /// Says whether the norm stands after the pooling.
    fc_norm: bool,
    takes_mean: bool,
    /// Counts the tokens before the patches.
    prefix: usize,
}

impl Pool {
    /// Builds it of a network with so many tokens before the patches.
    pub fn new(scope: &Scope, config: &EncoderConfig, prefix: usize) -> Result<Self, ForwardError> {
        let EncoderConfig { fc_norm, ref global_pool, .. } = *config;
        let norm = scope.pp(if fc_norm { "fc_norm" } else { "norm" });
        let norm = LayerNorm::new(&norm, config.embed_dim, config.norm_eps)?;
        Ok(Self { norm, fc_norm, takes_mean: global_pool == "avg", prefix })
    }

    /// Returns the tokens that `forward_features` gives.
    pub fn features(&self, tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        if self.fc_norm {
            return Ok(tokens);
        }
        let tokens = self.norm.forward(&tokens, cx)?;
        cx.trace("norm", &tokens);
        Ok(tokens)
    }

    /// Returns what `forward_head` makes of them before its last layer.
    pub fn pooled(&self, features: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let pooled = if self.takes_mean {
            let mean = mean_of_rows(&without_leading(features, self.prefix)?);
            Matrix::from_values(1, mean.len(), mean)?
        } else {
            token(features, 0)?
        };
        if self.fc_norm { self.norm.forward(&pooled, cx) } else { Ok(pooled) }
    }
}
