//! transformers' `Dinov2ForImageClassification` and `Dinov2Model` (models/dinov2/modeling_dinov2.py, 4.57.6 and 5.23.0), and
//! what `dinov2_with_registers` has in common with them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::build;
use super::activations::activation;
use super::encoder::{EncoderLayer, FeedForward, Norm, Patches, attention, heads, run};
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Activation, Context, Forward, ForwardError, Gate, GatedMlp, Heads, LayerNorm, LayerScale, Linear, Matrix,
    Mlp, Network, Outputs, Parameter, Pixels, Scope, mean_of_rows, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/dinov2",
    classes: ["Dinov2ForImageClassification", "Dinov2Model"],
    tasks: [Task::Classification, Task::POOLED],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/dinov2.v4.json")),
    ignored_keys: IGNORED_KEYS,
    build: |config, has_classifier| build_with("dinov2", false, config, has_classifier),
};

/// Lists the keys that decide where layers start before training, and what a backbone returns.
pub(super) const IGNORED_KEYS: &[&str] = &["layerscale_value", "apply_layernorm", "reshape_hidden_states"];

/// Builds the network whose names begin with `prefix` where it has a classifier.
///
/// # Errors
/// Returns what [`build`] does.
pub(super) fn build_with(
    prefix: &str,
    has_registers: bool,
    config: &Map<String, Value>,
    has_classifier: bool,
) -> Result<Network, ForwardError> {
    build("Dinov2Config", config, |root, config: &Dinov2Config| {
        let registers = if has_registers { config.num_register_tokens } else { None };
        let scope = if has_classifier { root.pp(prefix) } else { root.clone() };
        let classifier = || {
            let inputs = config.hidden_size.saturating_mul(2);
            Linear::new(&root.pp("classifier"), inputs, config.labels.count(), true)
        };
        Dinov2Model::new(&scope, config, registers, has_classifier.then(classifier).transpose()?)
    })
}

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Dinov2Config {
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
    /// Is read by the class without registers only; the other always has the token.
    use_mask_token: Option<bool>,
    num_register_tokens: Option<usize>,
    #[serde(flatten)]
    labels: Labels,
}

struct Dinov2Model {
    embeddings: Dinov2Embeddings,
    layers: Vec<EncoderLayer>,
    layernorm: LayerNorm,
    /// Counts the tokens before the patches.
    leading: usize,
    classifier: Option<Linear>,
}

/// Stands for `Dinov2Embeddings`.
struct Dinov2Embeddings {
    cls_token: Parameter,
    register_tokens: Option<Parameter>,
    position_embeddings: Parameter,
    patches: Patches,
}

impl Dinov2Embeddings {
    fn new(scope: &Scope, config: &Dinov2Config, registers: Option<usize>) -> Result<Self, ForwardError> {
        let width = config.hidden_size;
        if registers.is_some() || config.use_mask_token != Some(false) {
            // It is read in pretraining only, but the class has it.
            scope.parameter("mask_token", &[1, width])?;
        }
        let patches = Patches::new(
            &scope.pp("patch_embeddings.projection"),
            (config.num_channels, width),
            config.image_size.sides(),
            config.patch_size.sides(),
        )?;
        let positions = patches.count.saturating_add(1);
        Ok(Self {
            cls_token: scope.parameter("cls_token", &[1, 1, width])?,
            register_tokens: registers
                .map(|count| scope.parameter("register_tokens", &[1, count, width]))
                .transpose()?,
            position_embeddings: scope.parameter("position_embeddings", &[1, positions, width])?,
            patches,
        })
    }

    /// Adds positions to the class token and the patches; registers come between these.
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let mut patches = self.patches.forward(pixels, cx)?;
        let (mut leading, positions) =
            (self.cls_token.read(cx.weights())?, self.position_embeddings.read(cx.weights())?);
        let (of_class_token, of_patches) = positions.split_at_checked(leading.len()).unwrap_or_default();
        patches.add_values(of_patches)?;
        leading.iter_mut().zip(of_class_token).for_each(|(value, position)| *value += position);
        if let Some(registers) = &self.register_tokens {
            leading.extend(registers.read(cx.weights())?);
        }
        prepend(&leading, patches, cx)
    }
}

