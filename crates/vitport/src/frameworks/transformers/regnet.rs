//! transformers' `RegNetForImageClassification` and `RegNetModel` (models/regnet/modeling_regnet.py, 4.57.6 and 5.23.0).
//! `hidden_act` is every activation but that within squeeze-excite, which is ReLU.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::resnet::{BATCH_NORM_EPS, FEATURES, LAYER};
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, Context, Conv2d, ConvNorm, Forward, ForwardError, Linear, Outputs, Pixels, ResidualBlock,
    ResidualStages, Scope, SqueezeExcite, Window, outputs_of_head,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/regnet",
    classes: ["RegNetForImageClassification", "RegNetModel"],
    tasks: [Task::Classification, FEATURES],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/regnet.v4.json")),
    ignored_keys: &[],
    build: |config, has_classifier| {
        build("RegNetConfig", config, |root, config| RegNetModel::new(root, config, has_classifier))
    },
};

/// The keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct RegNetConfig {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    groups_width: usize,
    layer_type: String,
    hidden_act: String,
    downsample_in_first_stage: bool,
    #[serde(flatten)]
    labels: Labels,
}

struct RegNetModel {
    encoder: ResidualStages,
    classifier: Option<Linear>,
}

impl RegNetModel {
    fn new(root: &Scope, config: &RegNetConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        if !["x", "y"].contains(&config.layer_type.as_str()) {
            let detail = format!("layer_type is {:?}, neither x nor y", config.layer_type);
            return Err(ForwardError::config(detail));
        }
        let scope = if has_classifier { root.pp("regnet") } else { root.clone() };
        let act = activation("hidden_act", &config.hidden_act)?;
        let (sizes, window) = ([config.num_channels, config.embedding_size, 1], Window::square(3, 2, 1));
        let embedder = scope.pp("embedder.embedder");
        let embedder = ConvNorm::named(&embedder, LAYER, sizes, window, BATCH_NORM_EPS, act)?;
        let stages = scope.pp("encoder.stages");
        let stage = |index: usize| {
            let outputs = of_stage("hidden_sizes", &config.hidden_sizes, index)?;
            let inputs = match index.checked_sub(1) {
                Some(above) => of_stage("hidden_sizes", &config.hidden_sizes, above)?,
                None => config.embedding_size,
            };
            let halves = index > 0 || config.downsample_in_first_stage;
            let depth = of_stage("depths", &config.depths, index)?;
            // A stage has its first layer whatever its depth.
            stages.list(&format!("{index}.layers"), depth.max(1), |scope, number| match number {
                0 => layer(scope, config, [inputs, outputs], if halves { 2 } else { 1 }, act),
                _ => layer(scope, config, [outputs, outputs], 1, act),
            })
        };
        // Lists are zipped: the shorter one decides, but the first stage is always there.
        let count = config.hidden_sizes.len().min(config.depths.len()).max(1);
        let stages = (0..count).map(stage).collect::<Result<_, _>>()?;
        let last = config.hidden_sizes.last().copied().unwrap_or(0);
        let classifier = || Linear::new(&root.pp("classifier.1"), last, config.labels.count(), true);
        Ok(Self {
            encoder: ResidualStages::new(embedder, None, stages),
            classifier: has_classifier.then(classifier).transpose()?,
        })
    }
}

/// `RegNetXLayer` or `RegNetYLayer`.
fn layer(
    scope: &Scope,
    config: &RegNetConfig,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let conv = |name: &str, from, groups, window, act| {
        ConvNorm::named(&scope.pp(name), LAYER, [from, outputs, groups], window, BATCH_NORM_EPS, act)
    };
    let Some(groups) = outputs.checked_div(config.groups_width) else {
        return Err(ForwardError::config("groups_width is 0"));
    };
    let (one, none) = (Window::square(1, 1, 0), Activation::Identity);
    let has_attention = config.layer_type == "y";
    let layers = vec![
        conv("layer.0", inputs, 1, one, act)?,
        conv("layer.1", outputs, groups.max(1), Window::square(3, stride, 1), act)?,
        conv(if has_attention { "layer.3" } else { "layer.2" }, outputs, 1, one, none)?,
    ];
    let attention = || {
        let scope = scope.pp("layer.2.attention");
        let reduced = (inputs as f64 / 4.0).round_ties_even() as usize;
        let squeeze = Conv2d::new(&scope.pp(0), outputs, reduced, one, true)?;
        let excite = Conv2d::new(&scope.pp(2), reduced, outputs, one, true)?;
        Ok::<_, ForwardError>(SqueezeExcite::new(squeeze, Activation::Relu, excite, Activation::Sigmoid))
    };
    let shortcut = || conv("shortcut", inputs, 1, Window::square(1, stride, 0), none);
    let shortcut = (inputs != outputs || stride != 1).then(shortcut).transpose()?;
    Ok(ResidualBlock::new(layers, shortcut, act).excited(has_attention.then(attention).transpose()?))
}

impl Forward for RegNetModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let layer = |stage, layer| format!("encoder.stages.{stage}.layers.{layer}");
        let pooled = self.encoder.forward(pixels, "embedder", layer, cx)?.mean()?;
        outputs_of_head(["pooler_output", "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}
