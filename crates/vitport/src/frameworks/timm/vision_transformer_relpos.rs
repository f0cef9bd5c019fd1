//! timm's `VisionTransformerRelPos` (timm/models/vision_transformer_relpos.py, 1.0.31): a ViT without position embeddings, whose
//! attention adds a number for each distance of two patches, which is learned or which an MLP makes of the distance's logarithm.

mod modules;
mod structure;

use serde::Deserialize;

use super::super::build;
use super::TimmDefinition;
use super::encoder::{EncoderConfig, Pool};
use super::field::{Field, Kind, Literal};
use super::layers::classifier;
use super::resampling::OtherSizes;
use crate::finding::Head;
use crate::nn::{
    BiasedBlocks, Context, Forward, ForwardError, Linear, LogPositionBias, Outputs, Parameter, PatchEmbed,
    Pixels, PositionTable, Qkv, RelativePositionBias, Scope, outputs_of_head, prepend,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/vision_transformer_relpos",
    description: "timm's ViT with relative positions",
    modules: &["vision_transformer_relpos"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    heads: &[Head::new("head", "fc_norm.weight"), Head::new("head", "norm.weight")],
    saved_modules: &[modules::MODULES],
    // What makes biases of distances makes those of any size.
    other_sizes: OtherSizes::Tables,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("num_heads", Kind::Number).shown("heads"),
        Field::named("mlp_dim", "mlp_ratio", Kind::RatioOf("embed_dim")).shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries, keys and values"),
        Field::plain("qk_norm", Kind::Flag).part("norms of its queries and keys"),
        Field::argument("layer_scale", "init_values", Kind::IsTrue).shown("layer scale"),
        Field::plain("class_token", Kind::Flag).shown("a class token"),
        Field::plain("rel_pos_type", Kind::RelativePositions).shown("as the kind of its relative positions"),
        Field::plain("rel_pos_dim", Kind::Number)
            .config_key("rel_pos_dim", Kind::NumberOr(128))
            .shown("channels in its MLPs of positions"),
        Field::plain("shared_rel_pos", Kind::Flag).shown("relative positions that blocks share"),
        Field::plain("fc_norm", Kind::Flag).shown("its last norm after pooling"),
        Field::of_registry("final_norm", "final_norm", Kind::Flag),
        Field::of_registry("block", "block_fn", Kind::Text),
        Field::plain("act_layer", Kind::Activation).of_class(),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)).of_class(),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("layer_scale", Literal::YES),
        ("block", Literal::Text("RelPosBlock")),
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    // A block whose norms stand after its branches has the tensors of one without layer scale.
    left_open: &[("block", "unscaled"), ("global_pool", "class_token")],
    by_definition: "timm's VisionTransformerRelPos where nothing else is said",
    build: |config| build("timm's VisionTransformerRelPos", config, VisionTransformerRelPos::new),
    ..TimmDefinition::PLAIN
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    #[serde(flatten)]
    encoder: EncoderConfig,
    /// Says whether there is a class token.
    class_token: bool,
    /// Is `mlp` or `bias`.
    rel_pos_type: String,
    /// Gives the width of the hidden layer of an MLP that makes biases.
    #[serde(default)]
    rel_pos_dim: usize,
    /// Says whether all blocks share one table.
    shared_rel_pos: bool,
}

struct VisionTransformerRelPos {
    patch_embed: PatchEmbed,
    cls_token: Option<Parameter>,
    blocks: BiasedBlocks,
    pool: Pool,
    head: Option<Linear>,
}

impl VisionTransformerRelPos {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (encoder, class_token) = (&config.encoder, config.class_token);
        let dim = encoder.embed_dim;
        let patch_embed = encoder.patch_embed(scope)?;
        let grid = patch_embed.grid();
        let own = |scope: &Scope| {
            let is_own = !config.shared_rel_pos;
            is_own.then(|| table(&scope.pp("attn.rel_pos"), config, grid)).transpose()
        };
        let block = |scope: &Scope| {
            let qkv = Linear::new(&scope.pp("attn.qkv"), dim, dim.saturating_mul(3), encoder.qkv_bias)?;
            encoder.block(scope, Qkv::Fused(qkv), encoder.mlp(scope)?, ["ls1.gamma", "ls2.gamma"])
        };
        let shared = || table(&scope.pp("shared_rel_pos"), config, grid);
        Ok(Self {
            cls_token: class_token.then(|| scope.parameter("cls_token", &[1, 1, dim])).transpose()?,
            blocks: BiasedBlocks {
                blocks: scope.list("blocks", encoder.depth, |scope, _| Ok((block(scope)?, own(scope)?)))?,
                shared: config.shared_rel_pos.then(shared).transpose()?,
            },
            pool: Pool::new(scope, encoder, usize::from(class_token))?,
            head: classifier(scope, "head", dim, encoder.num_classes)?,
            patch_embed,
        })
    }
}

/// Builds `RelPosMlp` or `RelPosBias`.
fn table(scope: &Scope, config: &Config, grid: (usize, usize)) -> Result<PositionTable, ForwardError> {
    let Config { rel_pos_dim, class_token, .. } = *config;
    let num_heads = config.encoder.num_heads;
    match (config.rel_pos_type.as_str(), class_token) {
        ("mlp", _) => LogPositionBias::new(scope, grid, [rel_pos_dim, num_heads], class_token)
            .map(|table| PositionTable::Computed(Box::new(table))),
        ("bias", true) => RelativePositionBias::new(scope, grid, num_heads).map(PositionTable::Learned),
        ("bias", false) => {
            RelativePositionBias::of_patches(scope, grid, num_heads).map(PositionTable::Learned)
        }
        (other, _) => Err(ForwardError::config(format!("rel_pos_type {other:?} is not one that can be run"))),
    }
}

impl Forward for VisionTransformerRelPos {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut tokens = self.patch_embed.forward(pixels, cx)?;
        if let Some(cls_token) = &self.cls_token {
            tokens = prepend(&cls_token.read(cx.weights())?, tokens, cx)?;
        }
        cx.trace("embeddings", &tokens);
        self.blocks.forward(&mut tokens, |index| format!("blocks.{index}"), cx)?;
        let features = self.pool.features(tokens, cx)?;
        let pooled = self.pool.pooled(&features, cx)?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}
