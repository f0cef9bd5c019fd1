//! transformers' `ConvNextForImageClassification` and `ConvNextModel` (models/convnext/modeling_convnext.py, 4.57.6 and
//! 5.23.0). Every norm has an epsilon of 1e-6 but the last, whose epsilon is `layer_norm_eps`.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Conv2d, DepthwiseBlock, DepthwiseNames, DepthwiseNetwork, DepthwiseStage, ForwardError,
    GlobalResponseNorm, LayerNorm, LayerScale, Linear, Mlp, NormConv, Scope, Window,
};

/// Is the default of `ConvNextLayerNorm`, which every normalisation but the last is built with.
const LAYER_NORM_EPS: f64 = 1e-6;

/// Gives the epsilon of `ConvNextV2GRN`.
const GRN_EPS: f64 = 1e-6;

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/convnext",
    classes: ["ConvNextForImageClassification", "ConvNextModel"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/convnext.v4.json")),
    ignored_keys: &["image_size"],
    build: |config, has_classifier| {
        build("ConvNextConfig", config, |root, config| network(root, config, has_classifier, Version::One))
    },
};

/// Says which of the two copies of the classes is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Means `ConvNextModel`, whose layers may have a layer scale.
    One,
    /// Means `ConvNextV2Model`, whose MLPs have a global response normalisation.
    Two,
}

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ConvNextConfig {
    num_channels: usize,
    patch_size: ImageSize,
    num_stages: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    layer_norm_eps: f64,
    /// Gives a key of the first version only.
    #[serde(default)]
    layer_scale_init_value: f64,
    #[serde(flatten)]
    labels: Labels,
}

/// Builds `ConvNextModel` or `ConvNextV2Model`, with a classifier or without.
pub(super) fn network(
    root: &Scope,
    config: &ConvNextConfig,
    has_classifier: bool,
    version: Version,
) -> Result<DepthwiseNetwork, ForwardError> {
    let prefix = if version == Version::Two { "convnextv2" } else { "convnext" };
    let scope = if has_classifier { root.pp(prefix) } else { root.clone() };
    let (embeddings, channels) = (scope.pp("embeddings"), config.num_channels);
    let window = Window::patches(config.patch_size.sides());
    let Some(&[first, .., last]) = config.hidden_sizes.get(..config.num_stages) else {
        return Err(ForwardError::config("hidden_sizes has fewer entries than num_stages, or than two"));
    };
    let patches = Conv2d::new(&embeddings.pp("patch_embeddings"), channels, first, window, true)?;
    let stem = (patches, LayerNorm::new(&embeddings.pp("layernorm"), first, LAYER_NORM_EPS)?);
    let stages =
        scope.list("encoder.stages", config.num_stages, |scope, i| stage(scope, config, i, version))?;
    let norm = LayerNorm::new(&scope.pp("layernorm"), last, config.layer_norm_eps)?;
    let classifier = || Linear::new(&root.pp("classifier"), last, config.labels.count(), true);
    let names = DepthwiseNames {
        stage: |stage| ["downsampling_layer", "layers"].map(|part| format!("encoder.stages.{stage}.{part}")),
        norm: "layernorm",
        outputs: ["pooler_output", "logits"],
    };
    Ok(DepthwiseNetwork::new(stem, stages, norm, has_classifier.then(classifier).transpose()?, names))
}

/// Builds `ConvNextStage`.
fn stage(
    scope: &Scope,
    config: &ConvNextConfig,
    index: usize,
    version: Version,
) -> Result<DepthwiseStage, ForwardError> {
    let outputs = of_stage("hidden_sizes", &config.hidden_sizes, index)?;
    let downsample = |above: usize| {
        let layer = scope.pp("downsampling_layer");
        let inputs = of_stage("hidden_sizes", &config.hidden_sizes, above)?;
        let norm = LayerNorm::new(&layer.pp(0), inputs, LAYER_NORM_EPS)?;
        let conv = Conv2d::new(&layer.pp(1), inputs, outputs, Window::patches((2, 2)), true)?;
        Ok::<_, ForwardError>(NormConv::new(norm, conv))
    };
    let depth = of_stage("depths", &config.depths, index)?;
    let layers = scope.list("layers", depth, |scope, _| layer(scope, config, outputs, version))?;
    Ok(DepthwiseStage::new(index.checked_sub(1).map(downsample).transpose()?, layers))
}

/// Builds `ConvNextLayer`.
fn layer(
    scope: &Scope,
    config: &ConvNextConfig,
    width: usize,
    version: Version,
) -> Result<DepthwiseBlock, ForwardError> {
    let sizes = [width, width.saturating_mul(4), width];
    let activation = activation("hidden_act", &config.hidden_act)?;
    let scale = || LayerScale::new(scope, "layer_scale_parameter", width);
    let mlp = Mlp::with_biases(Linear::new, scope, ["pwconv1", "pwconv2"], sizes, activation)?;
    let [_, hidden, _] = sizes;
    let grn = || GlobalResponseNorm::new(&scope.pp("grn"), &[1, 1, 1, hidden], GRN_EPS);
    Ok(DepthwiseBlock::new(
        Conv2d::depthwise(&scope.pp("dwconv"), width, Window::centered(7, 1), true)?,
        LayerNorm::new(&scope.pp("layernorm"), width, LAYER_NORM_EPS)?,
        mlp.normalized((version == Version::Two).then(grn).transpose()?),
        (version == Version::One && config.layer_scale_init_value > 0.0).then(scale).transpose()?,
    ))
}
