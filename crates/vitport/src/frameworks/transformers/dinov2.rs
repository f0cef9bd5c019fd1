//! transformers' `Dinov2ForImageClassification` and `Dinov2Model` (models/dinov2/modeling_dinov2.py, 4.57.6 and 5.23.0), and
//! what `dinov2_with_registers` has in common with them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::build;
use super::encoder::{DinoMlpConfig, EncoderConfig, run};
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, EncoderBlock, Forward, ForwardError, LayerNorm, LayerScale, Linear, Matrix, Network, Outputs,
    Parameter, PatchEmbed, Pixels, Positions, Scope, mean_of_rows, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/dinov2",
    classes: ["Dinov2ForImageClassification", "Dinov2Model"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
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
            let inputs = config.encoder.hidden_size.saturating_mul(2);
            Linear::new(&root.pp("classifier"), inputs, config.labels.count(), true)
        };
        Dinov2Model::new(&scope, config, registers, has_classifier.then(classifier).transpose()?)
    })
}

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Dinov2Config {
    #[serde(flatten)]
    encoder: EncoderConfig,
    #[serde(flatten)]
    mlp: DinoMlpConfig,
    qkv_bias: bool,
    /// Is read by the class without registers only; the other always has the token.
    use_mask_token: Option<bool>,
    num_register_tokens: Option<usize>,
    #[serde(flatten)]
    labels: Labels,
}

struct Dinov2Model {
    embeddings: Dinov2Embeddings,
    layers: Vec<EncoderBlock>,
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
    patches: PatchEmbed,
}

impl Dinov2Embeddings {
    fn new(scope: &Scope, config: &Dinov2Config, registers: Option<usize>) -> Result<Self, ForwardError> {
        let width = config.encoder.hidden_size;
        if registers.is_some() || config.use_mask_token != Some(false) {
            // It is read in pretraining only, but the class has it.
            scope.parameter("mask_token", &[1, width])?;
        }
        let patches = config.encoder.patches(&scope.pp("patch_embeddings.projection"), true)?;
        let positions = patches.count().saturating_add(1);
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
        config.encoder.heads()?;
        config.encoder.check_squares("or positions are interpolated")?;
        let depth = config.encoder.num_hidden_layers;
        Ok(Self {
            embeddings: Dinov2Embeddings::new(&scope.pp("embeddings"), config, registers)?,
            layers: scope.list("encoder.layer", depth, |scope, _| layer(scope, config))?,
            layernorm: config.encoder.norm(scope, "layernorm")?,
            leading: registers.unwrap_or(0).saturating_add(1),
            classifier,
        })
    }
}

impl Forward for Dinov2Model {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut hidden_states = self.embeddings.forward(pixels, cx)?;
        cx.trace("embeddings", &hidden_states);
        run(&self.layers, "encoder.layer", Positions::Embedded, &mut hidden_states, cx)?;
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
fn layer(scope: &Scope, config: &Dinov2Config) -> Result<EncoderBlock, ForwardError> {
    let scale = |name: &str| LayerScale::new(scope, name, config.encoder.hidden_size).map(Some);
    let names = ["attention.query", "attention.key", "attention.value", "output.dense"];
    let attention = config.encoder.attention(&scope.pp("attention"), names, [config.qkv_bias, true])?;
    let (plain, gated) = (["fc1", "fc2"], ["weights_in", "weights_out"]);
    let mlp = config.mlp.feed_forward(&scope.pp("mlp"), &config.encoder, plain, gated)?;
    let scales = [scale("layer_scale1.lambda1")?, scale("layer_scale2.lambda1")?];
    config.encoder.block(scope, ["norm1", "norm2"], attention, mlp, scales)
}
