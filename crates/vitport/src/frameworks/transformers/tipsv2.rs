//! transformers' `Tipsv2VisionModel` (models/tipsv2/modeling_tipsv2.py, 5.23.0), names as they lie on
//! disk, which the class renames when it loads them (conversion_mapping.py 2018–2059).

use serde::Deserialize;

use super::super::build;
use super::encoder::{self, DinoMlpConfig, EncoderConfig};
use super::{OneClass, Task, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, LayerScale, Matrix, Outputs, Parameter,
    PatchEmbed, Pixels, Positions, Scope, prepend,
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
    #[serde(flatten)]
    encoder: EncoderConfig,
    #[serde(flatten)]
    mlp: DinoMlpConfig,
    qkv_bias: bool,
    num_register_tokens: usize,
}

struct Tipsv2VisionModel {
    cls_token: Parameter,
    /// Is read by no forward pass without masks.
    _mask_token: Parameter,
    register_tokens: Parameter,
    patch_embeddings: PatchEmbed,
    position_embeddings: Parameter,
    layers: Vec<EncoderBlock>,
    layernorm: LayerNorm,
}

impl Tipsv2VisionModel {
    fn new(root: &Scope, config: &Tipsv2VisionConfig) -> Result<Self, ForwardError> {
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        let registers = config.num_register_tokens;
        let patch_embeddings = config.encoder.patches(&root.pp("patch_embed.proj"), true)?;
        let positions = patch_embeddings.count().saturating_add(1);
        Ok(Self {
            cls_token: root.parameter("cls_token", &[1, 1, width])?,
            _mask_token: root.parameter("mask_token", &[1, width])?,
            register_tokens: root.parameter("register_tokens", &[1, registers, width])?,
            patch_embeddings,
            position_embeddings: root.parameter("pos_embed", &[1, positions, width])?,
            layers: root.list("blocks", depth, |scope, _| layer(scope, config))?,
            layernorm: config.encoder.norm(root, "norm")?,
        })
    }
}

/// Builds `Tipsv2VisionLayer`.
fn layer(scope: &Scope, config: &Tipsv2VisionConfig) -> Result<EncoderBlock, ForwardError> {
    let scale = |name: &str| LayerScale::new(&scope.pp(name), "gamma", config.encoder.hidden_size).map(Some);
    let attention = config.encoder.fused_attention(&scope.pp("attn"), config.qkv_bias)?;
    // `Tipsv2VisionMLP` or `Tipsv2VisionSwiGLUFFN`.
    let mlp =
        config.mlp.feed_forward(&scope.pp("mlp"), &config.encoder, ["c_fc", "c_proj"], ["w12", "w3"])?;
    config.encoder.block(scope, ["norm1", "norm2"], attention, mlp, [scale("ls1")?, scale("ls2")?])
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
        encoder::run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("pooler_output", sequence.row(0).unwrap_or_default());
        Ok(outputs)
    }
}

/// Returns the tokens with the registers after the first.
fn after_first(registers: &[f32], tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
    let width = tokens.columns();
    let (first, rest) = tokens.values().split_at_checked(width).unwrap_or_default();
    let rest = Matrix::from_values(tokens.rows().saturating_sub(1), width, rest.to_vec())?;
    let leading: Vec<f32> = first.iter().chain(registers).copied().collect();
    cx.recycle(tokens);
    prepend(&leading, rest, cx)
}
