//! transformers' `BeitForImageClassification` and `BeitModel` (models/beit/modeling_beit.py, 4.57.6 and 5.23.0), names as they
//! lie on disk.

use serde::Deserialize;

use super::super::build;
use super::encoder::EncoderConfig;
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::nn::{
    BiasedBlocks, Context, EncoderBlock, Forward, ForwardError, LayerNorm, LayerScale, Linear, Matrix,
    Outputs, Parameter, PatchEmbed, Pixels, PositionTable, Qkv, RelativePositionBias, Scope, SelfAttention,
    mean_of_rows, outputs_of_head, prepend, token, without_leading,
};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/beit",
    classes: ["BeitForImageClassification", "BeitModel"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
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
    #[serde(flatten)]
    encoder: EncoderConfig,
    intermediate_size: usize,
    use_mask_token: bool,
    use_absolute_position_embeddings: bool,
    use_relative_position_bias: bool,
    use_shared_relative_position_bias: bool,
    layer_scale_init_value: f64,
    use_mean_pooling: bool,
    #[serde(flatten)]
    labels: Labels,
}

struct BeitModel {
    patches: PatchEmbed,
    cls_token: Parameter,
    position_embeddings: Option<Parameter>,
    layers: BiasedBlocks,
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
        let EncoderConfig { hidden_size: width, num_hidden_layers: depth, .. } = config.encoder;
        config.encoder.heads()?;
        // `BeitRelativePositionBias` mistakes rows for columns, and positions are interpolated.
        config.encoder.check_squares("which alone the class gets right")?;
        let scope = if has_classifier { root.pp("beit") } else { root.clone() };
        let (embeddings, encoder) = (scope.pp("embeddings"), scope.pp("encoder"));
        if config.use_mask_token {
            embeddings.parameter("mask_token", &[1, 1, width])?;
        }
        let patches = config.encoder.patches(&embeddings.pp("patch_embeddings.projection"), true)?;
        let positions = patches.count().saturating_add(1);
        let table = |scope: &Scope, is_used: bool| {
            let scope = scope.pp("relative_position_bias");
            let heads = config.encoder.num_attention_heads;
            let learned = || RelativePositionBias::new(&scope, patches.grid(), heads);
            is_used.then(|| learned().map(PositionTable::Learned)).transpose()
        };
        let layers = BiasedBlocks {
            shared: table(&encoder, config.use_shared_relative_position_bias)?,
            blocks: encoder.list("layer", depth, |scope, _| {
                let own = table(&scope.pp("attention.attention"), config.use_relative_position_bias)?;
                Ok((layer(scope, config)?, own))
            })?,
        };
        let norm = |name: &str| config.encoder.norm(&scope, name);
        Ok(Self {
            cls_token: embeddings.parameter("cls_token", &[1, 1, width])?,
            position_embeddings: config
                .use_absolute_position_embeddings
                .then(|| embeddings.parameter("position_embeddings", &[1, positions, width]))
                .transpose()?,
            layers,
            patches,
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
        self.layers.forward(&mut hidden_states, |index| format!("encoder.layer.{index}"), cx)?;
        let mean = |tokens: &Matrix| Ok::<_, ForwardError>(mean_of_rows(&without_leading(tokens, 1)?));
        let (pooled, of_patches) = match &self.pooler {
            BeitPooler::Mean(norm) => {
                let mean = mean(&hidden_states)?;
                (norm.forward(&Matrix::from_values(1, mean.len(), mean)?, cx)?, None)
            }
            BeitPooler::ClassToken(norm) => {
                let sequence = norm.forward(&hidden_states, cx)?;
                cx.trace("layernorm", &sequence);
                (token(&sequence, 0)?, Some(mean(&sequence)?))
            }
        };
        let mut outputs =
            outputs_of_head(["pooler_output", "logits"], &pooled, self.classifier.as_ref(), cx)?;
        if let Some(of_patches) = of_patches {
            outputs.push("patches.mean(1)", of_patches);
        }
        Ok(outputs)
    }
}

/// Builds `BeitLayer`.
fn layer(scope: &Scope, config: &BeitConfig) -> Result<EncoderBlock, ForwardError> {
    let (width, attention) = (config.encoder.hidden_size, scope.pp("attention.attention"));
    let projection = |name: &str, has_bias| Linear::new(&attention.pp(name), width, width, has_bias);
    let qkv = [projection("query", true)?, projection("key", false)?, projection("value", true)?];
    let dense = Linear::new(&scope.pp("attention.output.dense"), width, width, true)?;
    let scale = |name: &str| {
        let is_scaled = config.layer_scale_init_value > 0.0;
        is_scaled.then(|| LayerScale::new(scope, name, width)).transpose()
    };
    let attention = SelfAttention::new(Qkv::Separate(qkv), config.encoder.heads()?, dense);
    let names = ["intermediate.dense", "output.dense"];
    let mlp = config.encoder.mlp(scope, names, config.intermediate_size)?;
    let (norms, scales) = (["layernorm_before", "layernorm_after"], [scale("lambda_1")?, scale("lambda_2")?]);
    config.encoder.block(scope, norms, attention, mlp, scales)
}
