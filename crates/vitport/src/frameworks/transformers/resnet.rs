//! transformers' `ResNetForImageClassification` and `ResNetModel` (models/resnet/modeling_resnet.py, 4.57.6 and 5.23.0).
//! `hidden_act` is the activation of the stem and at the end of each block; within blocks it is always ReLU.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, Context, ConvNorm, Forward, ForwardError, Linear, MaxPool2d, Outputs, Pixels, ResidualBlock,
    ResidualStages, Scope, Window, outputs_of_head,
};

/// Default of `torch.nn.BatchNorm2d`, with which every normalisation is built.
pub(super) const BATCH_NORM_EPS: f64 = 1e-5;
/// Default of `ResNetBottleNeckLayer`, which no config changes.
const REDUCTION: usize = 4;
/// Names a convolution and its normalisation.
pub(super) const LAYER: [&str; 2] = ["convolution", "normalization"];
/// Says what a model without a head gives.
pub(super) const FEATURES: Task = Task::Features {
    loader: "AutoModel",
    output: "pooler_output",
    remark: Some("Its shape is [batch, channels, 1, 1]; `.flatten(1)` makes a row of it."),
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/resnet",
    classes: ["ResNetForImageClassification", "ResNetModel"],
    tasks: [Task::Classification, FEATURES],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/resnet.v4.json")),
    ignored_keys: &[],
    build: |config, has_classifier| {
        build("ResNetConfig", config, |root, config| ResNetModel::new(root, config, has_classifier))
    },
};

/// The keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ResNetConfig {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    layer_type: String,
    hidden_act: String,
    downsample_in_first_stage: bool,
    downsample_in_bottleneck: bool,
    #[serde(flatten)]
    labels: Labels,
}

struct ResNetModel {
    encoder: ResidualStages,
    classifier: Option<Linear>,
}

impl ResNetModel {
    fn new(root: &Scope, config: &ResNetConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        if !["basic", "bottleneck"].contains(&config.layer_type.as_str()) {
            let detail = format!("layer_type is {:?}, neither basic nor bottleneck", config.layer_type);
            return Err(ForwardError::config(detail));
        }
        let scope = if has_classifier { root.pp("resnet") } else { root.clone() };
        let sizes = [config.num_channels, config.embedding_size, 1];
        let (window, act) = (Window::square(7, 2, 3), activation("hidden_act", &config.hidden_act)?);
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
            stages.list(&format!("{index}.layers"), depth.max(1), |scope, layer| match layer {
                0 => residual_layer(scope, config, [inputs, outputs], if halves { 2 } else { 1 }, act),
                _ => residual_layer(scope, config, [outputs, outputs], 1, act),
            })
        };
        // Lists are zipped: the shorter one decides, but the first stage is always there.
        let count = config.hidden_sizes.len().min(config.depths.len()).max(1);
        let stages = (0..count).map(stage).collect::<Result<_, _>>()?;
        let last = config.hidden_sizes.last().copied().unwrap_or(0);
        let classifier = || Linear::new(&root.pp("classifier.1"), last, config.labels.count(), true);
        let pooler = MaxPool2d::new(Window::square(3, 2, 1), false);
        Ok(Self {
            encoder: ResidualStages::new(embedder, Some(pooler), stages),
            classifier: has_classifier.then(classifier).transpose()?,
        })
    }
}

/// `ResNetBasicLayer` or `ResNetBottleNeckLayer`.
fn residual_layer(
    scope: &Scope,
    config: &ResNetConfig,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let layer = |name: &str, [from, to]: [usize; 2], kernel, stride, act| {
        let window = Window::square(kernel, stride, kernel / 2);
        ConvNorm::named(&scope.pp(name), LAYER, [from, to, 1], window, BATCH_NORM_EPS, act)
    };
    let (relu, none) = (Activation::Relu, Activation::Identity);
    let layers = if config.layer_type == "bottleneck" {
        let reduced = outputs / REDUCTION;
        let strides = if config.downsample_in_bottleneck { [stride, 1] } else { [1, stride] };
        vec![
            layer("layer.0", [inputs, reduced], 1, strides[0], relu)?,
            layer("layer.1", [reduced, reduced], 3, strides[1], relu)?,
            layer("layer.2", [reduced, outputs], 1, 1, none)?,
        ]
    } else {
        vec![
            layer("layer.0", [inputs, outputs], 3, stride, relu)?,
            layer("layer.1", [outputs, outputs], 3, 1, none)?,
        ]
    };
    let shortcut = || layer("shortcut", [inputs, outputs], 1, stride, none);
    let shortcut = (inputs != outputs || stride != 1).then(shortcut).transpose()?;
    Ok(ResidualBlock::new(layers, shortcut, act))
}

impl Forward for ResNetModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let layer = |stage, layer| format!("encoder.stages.{stage}.layers.{layer}");
        let pooled = self.encoder.forward(pixels, "embedder", layer, cx)?.mean()?;
        outputs_of_head(["pooler_output", "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}
