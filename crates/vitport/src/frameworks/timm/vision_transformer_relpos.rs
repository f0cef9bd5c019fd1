//! timm's `VisionTransformerRelPos` (timm/models/vision_transformer_relpos.py, 1.0.31): a ViT without position embeddings, whose
//! attention adds a number for each distance of two patches, which is learned or which an MLP makes of the distance's logarithm.

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
    BiasedBlocks, Context, EncoderBlock, FeedForward, Forward, ForwardError, LayerNorm, LayerScale, Linear,
    LogPositionBias, Matrix, Mlp, Norm, Outputs, Parameter, PatchEmbed, Pixels, PositionTable, Qkv,
    RelativePositionBias, Scope, SelfAttention, mean_of_rows, outputs_of_head, prepend, token,
    without_leading,
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
        Field::argument("layer_scale", "init_values", Kind::IsNumber).shown("layer scale"),
        Field::plain("class_token", Kind::Flag).shown("a class token"),
        Field::plain("rel_pos_type", Kind::RelativePositions).shown("as the kind of its relative positions"),
        Field::plain("rel_pos_dim", Kind::Number).shown("channels in its MLPs of positions"),
        Field::plain("shared_rel_pos", Kind::Flag).shown("relative positions that blocks share"),
        Field::plain("fc_norm", Kind::Flag).shown("its last norm after pooling"),
        Field::of_registry("final_norm", "final_norm", Kind::Flag),
        Field::of_registry("block", "block_fn", Kind::Text),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real).config_key("norm_layer", Kind::NormEps(1e-6)),
        Field::plain("global_pool", Kind::Text),
        Field::argument("in_chans", "in_chans", Kind::Number),
        Field::argument("num_classes", "num_classes", Kind::Number),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("layer_scale", Literal::YES),
        ("block", Literal::Text("RelPosBlock")),
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    usual_instead: &[],
    // A block whose norms stand after its branches has the tensors of one without layer scale.
    left_open: &[("block", "unscaled"), ("global_pool", "class_token")],
    by_definition: "timm's VisionTransformerRelPos where nothing else is said",
    build: |config| build("timm's VisionTransformerRelPos", config, VisionTransformerRelPos::new),
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
    /// Says whether queries, keys and values have biases.
    qkv_bias: bool,
    /// Says whether each branch has a layer scale: `init_values` is not None.
    layer_scale: bool,
    /// Says whether there is a class token.
    class_token: bool,
    /// Is `mlp` or `bias`.
    rel_pos_type: String,
    /// Gives the width of the hidden layer of an MLP that makes biases.
    #[serde(default)]
    rel_pos_dim: usize,
    /// Says whether all blocks share one table.
    shared_rel_pos: bool,
    /// Says whether the last norm stands after pooling, and not before it.
    fc_norm: bool,
    /// Is `avg` or `token`.
    global_pool: String,
    /// Gives timm's name of the MLP's activation.
    act_layer: String,
    /// Gives the epsilon of every layer normalisation.
    norm_eps: f64,
}

struct VisionTransformerRelPos {
    patch_embed: PatchEmbed,
    cls_token: Option<Parameter>,
    blocks: BiasedBlocks,
    norm: LayerNorm,
    head: Option<Linear>,
    /// Says whether the norm stands after the pooling.
    fc_norm: bool,
    takes_mean: bool,
}

impl VisionTransformerRelPos {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let Config { embed_dim: dim, img_size: [height, width], class_token, .. } = *config;
        let (proj, input) = (scope.pp("patch_embed.proj"), [config.in_chans, height, width]);
        let patch_embed = PatchEmbed::new(&proj, input, config.patch_size.into(), dim, true)?;
        let grid = patch_embed.grid();
        let own = |scope: &Scope| {
            let is_own = !config.shared_rel_pos;
            is_own.then(|| table(&scope.pp("attn.rel_pos"), config, grid)).transpose()
        };
        Ok(Self {
            cls_token: class_token.then(|| scope.parameter("cls_token", &[1, 1, dim])).transpose()?,
            blocks: BiasedBlocks {
                blocks: scope
                    .list("blocks", config.depth, |scope, _| Ok((block(scope, config)?, own(scope)?)))?,
                shared: config
                    .shared_rel_pos
                    .then(|| table(&scope.pp("shared_rel_pos"), config, grid))
                    .transpose()?,
            },
            norm: LayerNorm::new(
                &scope.pp(if config.fc_norm { "fc_norm" } else { "norm" }),
                dim,
                config.norm_eps,
            )?,
            head: classifier(scope, "head", dim, config.num_classes)?,
            fc_norm: config.fc_norm,
            takes_mean: config.global_pool == "avg",
            patch_embed,
        })
    }

    /// Computes `forward_head` without the last layer, and the norm before it.
    fn pool(&self, mut tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        if !self.fc_norm {
            tokens = self.norm.forward(&tokens, cx)?;
            cx.trace("norm", &tokens);
        }
        let pooled = if self.takes_mean {
            let mean = mean_of_rows(&without_leading(&tokens, usize::from(self.cls_token.is_some()))?);
            Matrix::from_values(1, mean.len(), mean)?
        } else {
            token(&tokens, 0)?
        };
        if self.fc_norm { self.norm.forward(&pooled, cx) } else { Ok(pooled) }
    }
}

/// Builds `RelPosMlp` or `RelPosBias`.
fn table(scope: &Scope, config: &Config, grid: (usize, usize)) -> Result<PositionTable, ForwardError> {
    let Config { num_heads, rel_pos_dim, class_token, .. } = *config;
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

/// Builds `RelPosBlock` without its table.
fn block(scope: &Scope, config: &Config) -> Result<EncoderBlock, ForwardError> {
    let Config { embed_dim: dim, mlp_dim, qkv_bias, .. } = *config;
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, config.norm_eps).map(Norm::Layer);
    let scale =
        |name: &str| config.layer_scale.then(|| LayerScale::new(&scope.pp(name), "gamma", dim)).transpose();
    let attn = scope.pp("attn");
    let qkv = Qkv::Fused(Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), qkv_bias)?);
    let proj = Linear::new(&attn.pp("proj"), dim, dim, true)?;
    let (sizes, activation) = ([dim, mlp_dim, dim], activation(&config.act_layer)?);
    let mlp = Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?;
    Ok(EncoderBlock {
        norm1: norm("norm1")?,
        attention: SelfAttention::new(qkv, heads(dim, config.num_heads)?, proj),
        scale1: scale("ls1")?,
        norm2: norm("norm2")?,
        mlp: FeedForward::Plain(mlp),
        scale2: scale("ls2")?,
    })
}

impl Forward for VisionTransformerRelPos {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut tokens = self.patch_embed.forward(pixels, cx)?;
        if let Some(cls_token) = &self.cls_token {
            tokens = prepend(&cls_token.read(cx.weights())?, tokens, cx)?;
        }
        cx.trace("embeddings", &tokens);
        self.blocks.forward(&mut tokens, |index| format!("blocks.{index}"), cx)?;
        let pooled = self.pool(tokens, cx)?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.head.as_ref(), cx)
    }
}
