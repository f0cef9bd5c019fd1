//! transformers' `CLIPVisionModelWithProjection` and `CLIPVisionModel` (models/clip/modeling_clip.py, 4.57.6 and 5.23.0),
//! names as they lie on disk.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::{Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, Conv2d, Forward, ForwardError, Grid, Heads, LayerNorm, Linear, Matrix, Mlp, Outputs, Parameter,
    Pixels, Qkv, Scope, SelfAttention, Window, outputs_of_head, prepend,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/clip_vision_model",
    classes: ["CLIPVisionModelWithProjection", "CLIPVisionModel"],
    tasks: [
        Task::Features {
            loader: "CLIPVisionModelWithProjection",
            output: "image_embeds",
            remark: Some("`image_embeds` is the embedding that CLIP compares with those of texts."),
        },
        Task::POOLED,
    ],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/clip_vision_model.v4.json")),
    ignored_keys: &["attention_dropout"],
    build: |config, has_projection| {
        build("CLIPVisionConfig", config, |root, config| {
            CLIPVisionTransformer::new(root, config, has_projection)
        })
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct CLIPVisionConfig {
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
}

/// Stands for `CLIPVisionTransformer`, and the projection after it.
struct CLIPVisionTransformer {
    input: [usize; 3],
    class_embedding: Parameter,
    patch_embedding: Conv2d,
    position_embedding: Parameter,
    pre_layernorm: LayerNorm,
    layers: Vec<CLIPEncoderLayer>,
    post_layernorm: LayerNorm,
    visual_projection: Option<Linear>,
}

impl CLIPVisionTransformer {
    fn new(root: &Scope, config: &CLIPVisionConfig, has_projection: bool) -> Result<Self, ForwardError> {
        let CLIPVisionConfig { hidden_size: width, num_attention_heads: heads, .. } = *config;
        let CLIPVisionConfig { num_channels, image_size, patch_size: patch, layer_norm_eps: eps, .. } =
            *config;
        if heads == 0 || !width.is_multiple_of(heads) {
            let detail = format!("hidden_size {width} is not a multiple of num_attention_heads {heads}");
            return Err(ForwardError::config(detail));
        }
        let scope = root.pp("vision_model");
        let embeddings = scope.pp("embeddings");
        let window = Window::patches((patch, patch));
        let (rows, columns) = window.output_size(image_size, image_size).unwrap_or((0, 0));
        let positions = rows.saturating_mul(columns).saturating_add(1);
        Ok(Self {
            input: [num_channels, image_size, image_size],
            class_embedding: embeddings.parameter("class_embedding", &[width])?,
            patch_embedding: Conv2d::new(
                &embeddings.pp("patch_embedding"),
                num_channels,
                width,
                window,
                false,
            )?,
            position_embedding: embeddings.parameter("position_embedding.weight", &[positions, width])?,
            // transformers spells it so.
            pre_layernorm: LayerNorm::new(&scope.pp("pre_layrnorm"), width, eps)?,
            layers: scope.list("encoder.layers", config.num_hidden_layers, |scope, _| {
                CLIPEncoderLayer::new(scope, config)
            })?,
            post_layernorm: LayerNorm::new(&scope.pp("post_layernorm"), width, eps)?,
            visual_projection: has_projection
                .then(|| Linear::new(&root.pp("visual_projection"), width, config.projection_dim, false))
                .transpose()?,
        })
    }
}

impl Forward for CLIPVisionTransformer {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        let patches = self.patch_embedding.forward(grid, cx)?.tokens;
        let mut embeddings = prepend(&self.class_embedding.read(cx.weights())?, patches, cx)?;
        embeddings.add_values(&self.position_embedding.read(cx.weights())?)?;
        let mut hidden_states = self.pre_layernorm.forward(&embeddings, cx)?;
        cx.recycle(embeddings);
        cx.trace("pre_layrnorm", &hidden_states);
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_states, cx)?;
            cx.trace(&format!("encoder.layers.{index}"), &hidden_states);
        }
        let token = hidden_states.row(0).unwrap_or_default().to_vec();
        let token = Matrix::from_values(1, hidden_states.columns(), token)?;
        let pooled = self.post_layernorm.forward(&token, cx)?;
        outputs_of_head(["pooler_output", "image_embeds"], &pooled, self.visual_projection.as_ref(), cx)
    }
}

/// Stands for `CLIPEncoderLayer`.
struct CLIPEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: SelfAttention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl CLIPEncoderLayer {
    fn new(scope: &Scope, config: &CLIPVisionConfig) -> Result<Self, ForwardError> {
        let CLIPVisionConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
        let sizes = [width, intermediate_size, width];
        let activation = activation("hidden_act", &config.hidden_act)?;
        let projection = |name: &str| Linear::new(&scope.pp("self_attn").pp(name), width, width, true);
        Ok(Self {
            layer_norm1: LayerNorm::new(&scope.pp("layer_norm1"), width, eps)?,
            self_attn: SelfAttention::new(
                Qkv::Separate([projection("q_proj")?, projection("k_proj")?, projection("v_proj")?]),
                Heads::of_width(config.num_attention_heads, width),
                projection("out_proj")?,
            ),
            layer_norm2: LayerNorm::new(&scope.pp("layer_norm2"), width, eps)?,
            mlp: Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?,
        })
    }

    fn forward(&self, hidden_states: &mut Matrix, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        let normalized = self.layer_norm1.forward(hidden_states, cx)?;
        let attended = self.self_attn.forward(&normalized, cx)?;
        cx.recycle(normalized);
        hidden_states.add(&attended)?;
        cx.recycle(attended);
        let normalized = self.layer_norm2.forward(hidden_states, cx)?;
        let output = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        hidden_states.add(&output)?;
        cx.recycle(output);
        Ok(())
    }
}
