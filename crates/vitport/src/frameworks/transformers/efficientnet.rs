//! transformers' `EfficientNetForImageClassification` and `EfficientNetModel` (models/efficientnet/modeling_efficientnet.py, 4.57.6
//! and 5.23.0). Strided convolutions are padded right and below by one more than left and above, but for those of the blocks in
//! `depthwise_padding`.

use serde::Deserialize;

use super::super::{build, of_stage};
use super::activations::activation;
use super::{Labels, Task, TwoClasses, exported_defaults};
use crate::mapping::efficientnet::rounded;
use crate::nn::{
    Activation, ConvNorm, ForwardError, Linear, ResidualBlock, ResidualNames, ResidualNetwork, Scope,
    SqueezeExcite, Window,
};

/// Gives the channels of the stem, before they are rounded.
const STEM: u64 = 32;
/// Gives the channels of the last convolution, before they are rounded.
const LAST: u64 = 1280;

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/efficientnet",
    classes: ["EfficientNetForImageClassification", "EfficientNetModel"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/efficientnet.v4.json")),
    ignored_keys: &["batch_norm_momentum", "image_size", "num_hidden_layers"],
    build: |config, has_classifier| {
        build("EfficientNetConfig", config, |root, config| network(root, config, has_classifier))
    },
};

/// Holds the keys of `config.json` that the forward pass depends on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct EfficientNetConfig {
    num_channels: usize,
    width_coefficient: f64,
    depth_coefficient: f64,
    depth_divisor: u64,
    kernel_sizes: Vec<usize>,
    in_channels: Vec<u64>,
    out_channels: Vec<u64>,
    depthwise_padding: Vec<usize>,
    strides: Vec<usize>,
    num_block_repeats: Vec<usize>,
    expand_ratios: Vec<usize>,
    squeeze_expansion_ratio: f64,
    hidden_act: String,
    hidden_dim: usize,
    pooling_type: String,
    batch_norm_eps: f64,
    #[serde(flatten)]
    labels: Labels,
}

impl EfficientNetConfig {
    /// Returns a width as `round_filters` makes it.
    fn channels(&self, channels: u64) -> usize {
        usize::try_from(rounded(channels, self.width_coefficient)).unwrap_or(usize::MAX)
    }
}

/// Builds `EfficientNetForImageClassification`, or `EfficientNetModel`.
fn network(
    root: &Scope,
    config: &EfficientNetConfig,
    has_classifier: bool,
) -> Result<ResidualNetwork, ForwardError> {
    if config.depth_divisor != 8 || config.pooling_type != "mean" {
        let (divisor, pooling) = (config.depth_divisor, &config.pooling_type);
        let detail = format!("depth_divisor {divisor} and pooling_type {pooling:?} are not defined here");
        return Err(ForwardError::config(detail));
    }
    let scope = if has_classifier { root.pp("efficientnet") } else { root.clone() };
    let (act, eps) = (activation("hidden_act", &config.hidden_act)?, config.batch_norm_eps);
    let sizes = [config.num_channels, config.channels(STEM), 1];
    let window = Window::square(3, 2, 0).one_more_behind();
    let names = ["embeddings.convolution", "embeddings.batchnorm"];
    let stem = ConvNorm::named(&scope, names, sizes, window, eps, act)?;
    let encoder = scope.pp("encoder");
    let (mut blocks, mut reached) = (Vec::new(), config.channels(STEM));
    for (stage, &inputs) in config.in_channels.iter().enumerate() {
        let of = |name: &str, list: &[usize]| of_stage(name, list, stage);
        let repeats = of("num_block_repeats", &config.num_block_repeats)? as f64;
        let outputs = config.channels(of_stage("out_channels", &config.out_channels, stage)?);
        let (kernel, stride) = (of("kernel_sizes", &config.kernel_sizes)?, of("strides", &config.strides)?);
        let expansion = of("expand_ratios", &config.expand_ratios)?;
        for number in 0..(config.depth_coefficient * repeats).ceil() as usize {
            let is_first = number == 0;
            let inputs = if is_first { config.channels(inputs) } else { outputs };
            let window =
                match (if is_first { stride } else { 1 }, config.depthwise_padding.contains(&blocks.len())) {
                    (2, false) => Window::square(kernel, 2, (kernel / 2).saturating_sub(1)).one_more_behind(),
                    (stride, _) => Window::centered(kernel, stride),
                };
            let scope = encoder.pp("blocks").pp(blocks.len());
            let block = block(&scope, config, [inputs, expansion, outputs], window, act)?;
            blocks.push(block.adding(!is_first));
            reached = outputs;
        }
    }
    let sizes = [reached, config.channels(LAST), 1];
    let window = Window::centered(1, 1);
    let last = ConvNorm::named(&encoder, ["top_conv", "top_bn"], sizes, window, eps, act)?;
    let classifier = || Linear::new(&root.pp("classifier"), config.hidden_dim, config.labels.count(), true);
    let classifier = has_classifier.then(classifier).transpose()?;
    let block = |_, block| format!("encoder.blocks.{block}");
    let names = ResidualNames { stem: "embeddings", block, outputs: ["pooler_output", "logits"] };
    Ok(ResidualNetwork::new(stem, None, vec![blocks], classifier, names).ending_in("encoder.top_bn", last))
}

/// Builds an `EfficientNetBlock`.
fn block(
    scope: &Scope,
    config: &EfficientNetConfig,
    [inputs, expansion, outputs]: [usize; 3],
    window: Window,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let hidden = inputs.saturating_mul(expansion);
    let names = [
        ["expansion.expand_conv", "expansion.expand_bn"],
        ["depthwise_conv.depthwise_conv", "depthwise_conv.depthwise_norm"],
        ["projection.project_conv", "projection.project_bn"],
    ];
    let reduced = ((inputs as f64 * config.squeeze_expansion_ratio) as usize).max(1);
    let acts = [act, Activation::Sigmoid];
    let excite =
        SqueezeExcite::named(&scope.pp("squeeze_excite"), ["reduce", "expand"], [hidden, reduced], acts)?;
    let sizes = [inputs, hidden, outputs];
    let block = ResidualBlock::inverted(scope, names, sizes, window, (config.batch_norm_eps, act))?;
    Ok(block.excited(Some(excite)))
}
