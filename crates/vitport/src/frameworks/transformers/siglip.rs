//! transformers' `SiglipVisionModel`, with its attention pooling or without, and `SiglipForImageClassification`
//! (models/siglip/modeling_siglip.py, 4.57.6 and 5.23.0), names as they lie on disk.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::build;
use super::encoder::{self, EncoderConfig};
use super::{Labels, OneClass, Task, exported_defaults, with_defaults};
use crate::nn::{
    AttentionPool, Context, EncoderBlock, FeedForward, Forward, ForwardError, LayerNorm, Linear, Matrix, Mlp,
    Outputs, Parameter, PatchEmbed, Pixels, PoolQkv, Positions, Scope, mean_of_rows, outputs_of_head,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/siglip_vision_model",
    class: "SiglipVisionModel",
    task: |config| match config.get("vision_use_head") {
        Some(value) if value == false => Task::MEAN_OF_PATCHES,
        _ => Task::POOLED,
    },
    defaults: |_| vision_defaults(),
    // Neither version has one for this model_type.
    ignored_keys: &["attention_dropout"],
    build: |config| {
        build("SiglipVisionConfig", config, |root, config| SiglipVisionTransformer::new(root, config, None))
    },
};

/// Declares the definition of the class with a classifier, whose config has the vision model's inside.
pub const CLASSIFIER: OneClass = OneClass {
    id: "transformers/siglip",
    class: "SiglipForImageClassification",
    task: |_| Task::Classification,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/siglip.v4.json")),
    ignored_keys: &["initializer_factor", "text_config"],
    build: |config| {
        build("SiglipConfig", config, |root, SiglipConfig { vision_config, labels }: &SiglipConfig| {
            let vision_config = with_defaults(vision_config, &vision_defaults());
            let vision_config: SiglipVisionConfig = serde_json::from_value(vision_config.into())
                .map_err(|error| ForwardError::config(format!("vision_config is not one: {error}")))?;
            if vision_config.vision_use_head {
                let detail = "vision_use_head is true, and a classifier reads the mean over the patches";
                return Err(ForwardError::config(detail.to_owned()));
            }
            SiglipVisionTransformer::new(root, &vision_config, Some(labels.count()))
        })
    },
};

fn vision_defaults() -> Map<String, Value> {
    let mut defaults =
        exported_defaults(include_str!("../../../data/transformers/siglip_vision_model.v4.json"));
    // No config class has it as a default; the model takes it for true where it is not said.
    defaults.insert("vision_use_head".to_owned(), Value::Bool(true));
    defaults
}

/// Holds the keys of `config.json` that the forward pass of the classifier depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct SiglipConfig {
    vision_config: Map<String, Value>,
    #[serde(flatten)]
    labels: Labels,
}

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct SiglipVisionConfig {
    #[serde(flatten)]
    encoder: EncoderConfig,
    intermediate_size: usize,
    vision_use_head: bool,
}

/// Stands for `SiglipVisionTransformer`.
struct SiglipVisionTransformer {
    patch_embedding: PatchEmbed,
    position_embedding: Parameter,
    layers: Vec<EncoderBlock>,
    post_layernorm: LayerNorm,
    head: Option<AttentionPool>,
    classifier: Option<Linear>,
}

impl SiglipVisionTransformer {
    fn new(root: &Scope, config: &SiglipVisionConfig, classes: Option<usize>) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        config.encoder.edges()?;
        let scope = root.pp("vision_model");
        let embeddings = scope.pp("embeddings");
        let patch_embedding = config.encoder.patches(&embeddings.pp("patch_embedding"), true)?;
        Ok(Self {
            position_embedding: embeddings
                .parameter("position_embedding.weight", &[patch_embedding.count(), width])?,
            patch_embedding,
            layers: scope.list("encoder.layers", depth, |scope, _| layer(scope, config))?,
            post_layernorm: config.encoder.norm(&scope, "post_layernorm")?,
            head: config.vision_use_head.then(|| head(&scope.pp("head"), config)).transpose()?,
            classifier: classes
                .map(|classes| Linear::new(&root.pp("classifier"), width, classes, true))
                .transpose()?,
        })
    }
}

/// Builds `SiglipEncoderLayer`.
fn layer(scope: &Scope, config: &SiglipVisionConfig) -> Result<EncoderBlock, ForwardError> {
    let names = ["q_proj", "k_proj", "v_proj", "out_proj"];
    let attention = config.encoder.attention(&scope.pp("self_attn"), names, [true; 2])?;
    let mlp = FeedForward::Plain(mlp(scope, config)?);
    config.encoder.block(scope, ["layer_norm1", "layer_norm2"], attention, mlp, [None, None])
}

/// Builds `SiglipMLP`.
fn mlp(scope: &Scope, config: &SiglipVisionConfig) -> Result<Mlp, ForwardError> {
    config.encoder.plain_mlp(scope, ["mlp.fc1", "mlp.fc2"], config.intermediate_size)
}

/// Builds `SiglipMultiheadAttentionPoolingHead`.
fn head(scope: &Scope, config: &SiglipVisionConfig) -> Result<AttentionPool, ForwardError> {
    let (width, attention) = (config.encoder.hidden_size, scope.pp("attention"));
    let names = ["in_proj_weight", "in_proj_bias"];
    Ok(AttentionPool::new(
        scope.parameter("probe", &[1, 1, width])?,
        PoolQkv::Fused(Linear::named(&attention, names, width, width.saturating_mul(3))?),
        config.encoder.heads()?,
        Linear::new(&attention.pp("out_proj"), width, width, true)?,
        config.encoder.norm(scope, "layernorm")?,
        mlp(scope, config)?,
    ))
}

impl Forward for SiglipVisionTransformer {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut hidden_states = self.patch_embedding.forward(pixels, cx)?;
        hidden_states.add_values(&self.position_embedding.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layers", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.post_layernorm.forward(&hidden_states, cx)?;
        cx.trace("post_layernorm", &sequence);
        let (name, pooled) = match &self.head {
            Some(head) => ("pooler_output", head.forward(&sequence, cx)?),
            None => {
                let mean = Matrix::from_values(1, sequence.columns(), mean_of_rows(&sequence))?;
                ("last_hidden_state.mean(1)", mean)
            }
        };
        outputs_of_head([name, "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}
