//! What a timm `VisionTransformer` is made of, under the names of timm's arguments. What a config leaves out is as timm's
//! constructor has it.

use serde::Deserialize;

use super::super::layers::heads;
use crate::nn::{ForwardError, Heads};

/// Describes a network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Config {
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
    /// Gives the width of what the last layer of a block's MLP takes. timm's argument is `mlp_ratio`, of which a packed gate
    /// takes half.
    pub mlp_dim: usize,
    /// Says whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Says whether each branch has a layer scale: `init_values` is not None.
    pub layer_scale: bool,
    /// Says whether positions are added to the patches only, before the other tokens are put in front.
    #[serde(default)]
    pub no_embed_class: bool,
    /// Says whether a norm stands before the first block (CLIP).
    pub pre_norm: bool,
    /// Gives timm's name of the MLP's activation.
    pub act_layer: String,
    /// Gives the epsilon of every normalisation.
    pub norm_eps: f64,
    /// Says whether there is a class token.
    #[serde(default = "yes")]
    pub class_token: bool,
    /// Gives the number of registers, after the class token.
    #[serde(default)]
    pub reg_tokens: usize,
    /// Says whether there is a distillation token with a head of its own (`VisionTransformerDistilled`).
    #[serde(default)]
    pub dist_token: bool,
    /// Says whether there are learned positions.
    #[serde(default = "yes")]
    pub pos_embed: bool,
    /// Says whether the patch embedding has a bias; if it is not said, unless there is a norm before the first block.
    #[serde(default)]
    pub patch_bias: Option<bool>,
    /// Says whether a norm follows the patch embedding.
    #[serde(default)]
    pub patch_norm: bool,
    /// Says whether queries and keys are normalised, each head by itself.
    #[serde(default)]
    pub qk_norm: bool,
    /// Says whether `attn.proj` has a bias.
    #[serde(default = "yes")]
    pub proj_bias: bool,
    /// Says whether the MLP has biases.
    #[serde(default = "yes")]
    pub mlp_bias: bool,
    /// Says which MLP the blocks have.
    #[serde(default)]
    pub mlp_layer: MlpLayer,
    /// Says which norm all of the network has.
    #[serde(default)]
    pub block_norm: NormLayer,
    /// Says whether there is a norm after the blocks at all.
    #[serde(default = "yes")]
    pub final_norm: bool,
    /// Says whether that norm comes after the pooling.
    #[serde(default)]
    pub fc_norm: bool,
    /// Says how tokens become one vector.
    #[serde(default)]
    pub global_pool: Pooling,
    /// Says whether pooling reads class token and registers, too.
    #[serde(default)]
    pub pool_include_prefix: bool,
}

/// Names timm's MLPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum MlpLayer {
    /// Has two layers and an activation.
    #[default]
    Mlp,
    /// Has a gate, which is the first half of `fc1`.
    SwiGLUPacked,
    /// Has a gate of its own, `fc1_g`.
    SwiGLU,
}

/// Names timm's norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum NormLayer {
    /// Takes away the mean.
    #[default]
    LayerNorm,
    /// Divides only by the root mean square.
    RmsNorm,
}

/// Names timm's ways to pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// Keeps all tokens.
    #[serde(rename = "")]
    None,
    /// Reads the first token.
    #[default]
    Token,
    /// Takes the mean over the patches.
    Avg,
    /// Takes the largest value of each channel.
    Max,
    /// Takes the mean of both.
    AvgMax,
    /// Lets a learned token attend to the patches.
    Map,
}

fn yes() -> bool {
    true
}

impl Config {
    /// Returns how its width is cut into heads.
    pub(super) fn heads(&self) -> Heads {
        Heads::of_width(self.num_heads, self.embed_dim)
    }

    /// Counts the tokens before the patches.
    pub(super) fn prefix_tokens(&self) -> usize {
        let single = usize::from(self.class_token).saturating_add(usize::from(self.dist_token));
        single.saturating_add(self.reg_tokens)
    }

    /// Refuses what timm's constructor does.
    pub(super) fn check(&self) -> Result<(), ForwardError> {
        heads(self.embed_dim, self.num_heads)?;
        if !self.class_token && self.global_pool == Pooling::Token {
            return Err(ForwardError::config("global_pool \"token\" needs a class token".to_owned()));
        }
        if self.global_pool == Pooling::Map && self.block_norm == NormLayer::RmsNorm {
            let detail = "attention pooling with an RMS norm is not one that can be run";
            return Err(ForwardError::config(detail.to_owned()));
        }
        let is_distilled = self.class_token && self.global_pool == Pooling::Token && self.reg_tokens == 0;
        if self.dist_token && !is_distilled {
            let detail = "a distillation token goes with a class token, which is read, and no registers";
            return Err(ForwardError::config(detail.to_owned()));
        }
        Ok(())
    }
}
