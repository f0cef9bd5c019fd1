//! timm's `Beit` (timm/models/beit.py, 1.0.31; Bao et al. 2021, arXiv:2106.08254): a ViT whose attention knows the distances of
//! patches by learned biases, with layer scale, no biases of keys, and the mean over patches before the last norm.

mod modules;
mod structure;

use serde::Deserialize;

pub(super) use self::structure::{distances_of, square_of_distances};
use super::super::build;
use super::TimmDefinition;
use super::encoder::{EncoderConfig, Pool};
use super::field::{Field, Kind, Literal};
use super::layers::{classifier, heads};
use super::resampling::OtherSizes;
use crate::finding::Head;
use crate::nn::{
    BiasedBlocks, Context, Forward, ForwardError, Linear, Outputs, Parameter, PatchEmbed, Pixels,
    PositionTable, RelativePositionBias, Scope, outputs_of_head, prepend,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/beit",
    description: "timm's BEiT",
    modules: &["beit"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    heads: &[Head::new("head", "fc_norm.weight"), Head::new("head", "norm.weight")],
    saved_modules: &[modules::MODULES],
    other_sizes: OtherSizes::Tables,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("num_heads", Kind::Number).shown("heads"),
        Field::plain("mlp_dim", Kind::Number)
            .config_key("mlp_ratio", Kind::RatioOf("embed_dim"))
            .shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries and values"),
        Field::plain("layer_scale", Kind::Flag).config_key("init_values", Kind::IsTrue).shown("layer scale"),
        Field::plain("use_abs_pos_emb", Kind::Flag).shown("position embeddings"),
        Field::plain("use_rel_pos_bias", Kind::Flag).shown("relative position biases in its blocks"),
        Field::plain("use_shared_rel_pos_bias", Kind::Flag)
            .shown("relative position biases that blocks share"),
        Field::plain("swiglu_mlp", Kind::Flag).part("gated MLPs"),
        Field::plain("scale_mlp", Kind::Flag).part("norms in its MLPs"),
        Field::plain("fc_norm", Kind::Flag)
            .config_key("use_fc_norm", Kind::FlagOrPooling(&["avg"]))
            .shown("its last norm after pooling")
            .decided_by(&["global_pool"]),
        Field::of_registry("final_norm", "final_norm", Kind::Flag),
        Field::of_registry("act_layer", "act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)).of_class(),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    by_definition: "timm's BEiT where nothing else is said",
    build: |config| build("timm's BEiT", config, Beit::new),
    ..TimmDefinition::PLAIN
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    #[serde(flatten)]
    encoder: EncoderConfig,
    /// Says whether positions are embedded in the tokens.
    use_abs_pos_emb: bool,
    /// Says whether each block has a table of relative position biases.
    use_rel_pos_bias: bool,
    /// Says whether there is a table that all blocks share.
    use_shared_rel_pos_bias: bool,
}

struct Beit {
    patch_embed: PatchEmbed,
    cls_token: Parameter,
    pos_embed: Option<Parameter>,
    blocks: BiasedBlocks,
    pool: Pool,
    head: Option<Linear>,
}

impl Beit {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let encoder = &config.encoder;
        let EncoderConfig { embed_dim: dim, num_heads, .. } = *encoder;
        heads(dim, num_heads)?;
        let patch_embed = encoder.patch_embed(scope)?;
        let positions = patch_embed.count().saturating_add(1);
        let table = |scope: &Scope, is_there: bool| {
            let learned = || RelativePositionBias::new(scope, patch_embed.grid(), num_heads);
            is_there.then(|| learned().map(PositionTable::Learned)).transpose()
        };
        let blocks = scope.list("blocks", encoder.depth, |scope, _| {
            let (qkv, mlp) = (encoder.separate_biases(scope)?, encoder.mlp(scope)?);
            let block = encoder.block(scope, qkv, mlp, ["gamma_1", "gamma_2"])?;
            Ok((block, table(&scope.pp("attn"), config.use_rel_pos_bias)?))
        })?;
        let embedded = || scope.parameter("pos_embed", &[1, positions, dim]);
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            pos_embed: config.use_abs_pos_emb.then(embedded).transpose()?,
            blocks: BiasedBlocks {
                blocks,
                shared: table(&scope.pp("rel_pos_bias"), config.use_shared_rel_pos_bias)?,
            },
            pool: Pool::new(scope, encoder, 1)?,
            head: classifier(scope, "head", dim, encoder.num_classes)?,
            patch_embed,
        })
    }
}

impl Forward for Beit {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embed.forward(pixels, cx)?;
        let mut tokens = prepend(&self.cls_token.read(cx.weights())?, patches, cx)?;
        if let Some(positions) = &self.pos_embed {
            tokens.add_values(&positions.read(cx.weights())?)?;
        }
        cx.trace("pos_drop", &tokens);
        self.blocks.forward(&mut tokens, |index| format!("blocks.{index}"), cx)?;
        let features = self.pool.features(tokens, cx)?;
        let pooled = self.pool.pooled(&features, cx)?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}
