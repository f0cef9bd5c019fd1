//! transformers' `DINOv3ViTModel` (models/dinov3_vit/modeling_dinov3_vit.py, 4.57.6 and 5.23.0), names as they lie on disk:
//! those of version 4, which version 5 renames in memory.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{EncoderConfig, run};
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, FeedForward, Forward, ForwardError, Gate, GatedMlp, Heads, LayerNorm, LayerScale,
    Linear, Mlp, Outputs, Parameter, PatchEmbed, Pixels, Positions, Qkv, Rotation, Scope, SelfAttention,
    Window, mean_of_rows, prepend, token, without_leading,
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
    #[serde(flatten)]
    encoder: EncoderConfig,
    intermediate_size: usize,
    num_register_tokens: usize,
    rope_theta: f64,
    query_bias: bool,
    key_bias: bool,
    value_bias: bool,
    proj_bias: bool,
    mlp_bias: bool,
    use_gated_mlp: bool,
}

struct DINOv3ViTModel {
    patches: PatchEmbed,
    cls_token: Parameter,
    register_tokens: Parameter,
    rotation: Rotation,
    layers: Vec<EncoderBlock>,
    norm: LayerNorm,
    /// Counts the tokens before the patches.
    prefix: usize,
}

impl DINOv3ViTModel {
    fn new(root: &Scope, config: &DINOv3ViTConfig) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        let heads = config.encoder.heads()?;
        let (image, patch) = config.encoder.edges()?;
        let embeddings = root.pp("embeddings");
        // It is read in pretraining only, but the class has it.
        embeddings.parameter("mask_token", &[1, 1, width])?;
        let patches = config.encoder.patches(&embeddings.pp("patch_embeddings"), true)?;
        let grid = Window::patches((patch, patch)).output_size(image, image).unwrap_or((0, 0));
        Ok(Self {
            patches,
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            register_tokens: embeddings
                .parameter("register_tokens", &[1, config.num_register_tokens, width])?,
            rotation: Rotation::of_centers(grid, heads.dim, config.rope_theta)?,
            layers: root.list("layer", depth, |scope, _| layer(scope, config, heads))?,
            norm: config.encoder.norm(root, "norm")?,
            prefix: config.num_register_tokens.saturating_add(1),
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
        run(&self.layers, "layer", Positions::Rotated(&self.rotation), &mut hidden_states, cx)?;
        let sequence = self.norm.forward(&hidden_states, cx)?;
        cx.trace("norm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", token(&sequence, 0)?.into_values());
        outputs.push("patches.mean(1)", mean_of_rows(&without_leading(&sequence, self.prefix)?));
        Ok(outputs)
    }
}

/// Builds `DINOv3ViTLayer`.
fn layer(scope: &Scope, config: &DINOv3ViTConfig, heads: Heads) -> Result<EncoderBlock, ForwardError> {
    let DINOv3ViTConfig { intermediate_size: hidden, mlp_bias, .. } = *config;
    let width = config.encoder.hidden_size;
    let activation = activation("hidden_act", &config.encoder.hidden_act)?;
    let linear = |name: &str, inputs, outputs, bias| Linear::new(&scope.pp(name), inputs, outputs, bias);
    let qkv = [
        linear("attention.q_proj", width, width, config.query_bias)?,
        linear("attention.k_proj", width, width, config.key_bias)?,
        linear("attention.v_proj", width, width, config.value_bias)?,
    ];
    let proj = linear("attention.o_proj", width, width, config.proj_bias)?;
    let up = linear("mlp.up_proj", width, hidden, mlp_bias)?;
    let down = linear("mlp.down_proj", hidden, width, mlp_bias)?;
    let scale = |name: &str| LayerScale::new(scope, name, width).map(Some);
    let attention = SelfAttention::new(Qkv::Separate(qkv), heads, proj);
    let mlp = if config.use_gated_mlp {
        let gate = linear("mlp.gate_proj", width, hidden, mlp_bias)?;
        FeedForward::Gated(GatedMlp::new(Gate::Separate([gate, up]), activation, down))
    } else {
        FeedForward::Plain(Mlp::new(up, activation, down))
    };
    let scales = [scale("layer_scale1.lambda1")?, scale("layer_scale2.lambda1")?];
    config.encoder.block(scope, ["norm1", "norm2"], attention, mlp, scales)
}
