//! transformers' `ViTForImageClassification` and `ViTModel` (models/vit/modeling_vit.py, 4.57.6 and 5.23.0).

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, Context, Conv2d, Forward, ForwardError, Grid, Heads, LayerNorm, Linear, Matrix, Mlp, Outputs,
    Parameter, Pixels, Qkv, Scope, SelfAttention, Window, prepend, token,
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
    pub(super) hidden_size: usize,
    pub(super) num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    pub(super) layer_norm_eps: f64,
    pub(super) image_size: ImageSize,
    pub(super) patch_size: ImageSize,
    pub(super) num_channels: usize,
    qkv_bias: bool,
    pooler_output_size: Option<usize>,
    pooler_act: String,
    #[serde(flatten)]
    pub(super) labels: Labels,
}

impl ViTConfig {
    /// Fails unless the heads share the width.
    pub(super) fn check(&self) -> Result<(), ForwardError> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            let detail = format!("hidden_size {width} is not a multiple of num_attention_heads {heads}");
            return Err(ForwardError::config(detail));
        }
        Ok(())
    }
}

struct ViTModel {
    input: [usize; 3],
    embeddings: ViTEmbeddings,
    layers: Vec<ViTLayer>,
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

/// Stands for `ViTPooler`: a layer and an activation behind the class token.
pub(super) struct Pooler {
    dense: Linear,
    activation: Activation,
}

impl Pooler {
    /// Registers `pooler.dense`.
    pub(super) fn new(scope: &Scope, config: &ViTConfig) -> Result<Self, ForwardError> {
        let outputs = config.pooler_output_size.unwrap_or(config.hidden_size);
        Ok(Self {
            dense: Linear::new(&scope.pp("pooler.dense"), config.hidden_size, outputs, true)?,
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
    projection: Conv2d,
}

impl ViTModel {
    fn new(root: &Scope, config: &ViTConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        config.check()?;
        let ViTConfig { hidden_size: width, layer_norm_eps: eps, .. } = *config;
        let scope = if has_classifier { root.pp("vit") } else { root.clone() };
        let window = Window::patches(config.patch_size.sides());
        let (image_height, image_width) = config.image_size.sides();
        let (rows, columns) = window.output_size(image_height, image_width).unwrap_or((0, 0));
        let positions = rows.saturating_mul(columns).saturating_add(1);
        let embeddings = scope.pp("embeddings");
        let projection = embeddings.pp("patch_embeddings.projection");
        Ok(Self {
            input: [config.num_channels, image_height, image_width],
            embeddings: ViTEmbeddings {
                cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
                position_embeddings: embeddings.parameter("position_embeddings", &[1, positions, width])?,
                projection: Conv2d::new(&projection, config.num_channels, width, window, true)?,
            },
            layers: scope
                .list("encoder.layer", config.num_hidden_layers, |scope, _| ViTLayer::new(scope, config))?,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), width, eps)?,
            head: if has_classifier {
                Head::Classifier(Linear::new(&root.pp("classifier"), width, config.labels.count(), true)?)
            } else {
                Head::Pooler(Pooler::new(&scope, config)?)
            },
        })
    }
}

impl Forward for ViTModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        let patches = self.embeddings.projection.forward(grid, cx)?.tokens;
        let cls_token = self.embeddings.cls_token.read(cx.weights())?;
        let mut hidden_states = prepend(&cls_token, patches, cx)?;
        hidden_states.add_values(&self.embeddings.position_embeddings.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_states, cx)?;
            cx.trace(&format!("encoder.layer.{index}"), &hidden_states);
        }
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

/// Stands for `ViTLayer`.
pub(super) struct ViTLayer {
    layernorm_before: LayerNorm,
    attention: SelfAttention,
    layernorm_after: LayerNorm,
    mlp: Mlp,
}

impl ViTLayer {
    pub(super) fn new(scope: &Scope, config: &ViTConfig) -> Result<Self, ForwardError> {
        let ViTConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
        let (names, sizes) = (["intermediate.dense", "output.dense"], [width, intermediate_size, width]);
        let activation = activation("hidden_act", &config.hidden_act)?;
        let attention = scope.pp("attention");
        let projection =
            |name: &str| Linear::new(&attention.pp("attention").pp(name), width, width, config.qkv_bias);
        let separate = Qkv::Separate([projection("query")?, projection("key")?, projection("value")?]);
        Ok(Self {
            layernorm_before: LayerNorm::new(&scope.pp("layernorm_before"), width, eps)?,
            attention: SelfAttention::new(
                separate,
                Heads::of_width(config.num_attention_heads, width),
                Linear::new(&attention.pp("output.dense"), width, width, true)?,
            ),
            layernorm_after: LayerNorm::new(&scope.pp("layernorm_after"), width, eps)?,
            mlp: Mlp::with_biases(Linear::new, scope, names, sizes, activation)?,
        })
    }

    pub(super) fn forward(
        &self,
        hidden_states: &mut Matrix,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let normalized = self.layernorm_before.forward(hidden_states, cx)?;
        let attended = self.attention.forward(&normalized, cx)?;
        cx.recycle(normalized);
        hidden_states.add(&attended)?;
        cx.recycle(attended);
        let normalized = self.layernorm_after.forward(hidden_states, cx)?;
        let output = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        hidden_states.add(&output)?;
        cx.recycle(output);
        Ok(())
    }
}
