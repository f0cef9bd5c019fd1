//! transformers' `ViTForImageClassification` and `ViTModel` (models/vit/modeling_vit.py, 4.57.6 and 5.23.0).

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{self, EncoderConfig};
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, Context, EncoderBlock, Forward, ForwardError, LayerNorm, Linear, Matrix, Outputs, Parameter,
    PatchEmbed, Pixels, Positions, Scope, prepend, token,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/vit",
    classes: ["ViTForImageClassification", "ViTModel"],
    tasks: [
        Task::Classification,
        Task::Features {
            loader: "AutoModel",
            output: "pooler_output",
            remark: Some("`pooler_output` is the source's own pooled output: the pooler is the identity."),
        },
    ],
    stage_lists: &[],
    defaults: |config| {
        let mut defaults = exported_defaults(include_str!("../../../data/transformers/vit.v4.json"));
        // `pooler_output_size if pooler_output_size else hidden_size` (configuration_vit.py).
        if let Some(width) = config.get("hidden_size") {
            defaults.insert("pooler_output_size".to_owned(), width.clone());
        }
        defaults
    },
    ignored_keys: &[],
    build: |config, has_classifier| {
        build("ViTConfig", config, |root, config| ViTModel::new(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ViTConfig {
    #[serde(flatten)]
    pub(super) encoder: EncoderConfig,
    intermediate_size: usize,
    qkv_bias: bool,
    pooler_output_size: Option<usize>,
    pooler_act: String,
    #[serde(flatten)]
    pub(super) labels: Labels,
}

struct ViTModel {
    embeddings: ViTEmbeddings,
    layers: Vec<EncoderBlock>,
    layernorm: LayerNorm,
    head: Head,
}

/// Holds what stands after the last norm.
enum Head {
    /// Stands for `classifier` of ViTForImageClassification.
    Classifier(Linear),
    /// Stands for `ViTPooler` of ViTModel.
    Pooler(Pooler),
}

/// Stands for `ViTPooler`: a layer and an activation after the class token.
pub(super) struct Pooler {
    dense: Linear,
    activation: Activation,
}

impl Pooler {
    /// Registers `pooler.dense`.
    pub(super) fn new(scope: &Scope, config: &ViTConfig) -> Result<Self, ForwardError> {
        let width = config.encoder.hidden_size;
        let outputs = config.pooler_output_size.unwrap_or(width);
        Ok(Self {
            dense: Linear::new(&scope.pp("pooler.dense"), width, outputs, true)?,
            activation: activation("pooler_act", &config.pooler_act)?,
        })
    }

    /// Pools the class token.
    pub(super) fn forward(&self, token: &Matrix, cx: &mut Context<'_>) -> Result<Vec<f32>, ForwardError> {
        Ok(self.dense.forward_with(token, self.activation, cx)?.into_values())
    }
}

/// Stands for `ViTEmbeddings`.
struct ViTEmbeddings {
    cls_token: Parameter,
    position_embeddings: Parameter,
    patches: PatchEmbed,
}

impl ViTModel {
    fn new(root: &Scope, config: &ViTConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        let width = config.encoder.hidden_size;
        let scope = if has_classifier { root.pp("vit") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        let patches = config.encoder.patches(&embeddings.pp("patch_embeddings.projection"), true)?;
        let positions = patches.count().saturating_add(1);
        Ok(Self {
            embeddings: ViTEmbeddings {
                cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
                position_embeddings: embeddings.parameter("position_embeddings", &[1, positions, width])?,
                patches,
            },
            layers: layers(&scope, config)?,
            layernorm: config.encoder.norm(&scope, "layernorm")?,
            head: if has_classifier {
                Head::Classifier(Linear::new(&root.pp("classifier"), width, config.labels.count(), true)?)
            } else {
                Head::Pooler(Pooler::new(&scope, config)?)
            },
        })
    }
}

/// Builds the layers of `ViTEncoder`.
pub(super) fn layers(scope: &Scope, config: &ViTConfig) -> Result<Vec<EncoderBlock>, ForwardError> {
    config.encoder.heads()?;
    scope.list("encoder.layer", config.encoder.num_hidden_layers, |scope, _| layer(scope, config))
}

/// Builds `ViTLayer`.
fn layer(scope: &Scope, config: &ViTConfig) -> Result<EncoderBlock, ForwardError> {
    let names = ["attention.query", "attention.key", "attention.value", "output.dense"];
    let attention = config.encoder.attention(&scope.pp("attention"), names, [config.qkv_bias, true])?;
    let names = ["intermediate.dense", "output.dense"];
    let mlp = config.encoder.mlp(scope, names, config.intermediate_size)?;
    config.encoder.block(scope, ["layernorm_before", "layernorm_after"], attention, mlp, [None, None])
}

impl Forward for ViTModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.embeddings.patches.forward(pixels, cx)?;
        let cls_token = self.embeddings.cls_token.read(cx.weights())?;
        let mut hidden_states = prepend(&cls_token, patches, cx)?;
        hidden_states.add_values(&self.embeddings.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let token = token(&sequence, 0)?;
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state[0]", token.values());
        match &self.head {
            Head::Classifier(classifier) => {
                outputs.push("logits", classifier.forward(&token, cx)?.into_values());
            }
            Head::Pooler(pooler) => outputs.push("pooler_output", pooler.forward(&token, cx)?),
        }
        Ok(outputs)
    }
}
