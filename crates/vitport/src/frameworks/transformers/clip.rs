//! transformers' `CLIPVisionModelWithProjection` and `CLIPVisionModel` (models/clip/modeling_clip.py, 4.57.6 and 5.23.0),
//! names as they lie on disk.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Definition, parse_config};
use super::activations::activation;
use super::{TargetDefinition, Task, exported_defaults, first_architecture, with_defaults};
use crate::nn::{
    Context, Conv2d, ForwardError, Grid, Heads, LayerNorm, Linear, Matrix, Mlp, Model, Network, Outputs,
    Parameter, Pixels, Qkv, Scope, SelfAttention, Window, prepend,
};

/// The definition.
pub struct ClipVision;

/// The keys of `config.json` that the forward pass depends on.
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

const WITH_PROJECTION: &str = "CLIPVisionModelWithProjection";
const WITHOUT: &str = "CLIPVisionModel";

impl TargetDefinition for ClipVision {
    fn model_type(&self) -> &'static str {
        "clip_vision_model"
    }

    fn defaults(&self, _: &Map<String, Value>) -> Map<String, Value> {
        exported_defaults(include_str!("../../../data/transformers/clip_vision_model.v4.json"))
    }

    fn default_processor(&self) -> &'static str {
        "CLIPImageProcessor"
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        &["attention_dropout"]
    }

    fn task(&self, config: &Map<String, Value>) -> Task {
        match first_architecture(config) {
            Some(WITHOUT) => Task::Features { loader: "AutoModel", output: "pooler_output", remark: None },
            _ => Task::Features {
                loader: WITH_PROJECTION,
                output: "image_embeds",
                remark: Some("`image_embeds` is the embedding that CLIP compares with those of texts."),
            },
        }
    }
}

impl Definition for ClipVision {
    fn id(&self) -> &'static str {
        "transformers/clip_vision_model"
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        let has_projection = match first_architecture(config) {
            Some(WITH_PROJECTION) => true,
            Some(WITHOUT) => false,
            other => {
                return Err(ForwardError::config(format!(
                    "architectures names {:?}, and only {WITH_PROJECTION} and {WITHOUT} can be run",
                    other.unwrap_or_default()
                )));
            }
        };
        let config = with_defaults(config, &self.defaults(config));
        let config: CLIPVisionConfig = parse_config("CLIPVisionConfig", &config)?;
        Network::build(|scope| CLIPVisionTransformer::new(scope, &config, has_projection))
    }
}

/// `CLIPVisionTransformer`, and the projection after it.
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
        let window = Window { kernel: (patch, patch), stride: (patch, patch), padding: (0, 0) };
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
            layers: (0..config.num_hidden_layers)
                .map(|layer| CLIPEncoderLayer::new(&scope.pp("encoder.layers").pp(layer), config))
                .collect::<Result<_, _>>()?,
            post_layernorm: LayerNorm::new(&scope.pp("post_layernorm"), width, eps)?,
            visual_projection: has_projection
                .then(|| Linear::new(&root.pp("visual_projection"), width, config.projection_dim, false))
                .transpose()?,
        })
    }
}

impl Model for CLIPVisionTransformer {
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
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", pooled.values());
        if let Some(projection) = &self.visual_projection {
            outputs.push("image_embeds", projection.forward(&pooled, cx)?.into_values());
        }
        Ok(outputs)
    }
}

/// `CLIPEncoderLayer`.
struct CLIPEncoderLayer {
    layer_norm1: LayerNorm,
    self_attn: SelfAttention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

impl CLIPEncoderLayer {
    fn new(scope: &Scope, config: &CLIPVisionConfig) -> Result<Self, ForwardError> {
        let CLIPVisionConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
        let projection = |name: &str| Linear::new(&scope.pp("self_attn").pp(name), width, width, true);
        Ok(Self {
            layer_norm1: LayerNorm::new(&scope.pp("layer_norm1"), width, eps)?,
            self_attn: SelfAttention::new(
                Qkv::Separate([projection("q_proj")?, projection("k_proj")?, projection("v_proj")?]),
                Heads::of_width(config.num_attention_heads, width),
                projection("out_proj")?,
            ),
            layer_norm2: LayerNorm::new(&scope.pp("layer_norm2"), width, eps)?,
            mlp: Mlp::new(
                Linear::new(&scope.pp("mlp.fc1"), width, intermediate_size, true)?,
                activation("hidden_act", &config.hidden_act)?,
                Linear::new(&scope.pp("mlp.fc2"), intermediate_size, width, true)?,
            ),
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
