//! transformers' `RegNetForImageClassification` and `RegNetModel` (models/regnet/modeling_regnet.py, 4.57.6 and 5.23.0).
//! `hidden_act` is every activation but that within squeeze-excite, which is ReLU.

use serde::Deserialize;

use super::super::build;
use super::residual::{BATCH_NORM_EPS, FEATURES, PLACES, ResidualConfig, shortcut};
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, ConvNorm, ForwardError, ResidualBlock, ResidualNetwork, Scope, SqueezeExcite, Window,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/regnet",
    classes: ["RegNetForImageClassification", "RegNetModel"],
    tasks: [Task::Classification, FEATURES],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/regnet.v4.json")),
    ignored_keys: &[],
    build: |config, has_classifier| {
        build("RegNetConfig", config, |root, config| network(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct RegNetConfig {
    layer_type: String,
    groups_width: usize,
    #[serde(flatten)]
    stages: ResidualConfig,
}

/// Builds `RegNetForImageClassification`, or `RegNetModel`.
fn network(
    root: &Scope,
    config: &RegNetConfig,
    has_classifier: bool,
) -> Result<ResidualNetwork, ForwardError> {
    if !["x", "y"].contains(&config.layer_type.as_str()) {
        let detail = format!("layer_type is {:?}, neither x nor y", config.layer_type);
        return Err(ForwardError::config(detail));
    }
    let (prefix, embedder) = (has_classifier.then_some("regnet"), (Window::centered(3, 2), None));
    config
        .stages
        .build(root, prefix, embedder, |scope, sizes, stride, act| layer(scope, config, sizes, stride, act))
}

/// Builds `RegNetXLayer` or `RegNetYLayer`.
fn layer(
    scope: &Scope,
    config: &RegNetConfig,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let Some(groups) = outputs.checked_div(config.groups_width) else {
        return Err(ForwardError::config("groups_width is 0"));
    };
    let has_attention = config.layer_type == "y";
    let [first, second, third, fourth] = PLACES;
    let names = [first, second, if has_attention { fourth } else { third }];
    let (sizes, halving) = ([inputs, outputs, outputs], (groups.max(1), [1, stride]));
    let layers = ConvNorm::bottleneck(scope, names, sizes, halving, (BATCH_NORM_EPS, act))?;
    let attention = || {
        let (scope, reduced) = (scope.pp("layer.2.attention"), (inputs as f64 / 4.0).round_ties_even());
        let acts = [Activation::Relu, Activation::Sigmoid];
        SqueezeExcite::named(&scope, ["0", "2"], [outputs, reduced as usize], acts)
    };
    let block = ResidualBlock::new(layers, shortcut(scope, [inputs, outputs], stride)?, act);
    Ok(block.excited(has_attention.then(attention).transpose()?))
}
