//! transformers' `BeitForImageClassification` and `BeitModel` (models/beit/modeling_beit.py, 4.57.6 and 5.23.0), names as they
//! lie on disk.

use serde::Deserialize;

use super::super::build;
use super::activations::activation;
use super::encoder::{EncoderLayer, FeedForward, Norm, Patches, heads};
use super::{ImageSize, Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    Context, Forward, ForwardError, Heads, LayerNorm, LayerScale, Linear, Matrix, Mlp, Outputs, Parameter,
    Pixels, PositionBias, Positions, Qkv, RelativePositionBias, Scope, SelfAttention, Window, mean_of_rows,
    outputs_of_head, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/beit",
    classes: ["BeitForImageClassification", "BeitModel"],
    tasks: [Task::Classification, Task::POOLED],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/beit.v4.json")),
    ignored_keys: &[
        // Of segmentation and pretraining.
        "add_fpn",
        "auxiliary_channels",
        "auxiliary_concat_input",
        "auxiliary_loss_weight",
        "auxiliary_num_convs",
        "pool_scales",
        "reshape_hidden_states",
        "semantic_loss_ignore_index",
        "use_auxiliary_head",
        "vocab_size",
    ],
    build: |config, has_classifier| {
        build("BeitConfig", config, |root, config| BeitModel::new(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct BeitConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f64,
    image_size: ImageSize,
    patch_size: ImageSize,
    num_channels: usize,
    use_mask_token: bool,
    use_absolute_position_embeddings: bool,
    use_relative_position_bias: bool,
    use_shared_relative_position_bias: bool,
    layer_scale_init_value: f64,
    use_mean_pooling: bool,
    #[serde(flatten)]
    labels: Labels,
}

impl BeitConfig {
    /// Returns how many rows and columns of patches there are.
    fn grid(&self) -> (usize, usize) {
        let (height, width) = self.image_size.sides();
        Window::patches(self.patch_size.sides()).output_size(height, width).unwrap_or((0, 0))
    }

    /// Registers a table of relative positions, if the class has it.
    fn bias(&self, scope: &Scope, is_used: bool) -> Result<Option<RelativePositionBias>, ForwardError> {
        let scope = scope.pp("relative_position_bias");
        let new = || RelativePositionBias::new(&scope, self.grid(), self.num_attention_heads);
        is_used.then(new).transpose()
    }
}

struct BeitModel {
    patches: Patches,
    cls_token: Parameter,
    position_embeddings: Option<Parameter>,
    shared_bias: Option<RelativePositionBias>,
    layers: Vec<BeitLayer>,
    pooler: BeitPooler,
    classifier: Option<Linear>,
}

/// Holds the last norm and says what it is given.
enum BeitPooler {
    /// Stands for `pooler.layernorm` of the mean over patches; nothing is normalised before it.
    Mean(LayerNorm),
    /// Stands for `layernorm` of all tokens, of which the class token is taken.
    ClassToken(LayerNorm),
}

impl BeitModel {
    fn new(root: &Scope, config: &BeitConfig, has_classifier: bool) -> Result<Self, ForwardError> {
        let BeitConfig { hidden_size: width, num_channels, layer_norm_eps: eps, .. } = *config;
        let heads = heads(width, config.num_attention_heads)?;
        let (height, wide) = config.image_size.sides();
        let patch = config.patch_size.sides();
        if height != wide || patch.0 != patch.1 {
            // `BeitRelativePositionBias` mistakes rows for columns, and positions are interpolated.
            let detail =
                "image_size and patch_size must be those of squares, which alone the class gets right";
            return Err(ForwardError::config(detail.to_owned()));
        }
        let scope = if has_classifier { root.pp("beit") } else { root.clone() };
        let embeddings = scope.pp("embeddings");
        if config.use_mask_token {
            embeddings.parameter("mask_token", &[1, 1, width])?;
        }
        let patches = Patches::new(
            &embeddings.pp("patch_embeddings.projection"),
            (num_channels, width),
            (height, wide),
            patch,
        )?;
        let positions = patches.count.saturating_add(1);
        let encoder = scope.pp("encoder");
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, eps);
        Ok(Self {
            patches,
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            position_embeddings: config
                .use_absolute_position_embeddings
                .then(|| embeddings.parameter("position_embeddings", &[1, positions, width]))
                .transpose()?,
            shared_bias: config.bias(&encoder, config.use_shared_relative_position_bias)?,
            layers: encoder
                .list("layer", config.num_hidden_layers, |scope, _| BeitLayer::new(scope, config, heads))?,
            pooler: match config.use_mean_pooling {
                true => BeitPooler::Mean(norm("pooler.layernorm")?),
                false => BeitPooler::ClassToken(norm("layernorm")?),
            },
            classifier: has_classifier
                .then(|| Linear::new(&root.pp("classifier"), width, config.labels.count(), true))
                .transpose()?,
        })
    }
}

impl Forward for BeitModel {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let patches = self.patches.forward(pixels, cx)?;
        let mut hidden_states = prepend(&self.cls_token.read(cx.weights())?, patches, cx)?;
        if let Some(positions) = &self.position_embeddings {
            hidden_states.add_values(&positions.read(cx.weights())?)?;
        }
        cx.trace("embeddings", &hidden_states);
        let shared = self.shared_bias.as_ref().map(|bias| bias.read(cx)).transpose()?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_states, shared.as_ref(), cx)?;
            cx.trace(&format!("encoder.layer.{index}"), &hidden_states);
        }
        let pooled = match &self.pooler {
            BeitPooler::Mean(norm) => {
                let mean = mean_of_rows(&without_leading(&hidden_states, 1)?);
                norm.forward(&Matrix::from_values(1, mean.len(), mean)?, cx)?
            }
            BeitPooler::ClassToken(norm) => {
                let sequence = norm.forward(&hidden_states, cx)?;
                cx.trace("layernorm", &sequence);
                token(&sequence, 0)?
            }
        };
        outputs_of_head(["pooler_output", "logits"], &pooled, self.classifier.as_ref(), cx)
    }
}

