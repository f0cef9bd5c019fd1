//! transformers' `InternVLVisionModel` (models/internvl/modeling_internvl.py, 4.57.6 and 5.23.0). In 4.57.6 its forward
//! pass raises when hidden states are asked for, and only then.

use serde::Deserialize;

use super::super::build;
use super::encoder::{self, EncoderConfig};
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, LayerScale, Matrix, Norm, Outputs, Parameter,
    PatchEmbed, Pixels, Positions, RmsNorm, Scope, prepend,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/internvl_vision",
    class: "InternVLVisionModel",
    task: |_| Task::CLASS_TOKEN,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/internvl_vision.v4.json")),
    // Neither version has one for this model_type.
    ignored_keys: &["attention_dropout", "layer_scale_init_value", "projection_dropout"],
    build: |config| build("InternVLVisionConfig", config, InternVLVisionModel::new),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct InternVLVisionConfig {
    #[serde(flatten)]
    encoder: EncoderConfig,
    attention_bias: bool,
    use_qk_norm: bool,
    intermediate_size: usize,
    norm_type: String,
    use_mask_token: bool,
    use_absolute_position_embeddings: bool,
    use_mean_pooling: bool,
}

struct InternVLVisionModel {
    cls_token: Parameter,
    patch_embeddings: PatchEmbed,
    position_embeddings: Option<Parameter>,
    layers: Vec<EncoderBlock>,
    /// Is the identity where the model is meant to take the mean over patches.
    layernorm: Option<LayerNorm>,
}

impl InternVLVisionModel {
    fn new(root: &Scope, config: &InternVLVisionConfig) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        if config.use_qk_norm || config.use_mask_token {
            let detail = "use_qk_norm or use_mask_token is true, and neither norms of queries and keys nor masks can be run";
            return Err(ForwardError::config(detail.to_owned()));
        }
        let embeddings = root.pp("embeddings");
        let patch_embeddings = config.encoder.patches(&embeddings.pp("patch_embeddings.projection"), true)?;
        let positions = patch_embeddings.count().saturating_add(1);
        Ok(Self {
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            patch_embeddings,
            position_embeddings: config
                .use_absolute_position_embeddings
                .then(|| embeddings.parameter("position_embeddings", &[1, positions, width]))
                .transpose()?,
            layers: root.list("encoder.layer", depth, |scope, _| layer(scope, config))?,
            layernorm: (!config.use_mean_pooling)
                .then(|| config.encoder.norm(root, "layernorm"))
                .transpose()?,
        })
    }
}

/// Builds `InternVLVisionLayer`.
fn layer(scope: &Scope, config: &InternVLVisionConfig) -> Result<EncoderBlock, ForwardError> {
    let EncoderConfig { hidden_size: width, layer_norm_eps: eps, .. } = config.encoder;
    let norm = |name: &str| match config.norm_type.as_str() {
        "layer_norm" => Ok(Norm::Layer(LayerNorm::new(&scope.pp(name), width, eps)?)),
        "rms_norm" => Ok(Norm::Rms(RmsNorm::new(&scope.pp(name), width, eps)?)),
        other => Err(ForwardError::config(format!("norm_type {other:?} is not one of layer_norm, rms_norm"))),
    };
    let names = ["q_proj", "k_proj", "v_proj", "projection_layer"];
    let biases = [config.attention_bias, true];
    Ok(EncoderBlock {
        norm1: norm("layernorm_before")?,
        attention: config.encoder.attention(&scope.pp("attention"), names, biases)?,
        scale1: Some(LayerScale::new(scope, "lambda_1", width)?),
        norm2: norm("layernorm_after")?,
        mlp: config.encoder.mlp(scope, ["mlp.fc1", "mlp.fc2"], config.intermediate_size)?,
        scale2: Some(LayerScale::new(scope, "lambda_2", width)?),
    })
}

impl Forward for InternVLVisionModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embeddings.forward(pixels, cx)?;
        let mut hidden_states: Matrix = prepend(&self.cls_token.read(cx.weights())?, patches, cx)?;
        if let Some(positions) = &self.position_embeddings {
            hidden_states.add_values(&positions.read(cx.weights())?)?;
        }
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        if let Some(norm) = &self.layernorm {
            hidden_states = norm.forward(&hidden_states, cx)?;
        }
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state[0]", hidden_states.row(0).unwrap_or_default());
        Ok(outputs)
    }
}
