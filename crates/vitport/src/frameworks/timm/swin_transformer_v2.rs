//! timm's `SwinTransformerV2` (timm/models/swin_transformer_v2.py, 1.0.31; Liu et al. 2021, arXiv:2111.09883): Swin with norms after
//! attention and MLP, cosines for scores, and an MLP that makes the biases of windows of any size.

mod modules;
mod torchvision_modules;

use serde::Deserialize;

use super::super::source::{Inquiry, lengths};
use super::super::{build, of_stage};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier};
use super::resampling::OtherSizes;
use super::stage_ratio;
use super::structure::{Sign, Structure};
use super::swin_modules;
use crate::facts::{Evidence, FactError};
use crate::finding::Head;
use crate::nn::{
    Context, ContinuousPositionBias, Conv2d, CosineScale, FeatureMap, Forward, ForwardError, Grid, Heads,
    LayerNorm, Linear, Mlp, Outputs, PatchMerging, Pixels, Qkv, Scope, SelfAttention, Window,
    WindowAttention, WindowBlock, WindowStage, WindowTable, outputs_of_head,
};

const FAMILY: &str = "SwinV2";
/// Counts the features between the two layers that make biases.
const HIDDEN: usize = 512;
/// Is added to the scores of tokens that a shift has brought together from opposite edges.
const APART: f32 = -100.0;

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/swin_transformer_v2",
    description: "timm's SwinV2",
    modules: &["swin_transformer_v2"],
    family: FAMILY,
    structure: Structure {
        recognised_by: &[
            &["patch_embed.proj.weight"],
            &["layers.0.blocks.0.attn.cpb_mlp.0.weight"],
            &["layers.0.blocks.0.attn.logit_scale"],
        ],
        unlike: &[],
        signs: &[
            ("in_chans", Sign::Axis("patch_embed.proj.weight", 1, 4)),
            ("patch_size", Sign::Edges("patch_embed.proj.weight")),
            ("embed_dim", Sign::Axis("patch_embed.proj.weight", 0, 4)),
            ("depths", Sign::Count("layers.{s}.blocks")),
            ("heads", Sign::Axis("layers.{s}.blocks.{b}.attn.logit_scale", 0, 3)),
            ("qkv_bias", Sign::Has("layers.0.blocks.0.attn.q_bias")),
            ("downsample", Sign::Has("layers.{s}.downsample.reduction.weight")),
            ("num_classes", Sign::Classes("head.fc.weight")),
        ],
        check: Some(check),
    },
    heads: &[
        Head::new("head.fc", "norm.weight").shown_by("layers.1.downsample.norm.weight"),
        // Microsoft's, and torchvision's.
        Head::new("head", "norm.weight").shown_by("layers.0.downsample.norm.weight"),
        Head::new("head", "norm.weight").shown_by("features.0.0.weight"),
    ],
    saved_modules: &[
        modules::MODULES,
        swin_modules::MODULES,
        torchvision_modules::MODULES,
        swin_modules::OF_TORCHVISION,
    ],
    other_sizes: OtherSizes::Windows,
    fields: &[
        Field::plain("embed_dim", Kind::Number).shown("channels"),
        Field::plain("depths", Kind::Numbers).shown("blocks by stage"),
        Field::named("heads", "num_heads", Kind::Numbers).shown("heads by stage"),
        Field::plain("window_size", Kind::Number).config_key("window_size", Kind::Windows),
        Field::plain("pretrained_window_sizes", Kind::Numbers)
            .config_key("pretrained_window_sizes", Kind::ForEach("depths")),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::plain("mlp_ratio", Kind::Real).shown("as its MLPs' ratio"),
        Field::plain("qkv_bias", Kind::Flag).shown("biases of queries and values"),
        Field::plain("always_partition", Kind::Flag).otherwise(Literal::NO),
        // torchvision's windows keep their size on smaller maps; timm's never do, and no argument of it says so.
        Field::of_registry("fixed_windows", "fixed_windows", Kind::Flag).otherwise(Literal::NO),
        Field::plain("norm_layer", Kind::Text).of_class().otherwise(Literal::Text("LayerNorm")),
        Field::plain("act_layer", Kind::Activation),
        Field::of_registry("norm_eps", "norm_eps", Kind::Real),
        Field::argument("strict_img_size", "strict_img_size", Kind::Flag),
        Field::argument("img_size", "img_size", Kind::Pair),
    ],
    usual: &[
        ("norm_eps", Literal::Real(1e-5)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
        ("window_size", Literal::Number(8)),
        ("pretrained_window_sizes", Literal::Numbers(&[0, 0, 0, 0])),
    ],
    // Weights are the same for windows of every size.
    left_open: &[("window_size", "computed_positions"), ("pretrained_window_sizes", "computed_positions")],
    by_definition: "timm's SwinV2 where nothing else is said",
    build: |config| build("timm's SwinV2", config, Whole::new),
    ..TimmDefinition::PLAIN
};

