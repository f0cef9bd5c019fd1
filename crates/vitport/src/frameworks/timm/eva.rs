//! timm's `Eva` (timm/models/eva.py, 1.0.31) as far as a class of transformers holds it: EVA-01 (Fang et al. 2022, arXiv:2211.07636)
//! with learned positions, and DINOv3 (Siméoni et al. 2025, arXiv:2508.10104) with registers and rotary positions. Keys have no biases.

mod modules;
mod structure;

use serde::Deserialize;

use super::super::build;
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier, heads};
use super::resampling::OtherSizes;
use crate::finding::Head;
use crate::nn::{
    Context, EncoderBlock, FeedForward, Forward, ForwardError, Gate, GatedMlp, LayerNorm, LayerScale, Linear,
    Matrix, Mlp, Norm, Outputs, Parameter, PatchEmbed, Pixels, Positions, Qkv, Rotation, Scope,
    SelfAttention, mean_of_rows, outputs_of_head, prepend, token, without_leading,
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
            .config_key("use_fc_norm", Kind::Flag)
            .shown("its last norm after pooling")
            .decided_by("global_pool"),
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
        Field::argument("rope_jitter_coords", "rope_jitter_coords", Kind::IsNumber),
        Field::argument("rope_rescale_coords", "rope_rescale_coords", Kind::IsNumber),
        Field::of_registry("act_layer", "act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)).of_class(),
        Field::plain("global_pool", Kind::Text),
        Field::named("averages", "global_pool", Kind::OtherThan("token")).otherwise(Literal::YES),
        Field::argument("in_chans", "in_chans", Kind::Number),
        Field::argument("num_classes", "num_classes", Kind::Number),
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
    left_open: &[],
    by_definition: "timm's Eva where nothing else is said",
    build: |config| build("timm's Eva", config, Eva::new),
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the height and width of the image in pixels.
    img_size: [usize; 2],
    /// Gives the height and width of a patch in pixels.
    patch_size: [usize; 2],
    /// Gives the channels of the image.
    in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    num_classes: usize,
    /// Gives the width of a token.
    embed_dim: usize,
    /// Gives the number of blocks.
    depth: usize,
    /// Gives the attention heads.
    num_heads: usize,
    /// Gives the width of the hidden layer of a block's MLP.
    mlp_dim: usize,
    /// Says whether queries and values have biases; keys never do.
    qkv_bias: bool,
    /// Says whether each branch has a layer scale: `init_values` is not None.
    layer_scale: bool,
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
    /// Says whether the last norm stands after pooling, and not before it.
    fc_norm: bool,
    /// Is `avg` or `token`.
    global_pool: String,
    /// Gives timm's name of the MLP's activation.
    act_layer: String,
    /// Gives the epsilon of every layer normalisation.
    norm_eps: f64,
}

struct Eva {
    patch_embed: PatchEmbed,
    cls_token: Parameter,
    reg_token: Option<Parameter>,
    pos_embed: Option<Parameter>,
    rope: Option<Rotation>,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
    head: Option<Linear>,
    /// Says whether the norm stands after the pooling.
    fc_norm: bool,
    takes_mean: bool,
    prefix: usize,
}

impl Eva {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, img_size: [height, width], reg_tokens, .. } = *config;
        let head_dim = heads(dim, config.num_heads)?.dim;
        let (proj, input) = (scope.pp("patch_embed.proj"), [config.in_chans, height, width]);
        let patch_embed = PatchEmbed::new(&proj, input, config.patch_size.into(), dim, true)?;
        let prefix = reg_tokens.saturating_add(1);
        let positions = patch_embed.count().saturating_add(prefix);
        let token = |name: &str, count: usize, is_there: bool| {
            is_there.then(|| scope.parameter(name, &[1, count, dim])).transpose()
        };
        let rotation = || Rotation::of_centers(patch_embed.grid(), head_dim, config.rope_temperature);
        let norm = if config.fc_norm { "fc_norm" } else { "norm" };
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, dim])?,
            reg_token: token("reg_token", reg_tokens, reg_tokens > 0)?,
            pos_embed: token("pos_embed", positions, config.pos_embed)?,
            rope: config.use_rot_pos_emb.then(rotation).transpose()?,
            blocks: scope.list("blocks", config.depth, |scope, _| block(scope, config))?,
            norm: LayerNorm::new(&scope.pp(norm), dim, config.norm_eps)?,
            head: classifier(scope, "head", dim, config.num_classes)?,
            fc_norm: config.fc_norm,
            takes_mean: config.global_pool == "avg",
            prefix,
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
    let Config { embed_dim: dim, mlp_dim: hidden, .. } = *config;
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, config.norm_eps).map(Norm::Layer);
    let scale = |name: &str| config.layer_scale.then(|| LayerScale::new(scope, name, dim)).transpose();
    let attn = scope.pp("attn");
    let layer = Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), false)?;
    let qkv = match config.qkv_bias {
        false => Qkv::Fused(layer),
        true => Qkv::FusedWithBiases {
            layer,
            query_bias: attn.parameter("q_bias", &[dim])?,
            value_bias: attn.parameter("v_bias", &[dim])?,
        },
    };
    let proj = Linear::new(&attn.pp("proj"), dim, dim, true)?;
    let (mlp, activation) = (scope.pp("mlp"), activation(&config.act_layer)?);
    let inner = |name: &str| Linear::new(&mlp.pp(name), dim, hidden, true);
    let fc2 = Linear::new(&mlp.pp("fc2"), hidden, dim, true)?;
    let mlp = match config.swiglu_mlp {
        false => FeedForward::Plain(Mlp::new(inner("fc1")?, activation, fc2)),
        true => {
            let gate = Gate::Separate([inner("fc1_g")?, inner("fc1_x")?]);
            FeedForward::Gated(GatedMlp::new(gate, activation, fc2))
        }
    };
    Ok(EncoderBlock {
        norm1: norm("norm1")?,
        attention: SelfAttention::new(qkv, heads(dim, config.num_heads)?, proj),
        scale1: scale("gamma_1")?,
        norm2: norm("norm2")?,
        mlp,
        scale2: scale("gamma_2")?,
    })
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
        if !self.fc_norm {
            tokens = self.norm.forward(&tokens, cx)?;
            cx.trace("norm", &tokens);
        }
        let class_token = token(&tokens, 0)?;
        let mut pooled = if self.takes_mean {
            let mean = mean_of_rows(&without_leading(&tokens, self.prefix)?);
            Matrix::from_values(1, mean.len(), mean)?
        } else {
            class_token.clone()
        };
        if self.fc_norm {
            pooled = self.norm.forward(&pooled, cx)?;
        }
        let mut outputs = outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)?;
        outputs.push("forward_features[0]", class_token.into_values());
        Ok(outputs)
    }
}
