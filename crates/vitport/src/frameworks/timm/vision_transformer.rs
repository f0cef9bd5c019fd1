//! timm's `VisionTransformer` and `VisionTransformerDistilled` (timm/models/vision_transformer.py, timm/models/deit.py, 1.0.31):
//! class token and registers or neither, learned positions or none, pre-norm blocks, pooling over tokens and an optional head. With
//! `pre_norm` it is the image tower of a CLIP, with attention pooling that of a SigLIP, with RMS norms and gated MLPs an AIMv2.

mod block;
mod config;
mod embeddings;
mod modules;
mod norm;
mod pooling;
mod structure;
mod torchvision_modules;

pub use self::config::Config;

use self::block::Block;
use self::embeddings::Embeddings;
use self::pooling::Head;
use super::super::build;
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::resampling::OtherSizes;
use crate::finding;
use crate::nn::{Context, Forward, ForwardError, Norm, Outputs, Pixels, Scope};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/vision_transformer",
    description: "timm's ViT",
    modules: &["vision_transformer", "deit"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    heads: &[
        finding::Head::new("head", "fc_norm.weight"),
        finding::Head::new("head", "norm.weight"),
        // transformers', mmpretrain's and jeonsworld's.
        finding::Head::new("head", "layernorm.weight"),
        finding::Head::new("head", "ln1.weight"),
        finding::Head::new("head", "transformer.encoder.encoder_norm.weight"),
    ],
    saved_modules: &[modules::MODULES, torchvision_modules::MODULES],
    other_sizes: OtherSizes::Positions,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("mlp_dim", Kind::Number)
            .config_key("mlp_ratio", Kind::RatioOf("embed_dim"))
            .shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("no_embed_class", Kind::Flag).shown("positions without the class token"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries, keys and values"),
        Field::plain("layer_scale", Kind::Flag).config_key("init_values", Kind::IsTrue).shown("layer scale"),
        Field::plain("class_token", Kind::Flag).shown("a class token"),
        Field::plain("reg_tokens", Kind::Number).shown("register tokens").otherwise(Literal::Number(0)),
        Field::of_registry("dist_token", "dist_token", Kind::Flag)
            .shown("a distillation token")
            .otherwise(Literal::NO),
        Field::plain("pre_norm", Kind::Flag).shown("a norm before the first block").otherwise(Literal::NO),
        Field::plain("num_heads", Kind::Number),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)),
        Field::of_registry("block", "block_fn", Kind::Text).otherwise(Literal::Text("Block")),
        Field::of_registry("attn", "attn_layer", Kind::Text).otherwise(Literal::Text("Attention")),
        Field::of_registry("gated_mlp", "mlp_layer", Kind::OtherThan("Mlp"))
            .shown("a gated MLP")
            .otherwise(Literal::NO),
        Field::of_registry("mlp_layer", "mlp_layer", Kind::Text)
            .shown("as its MLP")
            .otherwise(Literal::Text("Mlp")),
        Field::of_registry("resnet_stem", "embed_layer", Kind::OtherThan("PatchEmbed"))
            .otherwise(Literal::NO),
        Field::of_registry("attn_pool", "attn_pool", Kind::IsSome)
            .shown("attention pooling")
            .otherwise(Literal::NO),
        Field::plain("pool_include_prefix", Kind::Flag).otherwise(Literal::NO),
        // If it is not said, timm's constructor has it for every mean.
        Field::plain("fc_norm", Kind::Flag)
            .config_key("fc_norm", Kind::FlagOrPooling(&["avg", "avgmax", "max"]))
            .shown("a norm after its pooling")
            .otherwise(Literal::NO)
            .decided_by(&["global_pool"]),
        Field::of_registry("patch_norm", "patch_norm", Kind::Flag)
            .config_key("embed_norm_layer", Kind::IsSome)
            .shown("a norm after its patch embedding")
            .otherwise(Literal::NO),
        Field::plain("qk_norm", Kind::Flag).shown("norms of its queries and keys").otherwise(Literal::NO),
        Field::named("scale_norm", "scale_attn_norm", Kind::Flag).otherwise(Literal::NO),
        Field::argument("scale_norm", "scale_mlp_norm", Kind::Flag),
        Field::of_registry("norm", "norm", Kind::Text).otherwise(Literal::Text("LayerNorm")),
        Field::of_registry("block_norm", "block_norm", Kind::Text).otherwise(Literal::Text("LayerNorm")),
        Field::of_registry("patch_bias", "patch_bias", Kind::Flag).otherwise(Literal::YES),
        Field::plain("proj_bias", Kind::Flag).otherwise(Literal::YES),
        Field::of_registry("mlp_bias", "mlp_bias", Kind::Flag).otherwise(Literal::YES),
        Field::plain("pos_embed", Kind::Flag).config_key("pos_embed", Kind::Word("learn", &["", "none"])),
        Field::plain("final_norm", Kind::Flag),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    // A block whose norms stand after its branches has the same tensors.
    usual: &[
        ("block", Literal::Text("Block")),
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("token")),
    ],
    // Only a class token can be read alone. timm puts the last norm after the pooling where it takes a mean.
    usual_instead: &[
        ("global_pool", Literal::Text("avg"), "class_token", Literal::NO),
        ("global_pool", Literal::Text("avg"), "fc_norm", Literal::YES),
    ],
    // CLIPs come with an epsilon of 1e-5, and with GELU or QuickGELU.
    // Gated MLPs come with SiLU, in DINOv2 with an epsilon of 1e-6 and in AIMv2 with 1e-5; SigLIPs with GELU, exact or by tanh.
    left_open: &[
        ("norm_eps", "pre_norm"),
        ("act_layer", "pre_norm"),
        ("norm_eps", "gated_mlp"),
        ("act_layer", "gated_mlp"),
    ],
    by_definition: "timm's VisionTransformer where nothing else is said",
    build: |config| build("timm's VisionTransformer", config, Vit::new),
};

struct Vit {
    embeddings: Embeddings,
    norm_pre: Option<Norm>,
    blocks: Vec<Block>,
    norm: Option<Norm>,
    head: Head,
}

impl Vit {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        config.check()?;
        let norm = |name: &str, is_there: bool| {
            is_there.then(|| norm::new(&scope.pp(name), config, config.embed_dim)).transpose()
        };
        Ok(Self {
            embeddings: Embeddings::new(scope, config)?,
            norm_pre: norm("norm_pre", config.pre_norm)?,
            blocks: scope.list("blocks", config.depth, |scope, _| Block::new(scope, config))?,
            norm: norm("norm", config.final_norm && !config.fc_norm)?,
            head: Head::new(scope, config)?,
        })
    }
}

impl Forward for Vit {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let tokens = self.embeddings.forward(pixels, cx)?;
        let mut tokens = norm::forward_if(self.norm_pre.as_ref(), tokens, cx)?;
        cx.trace("norm_pre", &tokens);
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut tokens, cx)?;
            cx.trace(&format!("blocks.{index}"), &tokens);
        }
        let tokens = norm::forward_if(self.norm.as_ref(), tokens, cx)?;
        cx.trace("norm", &tokens);
        let mut outputs = self.head.forward(&tokens, cx)?;
        outputs.push("forward_features[0]", tokens.row(0).unwrap_or_default());
        Ok(outputs)
    }
}
