//! What transformers' ResNet and RegNet share (models/resnet/modeling_resnet.py and models/regnet/modeling_regnet.py): their configs'
//! keys, and an embedder, an encoder of stages of layers, a pooler and a classifier. Only their embedders and layers differ.

use serde::Deserialize;

use super::activations::activation;
use super::{Labels, Task};
use crate::nn::{
    Activation, ConvNorm, ForwardError, Linear, MaxPool2d, ResidualBlock, ResidualNames, ResidualNetwork,
    Scope, Window, residual_stages,
};

/// Is the default of `torch.nn.BatchNorm2d`, with which every normalisation is built.
pub(super) const BATCH_NORM_EPS: f64 = 1e-5;
/// Names the convolution and the norm of each place in a layer.
pub(super) const PLACES: [[&str; 2]; 4] = [
    ["layer.0.convolution", "layer.0.normalization"],
    ["layer.1.convolution", "layer.1.normalization"],
    ["layer.2.convolution", "layer.2.normalization"],
    ["layer.3.convolution", "layer.3.normalization"],
];

/// Says what a model without a head gives.
pub(super) const FEATURES: Task = Task::Features {
    loader: "AutoModel",
    output: "pooler_output",
    remark: Some("Its shape is [batch, channels, 1, 1]; `.flatten(1)` makes a row of it."),
};

/// Holds the keys of `config.json` that both configs have and the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ResidualConfig {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    downsample_in_first_stage: bool,
    #[serde(flatten)]
    labels: Labels,
}

impl ResidualConfig {
    /// Builds the network, whose names begin with `prefix` if it has a classifier. The embedder has a convolution of this window, and
    /// a pooling or none. `layer` builds a layer of the channels before and after it, its stride and `hidden_act`.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] for an activation that is not known or a stage without channels, and what `layer` does.
    pub(super) fn build(
        &self,
        root: &Scope,
        prefix: Option<&str>,
        (window, pooler): (Window, Option<MaxPool2d>),
        layer: impl Fn(&Scope, [usize; 2], usize, Activation) -> Result<ResidualBlock, ForwardError>,
    ) -> Result<ResidualNetwork, ForwardError> {
        let scope = prefix.map_or_else(|| root.clone(), |prefix| root.pp(prefix));
        let act = activation("hidden_act", &self.hidden_act)?;
        let sizes = [self.num_channels, self.embedding_size, 1];
        let names = ["embedder.embedder.convolution", "embedder.embedder.normalization"];
        let embedder = ConvNorm::named(&scope, names, sizes, window, BATCH_NORM_EPS, act)?;
        // Lists are zipped: the shorter one decides, but the first stage is always there, and each has its first layer.
        let count = self.hidden_sizes.len().min(self.depths.len()).max(1);
        let depths: Vec<usize> = self.depths.iter().take(count).map(|&depth| depth.max(1)).collect();
        let channels: Vec<usize> =
            [self.embedding_size].into_iter().chain(self.hidden_sizes.iter().copied()).collect();
        let stages =
            residual_stages(&channels, &depths, self.downsample_in_first_stage, |at, sizes, stride| {
                layer(&scope.pp(layer_name(at[0], at[1])), sizes, stride, act)
            })?;
        let last = channels.last().copied().unwrap_or(0);
        let classifier = || Linear::new(&root.pp("classifier.1"), last, self.labels.count(), true);
        let classifier = prefix.map(|_| classifier()).transpose()?;
        let outputs = ["pooler_output", "logits"];
        let names = ResidualNames { stem: "embedder", block: layer_name, outputs };
        Ok(ResidualNetwork::new(embedder, pooler, stages, classifier, names))
    }
}

fn layer_name(stage: usize, layer: usize) -> String {
    format!("encoder.stages.{stage}.layers.{layer}")
}

/// Builds `ResNetShortCut` or `RegNetShortCut`, where a layer has one.
pub(super) fn shortcut(
    scope: &Scope,
    channels: [usize; 2],
    stride: usize,
) -> Result<Option<ConvNorm>, ForwardError> {
    let names = ["shortcut.convolution", "shortcut.normalization"];
    ConvNorm::shortcut(scope, names, channels, stride, BATCH_NORM_EPS)
}
