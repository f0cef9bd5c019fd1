//! transformers' `IJepaForImageClassification` and `IJepaModel` (models/ijepa/modeling_ijepa.py, 4.57.6 and 5.23.0), names as
//! they lie on disk.

use serde::Deserialize;

use super::super::build;
use super::encoder::{self, EncoderConfig};
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, Linear, Matrix, Outputs, Parameter, PatchEmbed,
    Pixels, Positions, Scope, mean_of_rows, outputs_of_head,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/ijepa",
    classes: ["IJepaForImageClassification", "IJepaModel"],
    tasks: [Task::Classification, Task::MEAN_OF_PATCHES],
    stage_lists: &[],
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
    #[serde(flatten)]
    encoder: EncoderConfig,
    intermediate_size: usize,
    qkv_bias: bool,
    #[serde(flatten)]
    labels: Labels,
}

struct IJepaModel {
    patch_embeddings: PatchEmbed,
    position_embeddings: Parameter,
    layers: Vec<EncoderBlock>,
    layernorm: LayerNorm,
    classifier: Option<Linear>,
}

impl IJepaModel {
    fn new(root: &Scope, config: &IJepaConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        let scope = if has_classifier { root.pp("ijepa") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        let patch_embeddings = config.encoder.patches(&embeddings.pp("patch_embeddings.projection"), true)?;
        Ok(Self {
            position_embeddings: embeddings
                .parameter("position_embeddings", &[1, patch_embeddings.count(), width])?,
            patch_embeddings,
            layers: scope.list("encoder.layer", depth, |scope, _| layer(scope, config))?,
            layernorm: config.encoder.norm(&scope, "layernorm")?,
            classifier: has_classifier
                .then(|| Linear::new(&root.pp("classifier"), width, config.labels.count(), true))
                .transpose()?,
        })
    }
}

/// Builds `IJepaLayer`.
fn layer(scope: &Scope, config: &IJepaConfig) -> Result<EncoderBlock, ForwardError> {
    let names = ["attention.query", "attention.key", "attention.value", "output.dense"];
    let attention = config.encoder.attention(&scope.pp("attention"), names, [config.qkv_bias, true])?;
    let names = ["intermediate.dense", "output.dense"];
    let mlp = config.encoder.mlp(scope, names, config.intermediate_size)?;
    config.encoder.block(scope, ["layernorm_before", "layernorm_after"], attention, mlp, [None, None])
}

impl Forward for IJepaModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut hidden_states = self.patch_embeddings.forward(pixels, cx)?;
        hidden_states.add_values(&self.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let pooled = Matrix::from_values(1, sequence.columns(), mean_of_rows(&sequence))?;
        outputs_of_head(["last_hidden_state.mean(1)", "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}
