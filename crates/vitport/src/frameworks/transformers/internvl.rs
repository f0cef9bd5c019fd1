//! transformers' `InternVLVisionModel` (models/internvl/modeling_internvl.py, 4.57.6 and 5.23.0). In 4.57.6 its forward
//! pass raises when hidden states are asked for, and only then.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{self, EncoderLayer, FeedForward, Norm, Patches};
use super::{ImageSize, OneClass, Task, exported_defaults};
use crate::nn::{
    Context, Forward, ForwardError, LayerNorm, LayerScale, Linear, Matrix, Mlp, Outputs, Parameter, Pixels,
    RmsNorm, Scope, prepend,
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
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    attention_bias: bool,
    use_qk_norm: bool,
    intermediate_size: usize,
    hidden_act: String,
    norm_type: String,
    layer_norm_eps: f64,
    image_size: ImageSize,
    patch_size: ImageSize,
    num_channels: usize,
    use_mask_token: bool,
    use_absolute_position_embeddings: bool,
    use_mean_pooling: bool,
}

struct InternVLVisionModel {
    cls_token: Parameter,
    patch_embeddings: Patches,
    position_embeddings: Option<Parameter>,
    layers: Vec<EncoderLayer>,
    /// Is the identity where the model is meant to take the mean over patches.
    layernorm: Option<LayerNorm>,
}

impl InternVLVisionModel {
    fn new(root: &Scope, config: &InternVLVisionConfig) -> Result<Self, ForwardError> {
        let InternVLVisionConfig { hidden_size: width, layer_norm_eps: eps, .. } = *config;
        if config.use_qk_norm || config.use_mask_token {
            let detail = "use_qk_norm or use_mask_token is true, and neither norms of queries and keys nor masks can be run";
            return Err(ForwardError::config(detail.to_owned()));
        }
        let embeddings = root.pp("embeddings");
        let patch_embeddings = Patches::new(
            &embeddings.pp("patch_embeddings.projection"),
            (config.num_channels, width),
            config.image_size.sides(),
            config.patch_size.sides(),
        )?;
        let positions = patch_embeddings.count.saturating_add(1);
        Ok(Self {
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            patch_embeddings,
            position_embeddings: config
                .use_absolute_position_embeddings
                .then(|| embeddings.parameter("position_embeddings", &[1, positions, width]))
                .transpose()?,
            layers: root.list("encoder.layer", config.num_hidden_layers, |scope, _| layer(scope, config))?,
            layernorm: (!config.use_mean_pooling)
                .then(|| LayerNorm::new(&root.pp("layernorm"), width, eps))
                .transpose()?,
        })
    }
}

/// Builds `InternVLVisionLayer`.
fn layer(scope: &Scope, config: &InternVLVisionConfig) -> Result<EncoderLayer, ForwardError> {
    let InternVLVisionConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
    let norm = |name: &str| match config.norm_type.as_str() {
        "layer_norm" => Ok(Norm::Layer(LayerNorm::new(&scope.pp(name), width, eps)?)),
        "rms_norm" => Ok(Norm::Rms(RmsNorm::new(&scope.pp(name), width, eps)?)),
        other => Err(ForwardError::config(format!("norm_type {other:?} is not one of layer_norm, rms_norm"))),
    };
    let sizes = [width, intermediate_size, width];
    let names = ["q_proj", "k_proj", "v_proj", "projection_layer"];
    let heads = encoder::heads(width, config.num_attention_heads)?;
    let activation = activation("hidden_act", &config.hidden_act)?;
    Ok(EncoderLayer {
        norm1: norm("layernorm_before")?,
        attention: encoder::attention(
            &scope.pp("attention"),
            names,
            (width, heads),
            [config.attention_bias, true],
        )?,
        scale1: Some(LayerScale::new(scope, "lambda_1", width)?),
        norm2: norm("layernorm_after")?,
        mlp: FeedForward::Plain(Mlp::with_biases(
            Linear::new,
            scope,
            ["mlp.fc1", "mlp.fc2"],
            sizes,
            activation,
        )?),
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
        encoder::run(&self.layers, "encoder.layer", &mut hidden_states, cx)?;
        if let Some(norm) = &self.layernorm {
            hidden_states = norm.forward(&hidden_states, cx)?;
        }
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state[0]", hidden_states.row(0).unwrap_or_default());
        Ok(outputs)
    }
}
