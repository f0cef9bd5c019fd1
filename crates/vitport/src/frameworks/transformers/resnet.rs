//! transformers' `ResNetForImageClassification` and `ResNetModel` (models/resnet/modeling_resnet.py, 4.57.6 and 5.23.0).
//! `hidden_act` is the activation of the stem and at the end of each block; within blocks it is always ReLU.

use serde::Deserialize;

use super::super::build;
use super::residual::{BATCH_NORM_EPS, FEATURES, PLACES, ResidualConfig, shortcut};
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, ConvNorm, ForwardError, MaxPool2d, ResidualBlock, ResidualNetwork, Scope, Window,
};

/// Is the default of `ResNetBottleNeckLayer`, which no config changes.
const REDUCTION: usize = 4;

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/resnet",
    classes: ["ResNetForImageClassification", "ResNetModel"],
    tasks: [Task::Classification, FEATURES],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/resnet.v4.json")),
    ignored_keys: &[],
    build: |config, has_classifier| {
        build("ResNetConfig", config, |root, config| network(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ResNetConfig {
    layer_type: String,
    downsample_in_bottleneck: bool,
    #[serde(flatten)]
    stages: ResidualConfig,
}

/// Builds `ResNetForImageClassification`, or `ResNetModel`.
fn network(
    root: &Scope,
    config: &ResNetConfig,
    has_classifier: bool,
) -> Result<ResidualNetwork, ForwardError> {
    if !["basic", "bottleneck"].contains(&config.layer_type.as_str()) {
        let detail = format!("layer_type is {:?}, neither basic nor bottleneck", config.layer_type);
        return Err(ForwardError::config(detail));
    }
    let embedder = (Window::centered(7, 2), Some(MaxPool2d::new(Window::centered(3, 2), false)));
    config.stages.build(root, has_classifier.then_some("resnet"), embedder, |scope, sizes, stride, act| {
        residual_layer(scope, config, sizes, stride, act)
    })
}

/// Builds `ResNetBasicLayer` or `ResNetBottleNeckLayer`.
fn residual_layer(
    scope: &Scope,
    config: &ResNetConfig,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let ([first, second, third, _], eps) = (PLACES, BATCH_NORM_EPS);
    let (relu, none) = (Activation::Relu, Activation::Identity);
    let layers = if config.layer_type == "bottleneck" {
        let strides = if config.downsample_in_bottleneck { [stride, 1] } else { [1, stride] };
        let sizes = [inputs, outputs / REDUCTION, outputs];
        ConvNorm::bottleneck(scope, [first, second, third], sizes, (1, strides), (eps, relu))?
    } else {
        let layer = |names, inputs, stride, act| {
            ConvNorm::named(scope, names, [inputs, outputs, 1], Window::centered(3, stride), eps, act)
        };
        vec![layer(first, inputs, stride, relu)?, layer(second, outputs, 1, none)?]
    };
    Ok(ResidualBlock::new(layers, shortcut(scope, [inputs, outputs], stride)?, act))
}
