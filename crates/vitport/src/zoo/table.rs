//! The rows of the embedded table as types. An architecture's structure is stored as its departures from a plain ViT,
//! which is what a [`Structure`] is where nothing is said.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::rows::Rows;

const HEAD: &str = include_str!("../../data/timm.json");
const ARCHITECTURES: &str = include_str!("../../data/timm_architectures.jsonl");
const TAGS: &str = include_str!("../../data/timm_tags.jsonl");
const OTHERS: &str = include_str!("../../data/timm_other.tsv");

/// One of timm's architectures: a function such as `vit_base_patch16_224`, called without arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Architecture {
    /// timm's name of it.
    #[serde(rename = "arch")]
    pub name: String,
    /// The timm module that defines it: `vision_transformer` or `deit`.
    pub module: String,
    /// The tag that the bare name means.
    pub default_tag: String,
    /// Height and width of the picture, in pixels.
    pub img_size: [usize; 2],
    /// Height and width of a patch, in pixels.
    pub patch_size: [usize; 2],
    /// Width of a token, in channels.
    pub embed_dim: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Number of attention heads of each block.
    pub heads: usize,
    /// Width of the MLP's second input, in channels; a gated MLP's first projection makes twice as many.
    pub mlp_dim: usize,
    /// How tokens become one vector: `token`, `avg`, `map`, …
    pub global_pool: String,
    /// What the network is made of.
    pub structure: Structure,
}

/// What a network is made of, as far as it decides which class can hold the weights. Class names are timm's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Structure {
    /// Class of the blocks; `Block` is pre-norm attention followed by an MLP.
    pub block: String,
    /// Class of the attention; `None` where the block does it itself.
    pub attn: Option<String>,
    /// Class of the MLP; `None` where the block does it itself.
    pub mlp: Option<String>,
    /// Class of the activation: `GELU`, `QuickGELU`, `GELUTanh`, `SiLU`.
    pub act: Option<String>,
    /// Whether a class token stands in front of the patches.
    pub class_token: bool,
    /// Number of register tokens.
    pub reg_tokens: usize,
    /// Whether there is a distillation token.
    pub dist_token: bool,
    /// Whether the position embedding has rows for the patches only.
    pub no_embed_class: bool,
    /// Whether there is a learned position embedding.
    pub pos_embed: bool,
    /// Whether a norm stands before the first block (CLIP).
    pub norm_pre: bool,
    /// Class of the norm after the last block; `Identity` for none.
    pub norm: String,
    /// Class of the norms inside the blocks.
    pub block_norm: Option<String>,
    /// Epsilon of the blocks' norms.
    pub eps: Option<f64>,
    /// Whether the norm stands after the pooling.
    pub fc_norm: bool,
    /// Class of the attention pooling.
    pub attn_pool: Option<String>,
    /// Whether each branch is scaled by a learned vector (`ls1.gamma`, `ls2.gamma`).
    pub layer_scale: bool,
    /// Class of the patch embedding.
    pub patch_embed: String,
    /// Whether the patch embedding has a bias.
    pub patch_bias: bool,
    /// Whether a norm follows the patch embedding.
    pub patch_norm: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether queries and keys are normalised.
    pub qk_norm: bool,
    /// Whether the attention's output projection has a bias.
    pub proj_bias: bool,
    /// Whether the MLP's projections have biases.
    pub mlp_bias: bool,
    /// Whether a norm stands before the attention's output projection.
    pub scale_attn_norm: bool,
    /// Whether a norm stands before the MLP's second projection.
    pub scale_mlp_norm: bool,
    /// Whether pooling takes the class and register tokens in.
    pub pool_include_prefix: bool,
}

impl Default for Structure {
    /// A plain ViT, timm's `vit_base_patch16_224`; `usual_structure` in `data/timm.json`.
    fn default() -> Self {
        let class = |name: &str| Some(name.to_owned());
        Self {
            block: "Block".to_owned(),
            attn: class("Attention"),
            mlp: class("Mlp"),
            act: class("GELU"),
            class_token: true,
            reg_tokens: 0,
            dist_token: false,
            no_embed_class: false,
            pos_embed: true,
            norm_pre: false,
            norm: "LayerNorm".to_owned(),
            block_norm: class("LayerNorm"),
            eps: Some(1e-6),
            fc_norm: false,
            attn_pool: None,
            layer_scale: false,
            patch_embed: "PatchEmbed".to_owned(),
            patch_bias: true,
            patch_norm: false,
            qkv_bias: true,
            qk_norm: false,
            proj_bias: true,
            mlp_bias: true,
            scale_attn_norm: false,
            scale_mlp_norm: false,
            pool_include_prefix: false,
        }
    }
}