/// Reads how wide the MLPs are, and which images make whole maps in every stage.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let axis = |name: &str, axis: usize, axes: usize| {
        Ok::<_, FactError>(lengths(tensors, name, axes, FAMILY)?.get(axis).copied().unwrap_or(0))
    };
    let stages = tensors.count_indices("layers.").min(8);
    stage_ratio::read(inquiry, stages, FAMILY, evidence)?;
    let stages = u32::try_from(stages).unwrap_or(0);
    let merged = 1_u64 << stages.saturating_sub(1);
    let patch = axis("patch_embed.proj.weight", 2, 4)?;
    evidence.weights("img_size_step", patch.saturating_mul(merged), "downsample");
    evidence.weights("computed_positions", true, "layers.0.blocks.0.attn.cpb_mlp.0.weight");
    Ok(true)
}

/// Says what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Counts the channels of the image.
    in_chans: usize,
    /// Counts the classes of the head; 0 for a network without one.
    num_classes: usize,
    /// Gives the height and width of a patch in pixels.
    patch_size: [usize; 2],
    /// Counts the channels of the first stage; each further one has twice as many.
    embed_dim: usize,
    /// Lists the number of blocks of each stage.
    depths: Vec<usize>,
    /// Lists the attention heads of each stage (`num_heads`).
    heads: Vec<usize>,
    /// Counts the tokens along an edge of a window.
    window_size: usize,
    /// Lists for each stage the tokens along an edge of the windows that it was first trained with; 0 for its own.
    pretrained_window_sizes: Vec<usize>,
    /// Gives the width of the MLPs, as a multiple of the stage's.
    mlp_ratio: f64,
    /// Says whether queries and values have biases.
    qkv_bias: bool,
    /// Names the activation of the MLPs.
    act_layer: String,
    /// Gives the epsilon of every norm.
    norm_eps: f64,
    /// Gives that of the blocks' norms and of the last, where a folder of transformers has another one there, which timm cannot.
    #[serde(default)]
    block_norm_eps: Option<f64>,
}

impl Config {
    fn block_norm_eps(&self) -> f64 {
        self.block_norm_eps.unwrap_or(self.norm_eps)
    }
}

struct Whole {
    channels: usize,
    patch_embed: Conv2d,
    patch_norm: LayerNorm,
    layers: Vec<WindowStage>,
    norm: LayerNorm,
    fc: Option<Linear>,
}

impl Whole {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (dim, eps) = (config.embed_dim, config.norm_eps);
        let window = Window::patches(config.patch_size.into());
        let last = width(dim, config.depths.len().saturating_sub(1));
        Ok(Self {
            channels: config.in_chans,
            patch_embed: Conv2d::new(&scope.pp("patch_embed.proj"), config.in_chans, dim, window, true)?,
            patch_norm: LayerNorm::new(&scope.pp("patch_embed.norm"), dim, eps)?,
            layers: scope.list("layers", config.depths.len(), |scope, index| stage(scope, config, index))?,
            norm: LayerNorm::new(&scope.pp("norm"), last, config.block_norm_eps())?,
            fc: classifier(scope, "head.fc", last, config.num_classes)?,
        })
    }
}

