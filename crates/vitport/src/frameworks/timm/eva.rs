//! timm's `Eva` (timm/models/eva.py, 1.0.31) as far as a class of transformers holds it: EVA-01 (Fang et al. 2022, arXiv:2211.07636)
//! with learned positions, and DINOv3 (Siméoni et al. 2025, arXiv:2508.10104) with registers and rotary positions. Keys have no biases.

mod modules;
mod structure;

use serde::Deserialize;

use super::super::build;
use super::TimmDefinition;
use super::encoder::{EncoderConfig, Pool};
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier, heads};
use super::resampling::OtherSizes;
use crate::finding::Head;
use crate::nn::{
    Context, EncoderBlock, FeedForward, Forward, ForwardError, Gate, GatedMlp, Linear, Matrix, Outputs,
    Parameter, PatchEmbed, Pixels, Positions, Rotation, Scope, outputs_of_head, prepend, token,
};

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/eva",
    description: "timm's EVA and DINOv3",
    modules: &["eva"],
    family: structure::FAMILY,
    structure: structure::STRUCTURE,
    // EVA-01's. DINOv3 has no classifier, and no class of it has one: a layer next to such a network is left out.
    heads: &[Head::new("head", "fc_norm.weight")],
    saved_modules: &[modules::MODULES],
    other_sizes: OtherSizes::Positions,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depth", Kind::Number).shown("blocks"),
        Field::plain("num_heads", Kind::Number),
        Field::plain("swiglu_align_to", Kind::Number).otherwise(Literal::Number(0)),
        Field::plain("mlp_dim", Kind::Number)
            .config_key("mlp_ratio", Kind::RatioOf("embed_dim"))
            .shown("channels in its MLP"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries and values"),
        Field::plain("layer_scale", Kind::Flag)
            .config_key("init_values", Kind::IsNumber)
            .shown("layer scale"),
        Field::plain("class_token", Kind::Flag).shown("a class token"),
        Field::plain("reg_tokens", Kind::Number)
            .config_key("num_reg_tokens", Kind::Number)
            .shown("register tokens")
            .otherwise(Literal::Number(0)),
        Field::plain("pos_embed", Kind::Flag)
            .config_key("use_abs_pos_emb", Kind::Flag)
            .shown("position embeddings"),
        Field::plain("no_embed_class", Kind::Flag).shown("positions without the class token"),
        Field::plain("swiglu_mlp", Kind::Flag).part("gated MLPs"),
        Field::of_registry("mlp_packed", "mlp_layer", Kind::Word("SwiGLUPacked", &["Mlp", "SwiGLU"]))
            .part("gates and what they multiply in one layer"),
        Field::plain("scale_mlp", Kind::Flag).part("norms in its MLPs"),
        Field::plain("scale_attn_inner", Kind::Flag).part("norms in its attention"),
        Field::plain("qk_norm", Kind::Flag).part("norms of its queries and keys"),
        Field::plain("qkv_fused", Kind::Flag)
            .shown("one layer for queries, keys and values")
            .otherwise(Literal::YES),
        Field::plain("attn_only_layer_scale", Kind::Flag).part("layer scale after its attention alone"),
        Field::plain("pre_norm", Kind::Flag)
            .config_key("use_pre_transformer_norm", Kind::Flag)
            .part("a norm before the first block"),
        Field::of_registry("attn_pool", "attn_pool", Kind::IsSome).part("attention pooling"),
        Field::of_registry("block_norm", "block_norm", Kind::Text).otherwise(Literal::Text("LayerNorm")),
        Field::plain("attn_type", Kind::Text).otherwise(Literal::Text("eva")),
        Field::plain("fc_norm", Kind::Flag)
            .config_key("use_fc_norm", Kind::FlagOrPooling(&["avg"]))
            .shown("its last norm after pooling")
            .decided_by(&["global_pool"]),
        Field::plain("final_norm", Kind::Flag).config_key("use_post_transformer_norm", Kind::Flag),
        Field::plain("use_post_norm", Kind::Flag),
        Field::plain("use_rot_pos_emb", Kind::Flag),
        Field::plain("rope_type", Kind::Text),
        Field::plain("rope_temperature", Kind::Real),
        Field::plain("rope_rotate_half", Kind::Flag),
        Field::plain("rope_grid_indexing", Kind::Text),
        Field::plain("rope_grid_offset", Kind::Real),
        // Only training reads these.
        Field::argument("rope_shift_coords", "rope_shift_coords", Kind::IsNumber),
        Field::argument("rope_jitter_coords", "rope_jitter_coords", Kind::IsFactor),
        Field::argument("rope_rescale_coords", "rope_rescale_coords", Kind::IsFactor),
        Field::of_registry("act_layer", "act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)).of_class(),
        Field::named("averages", "global_pool", Kind::OtherThan("token")).otherwise(Literal::YES),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
        ("use_post_norm", Literal::NO),
        ("use_rot_pos_emb", Literal::NO),
        ("rope_type", Literal::Text("cat")),
        ("rope_temperature", Literal::Real(1e4)),
        ("rope_rotate_half", Literal::NO),
        ("rope_grid_indexing", Literal::Text("ij")),
        ("rope_grid_offset", Literal::Real(0.0)),
    ],
    // Networks without learned positions are DINOv3s.
    usual_instead: &[
        ("norm_eps", Literal::Real(1e-5), "pos_embed", Literal::NO),
        ("use_rot_pos_emb", Literal::YES, "pos_embed", Literal::NO),
        ("rope_type", Literal::Text("dinov3"), "pos_embed", Literal::NO),
        ("rope_temperature", Literal::Real(100.0), "pos_embed", Literal::NO),
        ("rope_rotate_half", Literal::YES, "pos_embed", Literal::NO),
        ("act_layer", Literal::Text("silu"), "swiglu_mlp", Literal::YES),
    ],
    by_definition: "timm's Eva where nothing else is said",
    build: |config| build("timm's Eva", config, Eva::new),
    ..TimmDefinition::PLAIN
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    #[serde(flatten)]
    encoder: EncoderConfig,
    /// Counts the registers between the class token and the patches.
    #[serde(default)]
    reg_tokens: usize,
    /// Says whether positions are embedded in all tokens.
    pos_embed: bool,
    /// Says whether queries and keys of patches are rotated as in DINOv3.
    use_rot_pos_emb: bool,
    /// Gives the base of the angles.
    rope_temperature: f64,
    /// Says whether the MLPs have a gate.
    #[serde(default)]
    swiglu_mlp: bool,
}