/// One set of pretrained weights of an architecture.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Tag {
    /// The architecture's name.
    #[serde(rename = "arch")]
    pub architecture: String,
    /// The tag, such as `augreg_in21k_ft_in1k`.
    pub tag: String,
    /// Repository on the Hugging Face Hub, such as `timm/vit_tiny_patch16_224.augreg_in21k`.
    pub hub_id: Option<String>,
    /// The file that the weights first came from.
    pub url: Option<String>,
    /// Whether weights are published at all.
    pub has_weights: bool,
    /// Number of classes of the head; 0 for a model without one.
    pub num_classes: usize,
    /// Number of parameters, with that head.
    pub parameters: u64,
    /// Channels, height and width of the picture, in pixels.
    pub input_size: [usize; 3],
    /// Mean of each channel, on a 0 to 1 scale.
    pub mean: [f64; 3],
    /// Standard deviation of each channel, on a 0 to 1 scale.
    pub std: [f64; 3],
    /// How pictures are resized: `bicubic`, `bilinear`, …
    pub interpolation: String,
    /// Part of the resized picture's edge that the crop keeps.
    pub crop_pct: f64,
    /// `center` (resize the shortest edge, crop), `squash` (resize both edges) or `border`.
    pub crop_mode: String,
    /// Licence of the weights, as timm states it.
    pub license: Option<String>,
    /// Whether `url` is in another layout than timm's own (JAX's `.npz`).
    pub custom_load: bool,
    /// Page of the model's authors.
    pub origin_url: Option<String>,
    /// Paper, such as `arXiv:2212.07143`.
    pub paper: Option<String>,
    /// A remark of timm's.
    pub notes: Option<String>,
    /// The transformers class that holds it.
    pub target: Option<String>,
    /// How much of it that class holds.
    pub level: Level,
    /// What has to be done to get there, or why there is no class.
    pub note: Option<String>,
}

impl Tag {
    /// timm's full name of it, `architecture.tag`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.architecture, self.tag)
    }
}

/// How much of a model a transformers class can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The whole forward pass.
    Logits,
    /// Features, and the logits too if the head's bias can be absorbed.
    #[serde(rename = "features+")]
    FeaturesOrLogits,
    /// Up to the last hidden state or the pooled vector.
    Features,
    /// Nothing: no class has this structure.
    None,
}

/// What is not a row of its own.
#[derive(Default, Deserialize)]
pub(super) struct Head {
    /// The version of timm.
    pub(super) timm: String,
    /// Retired names and their successors.
    pub(super) renamed: HashMap<String, String>,
}

/// The embedded head. A test reads it, so that the empty one in its place cannot be met.
pub(super) fn head() -> &'static Head {
    static READ: LazyLock<Head> = LazyLock::new(|| serde_json::from_str(HEAD).unwrap_or_default());
    &READ
}

/// The rows of [`Architecture`]s, by their names.
pub(super) fn architectures() -> &'static Rows<Architecture> {
    static ROWS: LazyLock<Rows<Architecture>> = LazyLock::new(|| Rows::new(ARCHITECTURES));
    &ROWS
}

/// The rows of [`Tag`]s, by the names of their architectures.
pub(super) fn tags() -> &'static Rows<Tag> {
    static ROWS: LazyLock<Rows<Tag>> = LazyLock::new(|| Rows::new(TAGS));
    &ROWS
}

/// timm's other architectures as (name, module).
pub(super) fn others() -> impl Iterator<Item = (&'static str, &'static str)> {
    OTHERS.lines().filter_map(|line| line.split_once('\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_reads() {
        assert_eq!(architectures().all().count(), ARCHITECTURES.lines().count());
        assert_eq!(tags().all().count(), TAGS.lines().count());
        assert!(!head().renamed.is_empty());
    }

    #[test]
    fn a_structure_of_which_nothing_is_said_is_the_usual_one() {
        #[derive(Deserialize)]
        struct Usual {
            usual_structure: serde_json::Map<String, serde_json::Value>,
        }
        let Usual { usual_structure } = serde_json::from_str(HEAD).expect("data/timm.json");
        assert_eq!(usual_structure.len(), 26);
        let usual = Structure::deserialize(serde_json::Value::Object(usual_structure)).expect("a structure");
        assert_eq!(usual, Structure::default());
    }
}
