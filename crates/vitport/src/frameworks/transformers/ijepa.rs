//! transformers' `IJepaForImageClassification` and `IJepaModel` (models/ijepa/modeling_ijepa.py, 4.57.6 and 5.23.0), names as
//! they lie on disk.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{self, EncoderLayer, FeedForward, Norm, Patches};
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, Forward, ForwardError, LayerNorm, Linear, Matrix, Mlp, Outputs, Parameter, Pixels, Scope,
    mean_of_rows, outputs_of_head,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/ijepa",
    classes: ["IJepaForImageClassification", "IJepaModel"],
    tasks: [Task::Classification, Task::MEAN_OF_PATCHES],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/ijepa.v4.json")),
    // Neither class has a pooler.
    ignored_keys: &["pooler_act", "pooler_output_size"],
    build: |config, has_classifier| {
        build("IJepaConfig", config, |root, config| IJepaModel::new(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct IJepaConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    image_size: ImageSize,
    patch_size: ImageSize,
    num_channels: usize,
    qkv_bias: bool,
    #[serde(flatten)]
    labels: Labels,
}

struct IJepaModel {
    patch_embeddings: Patches,
    position_embeddings: Parameter,
    layers: Vec<EncoderLayer>,
    layernorm: LayerNorm,
    classifier: Option<Linear>,
}

impl IJepaModel {
    fn new(root: &Scope, config: &IJepaConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        let IJepaConfig { hidden_size: width, layer_norm_eps: eps, .. } = *config;
        let scope = if has_classifier { root.pp("ijepa") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        let patch_embeddings = Patches::new(
            &embeddings.pp("patch_embeddings.projection"),
            (config.num_channels, width),
            config.image_size.sides(),
            config.patch_size.sides(),
        )?;
        Ok(Self {
            position_embeddings: embeddings
                .parameter("position_embeddings", &[1, patch_embeddings.count, width])?,
            patch_embeddings,
            layers: scope.list("encoder.layer", config.num_hidden_layers, |scope, _| layer(scope, config))?,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), width, eps)?,
            classifier: has_classifier
                .then(|| Linear::new(&root.pp("classifier"), width, config.labels.count(), true))
                .transpose()?,
        })
    }
}

/// Builds `IJepaLayer`.
fn layer(scope: &Scope, config: &IJepaConfig) -> Result<EncoderLayer, ForwardError> {
    let IJepaConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
    let (names, sizes) = (["intermediate.dense", "output.dense"], [width, intermediate_size, width]);
    let attention = ["attention.query", "attention.key", "attention.value", "output.dense"];
    let heads = encoder::heads(width, config.num_attention_heads)?;
    let activation = activation("hidden_act", &config.hidden_act)?;
    Ok(EncoderLayer {
        norm1: Norm::Layer(LayerNorm::new(&scope.pp("layernorm_before"), width, eps)?),
        attention: encoder::attention(
            &scope.pp("attention"),
            attention,
            (width, heads),
            [config.qkv_bias, true],
        )?,
        scale1: None,
        norm2: Norm::Layer(LayerNorm::new(&scope.pp("layernorm_after"), width, eps)?),
        mlp: FeedForward::Plain(Mlp::with_biases(Linear::new, scope, names, sizes, activation)?),
        scale2: None,
    })
}

impl Forward for IJepaModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut hidden_states = self.patch_embeddings.forward(pixels, cx)?;
        hidden_states.add_values(&self.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let pooled = Matrix::from_values(1, sequence.columns(), mean_of_rows(&sequence))?;
        outputs_of_head(["last_hidden_state.mean(1)", "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}