/// Returns the channels of a stage.
fn width(embed_dim: usize, stage: usize) -> usize {
    (0..stage).fold(embed_dim, |width, _| width.saturating_mul(2))
}

/// Makes a `SwinTransformerV2Stage`.
fn stage(scope: &Scope, config: &Config, index: usize) -> Result<WindowStage, ForwardError> {
    let (dim, depth) = (width(config.embed_dim, index), of_stage("depths", &config.depths, index)?);
    let merging = |above: usize| {
        let (scope, joined) = (scope.pp("downsample"), width(config.embed_dim, above).saturating_mul(4));
        let reduction = Linear::new(&scope.pp("reduction"), joined, dim, false)?;
        let norm = LayerNorm::new(&scope.pp("norm"), dim, config.norm_eps)?;
        Ok::<_, ForwardError>(PatchMerging::new(norm, reduction, false))
    };
    let blocks = scope.list("blocks", depth, |scope, number| block(scope, config, [index, dim], number))?;
    Ok(WindowStage::new(index.checked_sub(1).map(merging).transpose()?, blocks))
}

/// Makes a `SwinTransformerV2Block`: every other one has shifted windows.
fn block(
    scope: &Scope,
    config: &Config,
    [stage, dim]: [usize; 2],
    number: usize,
) -> Result<WindowBlock, ForwardError> {
    let heads = of_stage("num_heads", &config.heads, stage)?;
    let pretrained = of_stage("pretrained_window_sizes", &config.pretrained_window_sizes, stage)?;
    let (attn, window) = (scope.pp("attn"), config.window_size);
    let layer = Linear::new(&attn.pp("qkv"), dim, dim.saturating_mul(3), false)?;
    let qkv = if config.qkv_bias {
        let bias = |name| attn.parameter(name, &[dim]);
        Qkv::FusedWithBiases { layer, query_bias: bias("q_bias")?, value_bias: bias("v_bias")? }
    } else {
        Qkv::Fused(layer)
    };
    let proj = Linear::new(&attn.pp("proj"), dim, dim, true)?;
    let scaled = Heads { scale: 1.0, ..Heads::of_width(heads, dim) };
    let attention = SelfAttention::new(qkv, scaled, proj).of_cosines(CosineScale::new(&attn, heads)?);
    let layers = ["cpb_mlp.0", "cpb_mlp.2"];
    let table = ContinuousPositionBias::named(&attn, layers, [HIDDEN, heads], pretrained)?;
    let shift = if number.is_multiple_of(2) { 0 } else { window / 2 };
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, config.block_norm_eps());
    let sizes = [dim, (dim as f64 * config.mlp_ratio) as usize, dim];
    let mlp =
        Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation(&config.act_layer)?)?;
    let attention =
        WindowAttention::new(attention, WindowTable::Computed(Box::new(table)), [window, shift], APART);
    Ok(WindowBlock::new([norm("norm1")?, norm("norm2")?], attention, mlp).normalized_after())
}

impl Forward for Whole {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let [_, height, width] = pixels.shape();
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.channels, height, width])?;
        let patches = self.patch_embed.forward(grid, cx)?;
        let mut map = FeatureMap { tokens: self.patch_norm.forward(&patches.tokens, cx)?, ..patches };
        cx.trace("patch_embed", &map.tokens);
        for (index, layer) in self.layers.iter().enumerate() {
            map = layer.forward(map, |block| format!("layers.{index}.blocks.{block}"), cx)?;
        }
        map.tokens = self.norm.forward(&map.tokens, cx)?;
        cx.trace("norm", &map.tokens);
        outputs_of_head(["pre_logits", "logits"], &map.mean()?, self.fc.as_ref(), cx)
    }
}
