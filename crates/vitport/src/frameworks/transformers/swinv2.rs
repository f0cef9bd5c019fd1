//! transformers' `Swinv2ForImageClassification` and `Swinv2Model` (models/swinv2/modeling_swinv2.py, 4.57.6 and 5.23.0). The norms of
//! patches and of merged patches have an epsilon of 1e-5, all others `layer_norm_eps`. What keeps tokens of opposite edges apart is
//! added to their scores twice.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, ContinuousPositionBias, Conv2d, CosineScale, FeatureMap, Forward, ForwardError, Grid, Heads,
    LayerNorm, Linear, Mlp, Outputs, PatchMerging, Pixels, Qkv, Scope, SelfAttention, Window,
    WindowAttention, WindowBlock, WindowStage, WindowTable, outputs_of_head,
};

/// Gives the default of `torch.nn.LayerNorm`.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Is added to the scores of tokens that a shift has brought together from opposite edges: -100, twice.
const APART: f32 = -200.0;
/// Counts the features between the two layers that make biases.
const HIDDEN: usize = 512;

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/swinv2",
    classes: ["Swinv2ForImageClassification", "Swinv2Model"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &["pretrained_window_sizes"],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/swinv2.v4.json")),
    ignored_keys: &["encoder_stride", "hidden_size", "num_layers"],
    build: |config, has_classifier| {
        build("Swinv2Config", config, |root, config| Swinv2Model::new(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Swinv2Config {
    num_channels: usize,
    image_size: ImageSize,
    patch_size: ImageSize,
    embed_dim: usize,
    depths: Vec<usize>,
    num_heads: Vec<usize>,
    window_size: usize,
    pretrained_window_sizes: Vec<usize>,
    mlp_ratio: f64,
    qkv_bias: bool,
    hidden_act: String,
    use_absolute_embeddings: bool,
    layer_norm_eps: f64,
    #[serde(flatten)]
    labels: Labels,
}

struct Swinv2Model {
    channels: usize,
    projection: Conv2d,
    norm: LayerNorm,
    layers: Vec<WindowStage>,
    layernorm: LayerNorm,
    classifier: Option<Linear>,
}

impl Swinv2Model {
    fn new(root: &Scope, config: &Swinv2Config, has_classifier: bool) -> Result<Self, ForwardError> {
        if config.use_absolute_embeddings {
            return Err(ForwardError::config("use_absolute_embeddings is true, which is not defined here"));
        }
        let scope = if has_classifier { root.pp("swinv2") } else { root.clone() };
        let (embeddings, dim) = (scope.pp("embeddings"), config.embed_dim);
        let window = Window::patches(config.patch_size.sides());
        let layers = config.depths.len();
        let last = channels(dim, layers.saturating_sub(1));
        let classifier = || Linear::new(&root.pp("classifier"), last, config.labels.count(), true);
        Ok(Self {
            channels: config.num_channels,
            projection: Conv2d::new(
                &embeddings.pp("patch_embeddings.projection"),
                config.num_channels,
                dim,
                window,
                true,
            )?,
            norm: LayerNorm::new(&embeddings.pp("norm"), dim, LAYER_NORM_EPS)?,
            layers: stages(&scope.pp("encoder"), config)?,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), last, config.layer_norm_eps)?,
            classifier: has_classifier.then(classifier).transpose()?,
        })
    }
}

/// Returns the channels of a stage.
fn channels(embed_dim: usize, stage: usize) -> usize {
    (0..stage).fold(embed_dim, |channels, _| channels.saturating_mul(2))
}

/// Makes the stages of `Swinv2Encoder`. A stage merges patches at its end, which is before the blocks of the next.
fn stages(scope: &Scope, config: &Swinv2Config) -> Result<Vec<WindowStage>, ForwardError> {
    let (mut stages, mut before) = (Vec::new(), None);
    for (index, &depth) in config.depths.iter().enumerate() {
        let (scope, dim) = (scope.pp("layers").pp(index), channels(config.embed_dim, index));
        let blocks =
            scope.list("blocks", depth, |scope, number| layer(scope, config, [index, dim], number))?;
        let merging = || {
            let (scope, joined) = (scope.pp("downsample"), dim.saturating_mul(4));
            let reduction = Linear::new(&scope.pp("reduction"), joined, dim.saturating_mul(2), false)?;
            let norm = LayerNorm::new(&scope.pp("norm"), dim.saturating_mul(2), LAYER_NORM_EPS)?;
            Ok::<_, ForwardError>(PatchMerging::new(norm, reduction, false))
        };
        let has_next = index.saturating_add(1) < config.depths.len();
        let next = has_next.then(merging).transpose()?;
        stages.push(WindowStage::new(std::mem::replace(&mut before, next), blocks));
    }
    Ok(stages)
}

/// Makes a `Swinv2Layer`.
fn layer(
    scope: &Scope,
    config: &Swinv2Config,
    [stage, dim]: [usize; 2],
    number: usize,
) -> Result<WindowBlock, ForwardError> {
    let heads = of_stage("num_heads", &config.num_heads, stage)?;
    let pretrained = of_stage("pretrained_window_sizes", &config.pretrained_window_sizes, stage)?;
    let (own, window) = (scope.pp("attention.self"), config.window_size);
    let linear = |name: &str, has_bias| Linear::new(&own.pp(name), dim, dim, has_bias);
    let bias = config.qkv_bias;
    let qkv = Qkv::Separate([linear("query", bias)?, linear("key", false)?, linear("value", bias)?]);
    let dense = Linear::new(&scope.pp("attention.output.dense"), dim, dim, true)?;
    let scaled = Heads { scale: 1.0, ..Heads::of_width(heads, dim) };
    let attention = SelfAttention::new(qkv, scaled, dense).of_cosines(CosineScale::new(&own, heads)?);
    let layers = ["continuous_position_bias_mlp.0", "continuous_position_bias_mlp.2"];
    let table = ContinuousPositionBias::named(&own, layers, [HIDDEN, heads], pretrained)?;
    let shift = if number.is_multiple_of(2) { 0 } else { window / 2 };
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, config.layer_norm_eps);
    let sizes = [dim, (config.mlp_ratio * dim as f64) as usize, dim];
    let act = activation("hidden_act", &config.hidden_act)?;
    let mlp = Mlp::with_biases(Linear::new, scope, ["intermediate.dense", "output.dense"], sizes, act)?;
    let attention =
        WindowAttention::new(attention, WindowTable::Computed(Box::new(table)), [window, shift], APART);
    let norms = [norm("layernorm_before")?, norm("layernorm_after")?];
    Ok(WindowBlock::new(norms, attention, mlp).normalized_after())
}

impl Forward for Swinv2Model {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let [_, height, width] = pixels.shape();
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.channels, height, width])?;
        let patches = self.projection.forward(grid, cx)?;
        let mut map = FeatureMap { tokens: self.norm.forward(&patches.tokens, cx)?, ..patches };
        cx.trace("embeddings", &map.tokens);
        for (index, layer) in self.layers.iter().enumerate() {
            map = layer.forward(map, |block| format!("encoder.layers.{index}.blocks.{block}"), cx)?;
        }
        map.tokens = self.layernorm.forward(&map.tokens, cx)?;
        cx.trace("layernorm", &map.tokens);
        outputs_of_head(["pooler_output", "logits"], &map.mean()?, self.classifier.as_ref(), cx)
    }
}
