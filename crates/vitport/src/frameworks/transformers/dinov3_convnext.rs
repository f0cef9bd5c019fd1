//! transformers' `DINOv3ConvNextModel` (models/dinov3_convnext/modeling_dinov3_convnext.py, 4.57.6 and 5.23.0), names as they lie on
//! disk. Every norm has the epsilon of the config, every layer a scale, and the first stage holds the stem.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Conv2d, DepthwiseBlock, DepthwiseNames, DepthwiseNetwork, DepthwiseStage, ForwardError, LayerNorm,
    LayerScale, Linear, Mlp, NormConv, Scope, Window,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/dinov3_convnext",
    class: "DINOv3ConvNextModel",
    task: |_| Task::POOLED,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/dinov3_convnext.v4.json")),
    // The images are of any size; layers have scales whatever these begin with.
    ignored_keys: &["image_size", "layer_scale_init_value"],
    build: |config| build("DINOv3ConvNextConfig", config, network),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct DINOv3ConvNextConfig {
    num_channels: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    layer_norm_eps: f64,
}

/// Builds `DINOv3ConvNextModel`, whose `num_stages` is the number of widths.
fn network(root: &Scope, config: &DINOv3ConvNextConfig) -> Result<DepthwiseNetwork, ForwardError> {
    let (Some(&first), Some(&last)) = (config.hidden_sizes.first(), config.hidden_sizes.last()) else {
        return Err(ForwardError::config("hidden_sizes has no entries"));
    };
    let norm = |scope: &Scope, width: usize| LayerNorm::new(scope, width, config.layer_norm_eps);
    let stem = root.pp("stages.0.downsample_layers");
    let patches = Conv2d::new(&stem.pp(0), config.num_channels, first, Window::patches((4, 4)), true)?;
    let stem = (patches, norm(&stem.pp(1), first)?);
    let stages = root.list("stages", config.hidden_sizes.len(), |scope, index| {
        let outputs = of_stage("hidden_sizes", &config.hidden_sizes, index)?;
        let downsample = |above: usize| {
            let layers = scope.pp("downsample_layers");
            let inputs = of_stage("hidden_sizes", &config.hidden_sizes, above)?;
            let conv = Conv2d::new(&layers.pp(1), inputs, outputs, Window::patches((2, 2)), true)?;
            Ok::<_, ForwardError>(NormConv::new(norm(&layers.pp(0), inputs)?, conv))
        };
        let depth = of_stage("depths", &config.depths, index)?;
        let layers = scope.list("layers", depth, |scope, _| layer(scope, config, outputs))?;
        Ok(DepthwiseStage::new(index.checked_sub(1).map(downsample).transpose()?, layers))
    })?;
    let names = DepthwiseNames {
        stage: |stage| ["downsample_layers", "layers"].map(|part| format!("stages.{stage}.{part}")),
        norm: "layer_norm",
        outputs: ["pooler_output", "logits"],
    };
    Ok(DepthwiseNetwork::new(stem, stages, norm(&root.pp("layer_norm"), last)?, None, names))
}

/// Builds `DINOv3ConvNextLayer`.
fn layer(scope: &Scope, config: &DINOv3ConvNextConfig, width: usize) -> Result<DepthwiseBlock, ForwardError> {
    let (sizes, names) = ([width, width.saturating_mul(4), width], ["pointwise_conv1", "pointwise_conv2"]);
    let activation = activation("hidden_act", &config.hidden_act)?;
    Ok(DepthwiseBlock::new(
        Conv2d::depthwise(&scope.pp("depthwise_conv"), width, Window::centered(7, 1), true)?,
        LayerNorm::new(&scope.pp("layer_norm"), width, config.layer_norm_eps)?,
        Mlp::with_biases(Linear::new, scope, names, sizes, activation)?.normalized(None),
        Some(LayerScale::new(scope, "gamma", width)?),
    ))
}