/// Stands for `BeitLayer`.
struct BeitLayer {
    layer: EncoderLayer,
    bias: Option<RelativePositionBias>,
}

impl BeitLayer {
    fn new(scope: &Scope, config: &BeitConfig, heads: Heads) -> Result<Self, ForwardError> {
        let BeitConfig { hidden_size: width, intermediate_size, layer_norm_eps: eps, .. } = *config;
        let (names, sizes) = (["intermediate.dense", "output.dense"], [width, intermediate_size, width]);
        let activation = activation("hidden_act", &config.hidden_act)?;
        let attention = scope.pp("attention.attention");
        let projection = |name: &str, has_bias| Linear::new(&attention.pp(name), width, width, has_bias);
        let qkv = [projection("query", true)?, projection("key", false)?, projection("value", true)?];
        let dense = Linear::new(&scope.pp("attention.output.dense"), width, width, true)?;
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, eps).map(Norm::Layer);
        let scale = |name: &str| {
            let is_scaled = config.layer_scale_init_value > 0.0;
            is_scaled.then(|| LayerScale::new(scope, name, width)).transpose()
        };
        let layer = EncoderLayer {
            norm1: norm("layernorm_before")?,
            attention: SelfAttention::new(Qkv::Separate(qkv), heads, dense),
            scale1: scale("lambda_1")?,
            norm2: norm("layernorm_after")?,
            mlp: FeedForward::Plain(Mlp::with_biases(Linear::new, scope, names, sizes, activation)?),
            scale2: scale("lambda_2")?,
        };
        Ok(Self { layer, bias: config.bias(&attention, config.use_relative_position_bias)? })
    }

    fn forward(
        &self,
        hidden_states: &mut Matrix,
        shared: Option<&PositionBias>,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let own = self.bias.as_ref().map(|bias| bias.read(cx)).transpose()?;
        let bias = PositionBias::sum(own, shared);
        self.layer.forward(hidden_states, bias.as_ref().map_or(Positions::Embedded, Positions::Biased), cx)
    }
}