impl Dinov2Model {
    fn new(
        scope: &Scope,
        config: &Dinov2Config,
        registers: Option<usize>,
        classifier: Option<Linear>,
    ) -> Result<Self, ForwardError> {
        let Dinov2Config { hidden_size: width, layer_norm_eps: eps, .. } = *config;
        let heads = heads(width, config.num_attention_heads)?;
        let (height, wide) = config.image_size.sides();
        let (patch_height, patch_width) = config.patch_size.sides();
        if height != wide || patch_height != patch_width {
            let detail = "image_size and patch_size must be those of squares, or positions are interpolated";
            return Err(ForwardError::config(detail.to_owned()));
        }
        Ok(Self {
            embeddings: Dinov2Embeddings::new(&scope.pp("embeddings"), config, registers)?,
            layers: scope
                .list("encoder.layer", config.num_hidden_layers, |scope, _| layer(scope, config, heads))?,
            layernorm: LayerNorm::new(&scope.pp("layernorm"), width, eps)?,
            leading: registers.unwrap_or(0).saturating_add(1),
            classifier,
        })
    }
}

impl Forward for Dinov2Model {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut hidden_states = self.embeddings.forward(pixels, cx)?;
        cx.trace("embeddings", &hidden_states);
        run(&self.layers, "encoder.layer", &mut hidden_states, cx)?;
        let sequence = self.layernorm.forward(&hidden_states, cx)?;
        cx.trace("layernorm", &sequence);
        let pooled = token(&sequence, 0)?;
        let mut outputs = Outputs::new();
        let Some(classifier) = &self.classifier else {
            outputs.push("pooler_output", pooled.values());
            return Ok(outputs);
        };
        let mean = mean_of_rows(&without_leading(&sequence, self.leading)?);
        outputs.push("last_hidden_state[0]", pooled.values());
        outputs.push("patch_tokens.mean", mean.as_slice());
        let both = [pooled.values(), mean.as_slice()].concat();
        let both = Matrix::from_values(1, both.len(), both)?;
        let logits = classifier.forward(&both, cx)?.into_values();
        outputs.push_sum("logits", logits, classifier.size_of_terms(both.values(), cx)?);
        Ok(outputs)
    }
}

/// Builds `Dinov2Layer`.
fn layer(scope: &Scope, config: &Dinov2Config, heads: Heads) -> Result<EncoderLayer, ForwardError> {
    let Dinov2Config { hidden_size: width, layer_norm_eps: eps, qkv_bias, .. } = *config;
    let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, eps).map(Norm::Layer);
    let scale = |name: &str| LayerScale::new(scope, name, width).map(Some);
    let names = ["attention.query", "attention.key", "attention.value", "output.dense"];
    Ok(EncoderLayer {
        norm1: norm("norm1")?,
        attention: attention(&scope.pp("attention"), names, (width, heads), [qkv_bias, true])?,
        scale1: scale("layer_scale1.lambda1")?,
        norm2: norm("norm2")?,
        mlp: mlp(&scope.pp("mlp"), config)?,
        scale2: scale("layer_scale2.lambda1")?,
    })
}

/// Builds `Dinov2MLP` or `Dinov2SwiGLUFFN`.
fn mlp(scope: &Scope, config: &Dinov2Config) -> Result<FeedForward, ForwardError> {
    let width = config.hidden_size;
    // `int(hidden_size * mlp_ratio)`; the cast saturates.
    let hidden = (width as f64 * config.mlp_ratio) as usize;
    if !config.use_swiglu_ffn {
        let activation = activation("hidden_act", &config.hidden_act)?;
        let (names, sizes) = (["fc1", "fc2"], [width, hidden, width]);
        return Ok(FeedForward::Plain(Mlp::with_biases(Linear::new, scope, names, sizes, activation)?));
    }
    // `(int(hidden * 2 / 3) + 7) // 8 * 8`
    let hidden = ((hidden as f64 * 2.0 / 3.0) as usize).div_ceil(8).saturating_mul(8);
    let gate = Linear::new(&scope.pp("weights_in"), width, hidden.saturating_mul(2), true)?;
    let out = Linear::new(&scope.pp("weights_out"), hidden, width, true)?;
    Ok(FeedForward::Gated(GatedMlp::new(Gate::Packed(gate), Activation::Silu, out)))
}
