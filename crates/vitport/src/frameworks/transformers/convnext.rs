//! transformers' `ConvNextForImageClassification` and `ConvNextModel` (models/convnext/modeling_convnext.py, 4.57.6 and
//! 5.23.0). Every norm has an epsilon of 1e-6 but the last, whose epsilon is `layer_norm_eps`.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Definition, parse_config};
use super::activations::activation;
use super::{
    ImageSize, Labels, TargetDefinition, exported_defaults, has_classifier, of_stage, with_defaults,
};
use crate::nn::{
    Context, Conv2d, DepthwiseBlock, DepthwiseStage, ForwardError, Grid, LayerNorm, LayerScale, Linear,
    Matrix, Mlp, Model, Network, NormConv, Outputs, Pixels, Scope, Window, mean_of_rows,
};

/// Default of `ConvNextLayerNorm`, which every normalisation but the last is built with.
const LAYER_NORM_EPS: f64 = 1e-6;

/// The definition.
pub struct ConvNext;

/// The keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ConvNextConfig {
    num_channels: usize,
    patch_size: ImageSize,
    num_stages: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    layer_norm_eps: f64,
    layer_scale_init_value: f64,
    #[serde(flatten)]
    labels: Labels,
}

impl TargetDefinition for ConvNext {
    fn model_type(&self) -> &'static str {
        "convnext"
    }

    fn defaults(&self, _: &Map<String, Value>) -> Map<String, Value> {
        exported_defaults(include_str!("../../../data/transformers/convnext.v4.json"))
    }

    fn default_processor(&self) -> &'static str {
        "ConvNextImageProcessor"
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        &["image_size"]
    }
}

impl Definition for ConvNext {
    fn id(&self) -> &'static str {
        "transformers/convnext"
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        let has_classifier = has_classifier(config, ["ConvNextForImageClassification", "ConvNextModel"])?;
        let config = parse_config("ConvNextConfig", &with_defaults(config, &self.defaults(config)))?;
        Network::build(|scope| ConvNextModel::new(scope, &config, has_classifier))
    }
}

struct ConvNextModel {
    num_channels: usize,
    patch_embeddings: Conv2d,
    embeddings_norm: LayerNorm,
    stages: Vec<DepthwiseStage>,
    layernorm: LayerNorm,
    classifier: Option<Linear>,
}

impl ConvNextModel {
    fn new(root: &Scope, config: &ConvNextConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        let scope = if has_classifier { root.pp("convnext") } else { root.clone() };
        let (embeddings, window) = (scope.pp("embeddings"), Window::patches(config.patch_size.sides()));
        let (channels, first) = (config.num_channels, of_stage("hidden_sizes", &config.hidden_sizes, 0)?);
        let (mut width, mut stages) = (first, Vec::new());
        for index in 0..config.num_stages {
            let stage = scope.pp("encoder.stages").pp(index);
            let outputs = of_stage("hidden_sizes", &config.hidden_sizes, index)?;
            let downsample = || {
                let layer = stage.pp("downsampling_layer");
                let norm = LayerNorm::new(&layer.pp(0), width, LAYER_NORM_EPS)?;
                let conv = Conv2d::new(&layer.pp(1), width, outputs, Window::square(2, 2, 0), true)?;
                Ok::<_, ForwardError>(NormConv::new(norm, conv))
            };
            let downsampling_layer = (index > 0).then(downsample).transpose()?;
            let layers = 0..of_stage("depths", &config.depths, index)?;
            let layers = layers.map(|number| layer(&stage.pp("layers").pp(number), config, outputs));
            stages.push(DepthwiseStage::new(downsampling_layer, layers.collect::<Result<_, _>>()?));
            width = outputs;
        }
        let classifier = || Linear::new(&root.pp("classifier"), width, config.labels.count(), true);
        Ok(Self {
            num_channels: channels,
            patch_embeddings: Conv2d::new(&embeddings.pp("patch_embeddings"), channels, first, window, true)?,
            embeddings_norm: LayerNorm::new(&embeddings.pp("layernorm"), first, LAYER_NORM_EPS)?,
            stages,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), width, config.layer_norm_eps)?,
            classifier: has_classifier.then(classifier).transpose()?,
        })
    }
}

/// `ConvNextLayer`.
fn layer(scope: &Scope, config: &ConvNextConfig, width: usize) -> Result<DepthwiseBlock, ForwardError> {
    let hidden = width.saturating_mul(4);
    let scale = || LayerScale::new(scope, "layer_scale_parameter", width);
    Ok(DepthwiseBlock::new(
        Conv2d::depthwise(&scope.pp("dwconv"), width, Window::square(7, 1, 3), true)?,
        LayerNorm::new(&scope.pp("layernorm"), width, LAYER_NORM_EPS)?,
        Mlp::new(
            Linear::new(&scope.pp("pwconv1"), width, hidden, true)?,
            activation("hidden_act", &config.hidden_act)?,
            Linear::new(&scope.pp("pwconv2"), hidden, width, true)?,
        ),
        (config.layer_scale_init_value > 0.0).then(scale).transpose()?,
    ))
}

impl Model for ConvNextModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let [_, height, width] = pixels.shape();
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.num_channels, height, width])?;
        let mut features = self.patch_embeddings.forward(grid, cx)?;
        features.tokens = self.embeddings_norm.forward(&features.tokens, cx)?;
        for (index, stage) in self.stages.iter().enumerate() {
            let name = format!("encoder.stages.{index}");
            let (input, layers) = (format!("{name}.downsampling_layer"), format!("{name}.layers"));
            features = stage.forward(features, &input, &layers, cx)?;
        }
        let mean = mean_of_rows(&features.tokens);
        let pooled = self.layernorm.forward(&Matrix::from_values(1, mean.len(), mean)?, cx)?;
        cx.trace("layernorm", &pooled);
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", pooled.values());
        if let Some(classifier) = &self.classifier {
            outputs.push("logits", classifier.forward(&pooled, cx)?.into_values());
        }
        Ok(outputs)
    }
}