struct Eva {
    patch_embed: PatchEmbed,
    cls_token: Parameter,
    reg_token: Option<Parameter>,
    pos_embed: Option<Parameter>,
    rope: Option<Rotation>,
    blocks: Vec<EncoderBlock>,
    pool: Pool,
    head: Option<Linear>,
}

impl Eva {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (encoder, reg_tokens) = (&config.encoder, config.reg_tokens);
        let dim = encoder.embed_dim;
        let head_dim = heads(dim, encoder.num_heads)?.dim;
        let patch_embed = encoder.patch_embed(scope)?;
        let prefix = reg_tokens.saturating_add(1);
        let positions = patch_embed.count().saturating_add(prefix);
        let token = |name: &str, count: usize, is_there: bool| {
            is_there.then(|| scope.parameter(name, &[1, count, dim])).transpose()
        };
        let rotation = || Rotation::of_centers(patch_embed.grid(), head_dim, config.rope_temperature);
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            reg_token: token("reg_token", reg_tokens, reg_tokens > 0)?,
            pos_embed: token("pos_embed", positions, config.pos_embed)?,
            rope: config.use_rot_pos_emb.then(rotation).transpose()?,
            blocks: scope.list("blocks", encoder.depth, |scope, _| block(scope, config))?,
            pool: Pool::new(scope, encoder, prefix)?,
            head: classifier(scope, "head", dim, encoder.num_classes)?,
            patch_embed,
        })
    }

    /// Computes `_pos_embed`.
    fn embed(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let patches = self.patch_embed.forward(pixels, cx)?;
        let mut leading = self.cls_token.read(cx.weights())?;
        if let Some(registers) = &self.reg_token {
            leading.extend(registers.read(cx.weights())?);
        }
        let mut tokens = prepend(&leading, patches, cx)?;
        if let Some(positions) = &self.pos_embed {
            tokens.add_values(&positions.read(cx.weights())?)?;
        }
        Ok(tokens)
    }
}

/// Builds `EvaBlock`.
fn block(scope: &Scope, config: &Config) -> Result<EncoderBlock, ForwardError> {
    let encoder = &config.encoder;
    let mlp = if config.swiglu_mlp { gated(scope, encoder)? } else { encoder.mlp(scope)? };
    encoder.block(scope, encoder.separate_biases(scope)?, mlp, ["gamma_1", "gamma_2"])
}

/// Builds `SwiGLU`.
fn gated(block: &Scope, config: &EncoderConfig) -> Result<FeedForward, ForwardError> {
    let (mlp, dim, hidden) = (block.pp("mlp"), config.embed_dim, config.mlp_dim);
    let inner = |name: &str| Linear::new(&mlp.pp(name), dim, hidden, true);
    let gate = Gate::Separate([inner("fc1_g")?, inner("fc1_x")?]);
    let fc2 = Linear::new(&mlp.pp("fc2"), hidden, dim, true)?;
    Ok(FeedForward::Gated(GatedMlp::new(gate, activation(&config.act_layer)?, fc2)))
}

impl Forward for Eva {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut tokens = self.embed(pixels, cx)?;
        cx.trace("pos_drop", &tokens);
        let positions = self.rope.as_ref().map_or(Positions::Embedded, Positions::Rotated);
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut tokens, positions, cx)?;
            cx.trace(&format!("blocks.{index}"), &tokens);
        }
        let features = self.pool.features(tokens, cx)?;
        let pooled = self.pool.pooled(&features, cx)?;
        let mut outputs = outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)?;
        outputs.push("forward_features[0]", token(&features, 0)?.into_values());
        Ok(outputs)
    }
}
