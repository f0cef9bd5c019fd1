//! transformers' `Aimv2VisionModel` without its pooling head (models/aimv2/modeling_aimv2.py, 4.57.6 and 5.23.0).

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder;
use super::{ImageSize, OneClass, Task, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, FeedForward, Forward, ForwardError, Gate, GatedMlp, Linear, Norm, Outputs,
    Parameter, PatchEmbed, Pixels, Positions, RmsNorm, Scope, mean_of_rows,
};

/// Declares the definition.
pub const DEFINITION: OneClass = OneClass {
    id: "transformers/aimv2_vision_model",
    class: "Aimv2VisionModel",
    task: |_| Task::MEAN_OF_PATCHES,
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/aimv2_vision_model.v4.json")),
    ignored_keys: &["attention_dropout"],
    build: |config| build("Aimv2VisionConfig", config, Aimv2VisionModel::new),
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Aimv2VisionConfig {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_channels: usize,
    image_size: ImageSize,
    patch_size: ImageSize,
    hidden_act: String,
    rms_norm_eps: f64,
    qkv_bias: bool,
    mlp_bias: bool,
    use_head: bool,
    is_native: bool,
}

struct Aimv2VisionModel {
    patch_embed: PatchEmbed,
    embedding_norm: RmsNorm,
    position_embedding: Parameter,
    layers: Vec<EncoderBlock>,
    rms_norm: RmsNorm,
}

impl Aimv2VisionModel {
    fn new(root: &Scope, config: &Aimv2VisionConfig) -> Result<Self, ForwardError> {
        let Aimv2VisionConfig { hidden_size: width, rms_norm_eps: eps, .. } = *config;
        if config.use_head || config.is_native {
            let detail =
                "use_head or is_native is true, and neither a pooling head nor computed positions can be run";
            return Err(ForwardError::config(detail.to_owned()));
        }
        let embeddings = root.pp("embeddings");
        let (height, breadth) = config.image_size.sides();
        let input = [config.num_channels, height, breadth];
        let patch_embed =
            PatchEmbed::new(&embeddings.pp("patch_embed"), input, config.patch_size.sides(), width, true)?;
        Ok(Self {
            embedding_norm: RmsNorm::new(&embeddings.pp("rms_norm"), width, eps)?,
            position_embedding: embeddings
                .parameter("position_embedding.weight", &[patch_embed.count(), width])?,
            patch_embed,
            layers: root.list("encoder.layers", config.num_hidden_layers, |scope, _| layer(scope, config))?,
            rms_norm: RmsNorm::new(&root.pp("rms_norm"), width, eps)?,
        })
    }
}

/// Builds `Aimv2EncoderLayer`.
fn layer(scope: &Scope, config: &Aimv2VisionConfig) -> Result<EncoderBlock, ForwardError> {
    let Aimv2VisionConfig { hidden_size: width, intermediate_size: hidden, rms_norm_eps: eps, .. } = *config;
    let linear = |name: &str, inputs, outputs| {
        Linear::new(&scope.pp("ffn").pp(name), inputs, outputs, config.mlp_bias)
    };
    let gate = Gate::Separate([linear("gate_proj", width, hidden)?, linear("up_proj", width, hidden)?]);
    let activation = activation("hidden_act", &config.hidden_act)?;
    let names = ["q_proj", "k_proj", "v_proj", "out_proj"];
    let heads = encoder::heads(width, config.num_attention_heads)?;
    Ok(EncoderBlock {
        norm1: Norm::Rms(RmsNorm::new(&scope.pp("rms_norm1"), width, eps)?),
        attention: encoder::attention(&scope.pp("attention"), names, (width, heads), [config.qkv_bias; 2])?,
        scale1: None,
        norm2: Norm::Rms(RmsNorm::new(&scope.pp("rms_norm2"), width, eps)?),
        mlp: FeedForward::Gated(GatedMlp::new(gate, activation, linear("down_proj", hidden, width)?)),
        scale2: None,
    })
}

impl Forward for Aimv2VisionModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patch_embed.forward(pixels, cx)?;
        let mut hidden_states = self.embedding_norm.forward(&patches, cx)?;
        cx.recycle(patches);
        hidden_states.add_values(&self.position_embedding.read(cx.weights())?)?;
        cx.trace("embeddings", &hidden_states);
        encoder::run(&self.layers, "encoder.layers", Positions::Embedded, &mut hidden_states, cx)?;
        let sequence = self.rms_norm.forward(&hidden_states, cx)?;
        cx.trace("rms_norm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("last_hidden_state.mean(1)", mean_of_rows(&sequence));
        Ok(outputs)
    }
}
