//! transformers' `DINOv3ViTModel` (models/dinov3_vit/modeling_dinov3_vit.py, 4.57.6 and 5.23.0), names as they lie on disk:
//! those of version 4, which version 5 renames in memory.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{EncoderLayer, FeedForward, Norm, Patches, heads};
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Context, Forward, ForwardError, Gate, GatedMlp, Heads, LayerNorm, LayerScale, Linear, Mlp, Outputs,
    Parameter, Pixels, Positions, Qkv, Rotation, Scope, SelfAttention, Window, prepend, token,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/dinov3_vit",
    class: "DINOv3ViTModel",
    task: |_| Task::POOLED,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/dinov3_vit.v4.json")),
    // Where layers start before training, how positions are changed during it, and what a backbone returns.
    ignored_keys: &[
        "layerscale_value",
        "pos_embed_shift",
        "pos_embed_jitter",
        "pos_embed_rescale",
        "apply_layernorm",
        "reshape_hidden_states",
    ],
    build: |config| build("DINOv3ViTConfig", config, DINOv3ViTModel::new),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct DINOv3ViTConfig {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_register_tokens: usize,
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    rope_theta: f64,
    query_bias: bool,
    key_bias: bool,
    value_bias: bool,
    proj_bias: bool,
    mlp_bias: bool,
    use_gated_mlp: bool,
}

struct DINOv3ViTModel {
    patches: Patches,
    cls_token: Parameter,
    register_tokens: Parameter,
    rotation: Rotation,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
}

impl DINOv3ViTModel {
    fn new(root: &Scope, config: &DINOv3ViTConfig) -> Result<Self, ForwardError> {
        let DINOv3ViTConfig { hidden_size: width, num_channels, image_size, patch_size: patch, .. } = *config;
        let heads = heads(width, config.num_attention_heads)?;
        let embeddings = root.pp("embeddings");
        // It is read in pretraining only, but the class has it.
        embeddings.parameter("mask_token", &[1, 1, width])?;
        let sizes = ((num_channels, width), (image_size, image_size), (patch, patch));
        let patches = Patches::new(&embeddings.pp("patch_embeddings"), sizes.0, sizes.1, sizes.2)?;
        let grid = Window::patches(sizes.2).output_size(image_size, image_size).unwrap_or((0, 0));
        Ok(Self {
            patches,
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            register_tokens: embeddings
                .parameter("register_tokens", &[1, config.num_register_tokens, width])?,
            rotation: Rotation::of_centers(grid, heads.dim, config.rope_theta)?,
            layers: root.list("layer", config.num_hidden_layers, |scope, _| layer(scope, config, heads))?,
            norm: LayerNorm::new(&root.pp("norm"), width, config.layer_norm_eps)?,
        })
    }
}

impl Forward for DINOv3ViTModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patches.forward(pixels, cx)?;
        let cls_token = self.cls_token.read(cx.weights())?;
        let leading = [cls_token, self.register_tokens.read(cx.weights())?].concat();
        let mut hidden_states = prepend(&leading, patches, cx)?;
        cx.trace("embeddings", &hidden_states);
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_states, Positions::Rotated(&self.rotation), cx)?;
            cx.trace(&format!("layer.{index}"), &hidden_states);
        }
        let sequence = self.norm.forward(&hidden_states, cx)?;
        cx.trace("norm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", token(&sequence, 0)?.into_values());
        Ok(outputs)
    }
}

/// Builds `DINOv3ViTLayer`.
fn layer(scope: &Scope, config: &DINOv3ViTConfig, heads: Heads) -> Result<EncoderLayer, ForwardError> {
    let DINOv3ViTConfig { hidden_size: width, intermediate_size: hidden, mlp_bias, .. } = *config;
    let activation = activation("hidden_act", &config.hidden_act)?;
    let linear = |name: &str, inputs, outputs, bias| Linear::new(&scope.pp(name), inputs, outputs, bias);
    let qkv = [
        linear("attention.q_proj", width, width, config.query_bias)?,
        linear("attention.k_proj", width, width, config.key_bias)?,
        linear("attention.v_proj", width, width, config.value_bias)?,
    ];
    let proj = linear("attention.o_proj", width, width, config.proj_bias)?;
    let up = linear("mlp.up_proj", width, hidden, mlp_bias)?;
    let down = linear("mlp.down_proj", hidden, width, mlp_bias)?;
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, config.layer_norm_eps).map(Norm::Layer);
    let scale = |name: &str| LayerScale::new(scope, name, width).map(Some);
    Ok(EncoderLayer {
        norm1: norm("norm1")?,
        attention: SelfAttention::new(Qkv::Separate(qkv), heads, proj),
        scale1: scale("layer_scale1.lambda1")?,
        norm2: norm("norm2")?,
        mlp: if config.use_gated_mlp {
            let gate = linear("mlp.gate_proj", width, hidden, mlp_bias)?;
            FeedForward::Gated(GatedMlp::new(Gate::Separate([gate, up]), activation, down))
        } else {
            FeedForward::Plain(Mlp::new(up, activation, down))
        },
        scale2: scale("layer_scale2.lambda1")?,
    })
}
