//! transformers' `Tipsv2VisionModel` (models/tipsv2/modeling_tipsv2.py, 5.23.0), names as they lie on
//! disk, which the class renames when it loads them (conversion_mapping.py 2018–2059).

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{self, EncoderLayer, FeedForward, Norm, Patches};
use super::{ImageSize, OneClass, Task, exported_defaults};
use crate::nn::{
    Activation, Context, Forward, ForwardError, Gate, GatedMlp, LayerNorm, LayerScale, Linear, Matrix, Mlp,
    Outputs, Parameter, Pixels, Scope, prepend,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/tipsv2_vision_model",
    class: "Tipsv2VisionModel",
    task: |_| Task::POOLED,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/tipsv2_vision_model.v5.json")),
    // Version 5 has none for this model_type.
    ignored_keys: &["apply_layernorm", "layerscale_value", "reshape_hidden_states"],
    build: |config| build("Tipsv2VisionConfig", config, Tipsv2VisionModel::new),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Tipsv2VisionConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    mlp_ratio: f64,
    hidden_act: String,
    layer_norm_eps: f64,
    image_size: ImageSize,
    patch_size: ImageSize,
    num_channels: usize,
    qkv_bias: bool,
    use_swiglu_ffn: bool,
    num_register_tokens: usize,
}

struct Tipsv2VisionModel {
    cls_token: Parameter,
    /// Is read by no forward pass without masks.
    _mask_token: Parameter,
    register_tokens: Parameter,
    patch_embeddings: Patches,
    position_embeddings: Parameter,
    layers: Vec<EncoderLayer>,
    layernorm: LayerNorm,
}

impl Tipsv2VisionModel {
    fn new(root: &Scope, config: &Tipsv2VisionConfig) -> Result<Self, ForwardError> {
        let Tipsv2VisionConfig { hidden_size: width, num_register_tokens: registers, .. } = *config;
        let patch_embeddings = Patches::new(
            &root.pp("patch_embed.proj"),
            (config.num_channels, width),
            config.image_size.sides(),
            config.patch_size.sides(),
        )?;
        let positions = patch_embeddings.count.saturating_add(1);
        Ok(Self {
            cls_token: root.parameter("cls_token", &[1, 1, width])?,
            _mask_token: root.parameter("mask_token", &[1, width])?,
            register_tokens: root.parameter("register_tokens", &[1, registers, width])?,
            patch_embeddings,
            position_embeddings: root.parameter("pos_embed", &[1, positions, width])?,
            layers: root.list("blocks", config.num_hidden_layers, |scope, _| layer(scope, config))?,
            layernorm: LayerNorm::new(&root.pp("norm"), width, config.layer_norm_eps)?,
        })
    }
}

/// Builds `Tipsv2VisionLayer`.
fn layer(scope: &Scope, config: &Tipsv2VisionConfig) -> Result<EncoderLayer, ForwardError> {
    let Tipsv2VisionConfig { hidden_size: width, layer_norm_eps: eps, .. } = *config;
    let heads = encoder::heads(width, config.num_attention_heads)?;
    let scale = |name: &str| LayerScale::new(&scope.pp(name), "gamma", width);
    Ok(EncoderLayer {
        norm1: Norm::Layer(LayerNorm::new(&scope.pp("norm1"), width, eps)?),
        attention: encoder::fused_attention(&scope.pp("attn"), (width, heads), config.qkv_bias)?,
        scale1: Some(scale("ls1")?),
        norm2: Norm::Layer(LayerNorm::new(&scope.pp("norm2"), width, eps)?),
        mlp: mlp(&scope.pp("mlp"), config)?,
        scale2: Some(scale("ls2")?),
    })
}

/// Builds `Tipsv2VisionMLP` or `Tipsv2VisionSwiGLUFFN`.
fn mlp(scope: &Scope, config: &Tipsv2VisionConfig) -> Result<FeedForward, ForwardError> {
    let width = config.hidden_size;
    let hidden = (width as f64 * config.mlp_ratio) as usize;
    if !config.use_swiglu_ffn {
        let activation = activation("hidden_act", &config.hidden_act)?;
        let sizes = [width, hidden, width];
        return Ok(FeedForward::Plain(Mlp::with_biases(
            Linear::new,
            scope,
            ["c_fc", "c_proj"],
            sizes,
            activation,
        )?));
    }
    let hidden = ((hidden as f64 * 2.0 / 3.0) as usize).div_ceil(8).saturating_mul(8);
    let linear = |name: &str, inputs, outputs| Linear::new(&scope.pp(name), inputs, outputs, true);
    let gate = Gate::Packed(linear("w12", width, hidden.saturating_mul(2))?);
    Ok(FeedForward::Gated(GatedMlp::new(gate, Activation::Silu, linear("w3", hidden, width)?)))
}

impl Forward for Tipsv2VisionModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embeddings.forward(pixels, cx)?;
        let cls_token = self.cls_token.read(cx.weights())?;
        let mut embedded = prepend(&cls_token, patches, cx)?;
        embedded.add_values(&self.position_embeddings.read(cx.weights())?)?;
        let registers = self.register_tokens.read(cx.weights())?;
        let mut hidden_states = after_first(&registers, embedded, cx)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layer", &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", sequence.row(0).unwrap_or_default());
        Ok(outputs)
    }
}

/// Returns the tokens with the registers behind the first.
fn after_first(registers: &[f32], tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
    let width = tokens.columns();
    let (first, rest) = tokens.values().split_at_checked(width).unwrap_or_default();
    let rest = Matrix::from_values(tokens.rows().saturating_sub(1), width, rest.to_vec())?;
    let leading: Vec<f32> = first.iter().chain(registers).copied().collect();
    cx.recycle(tokens);
    prepend(&leading, rest, cx)
}
