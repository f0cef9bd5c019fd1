//! timm's `EfficientNet` (timm/models/efficientnet.py, 1.0.31; Tan and Le 2019, arXiv:1905.11946): a 3×3 convolution, stages of
//! inverted residual blocks, a convolution, and a linear layer after average pooling. Convolutions are padded by the size of their
//! input as in TensorFlow, or alike on both sides as in PyTorch; no weight shows which.

mod modules;
mod stages;

use serde::Deserialize;

use super::super::{build, of_stage};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier};
use super::structure::{Sign, Structure};
use crate::finding::Head;
use crate::nn::{
    Activation, ConvNorm, ForwardError, ResidualBlock, ResidualNames, ResidualNetwork, Scope, SqueezeExcite,
    Window,
};

const FAMILY: &str = "EfficientNet";
const NO_STATISTICS: Literal = Literal::Text("a norm without running statistics");
/// Is timm's word for TensorFlow's padding.
const SAME: &str = "same";

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/efficientnet",
    description: "timm's EfficientNet",
    modules: &["efficientnet"],
    family: FAMILY,
    structure: Structure {
        recognised_by: &[&["conv_stem.weight"], &["blocks.0.0."], &["conv_head.weight"], &["bn2.weight"]],
        unlike: &[],
        signs: &[
            ("fused", Sign::Other(&["blocks.0.0.conv.", ".conv_exp."], Literal::YES)),
            ("mixed_kernels", Sign::Other(&[".conv_pw.0.", ".conv_dw.0."], Literal::YES)),
            ("space_to_depth", Sign::Other(&[".conv_s2d."], Literal::YES)),
            ("conditional", Sign::Other(&[".routing_fn."], Literal::YES)),
            ("norm_layer", Sign::Lack("bn1.running_mean", NO_STATISTICS, "the absence of")),
            ("num_batches_tracked", Sign::Has("bn1.num_batches_tracked")),
            ("inverted", Sign::Has("blocks.1.0.conv_pwl.weight")),
            ("in_chans", Sign::Axis("conv_stem.weight", 1, 4)),
            ("stem_kernel", Sign::Edges("conv_stem.weight")),
            ("stem_chs", Sign::Axis("conv_stem.weight", 0, 4)),
            ("num_features", Sign::Axis("conv_head.weight", 0, 4)),
            ("depths", Sign::Count("blocks.{s}")),
            ("expands", Sign::Has("blocks.{s}.0.conv_pwl.weight")),
            ("num_classes", Sign::Classes("classifier.weight")),
        ],
        check: Some(stages::read),
    },
    heads: &[Head::new("classifier", "bn2.weight")],
    saved_modules: &[modules::MODULES],
    fields: &[
        Field::named("depths", "block_args", Kind::BlockCounts).shown("blocks by stage"),
        Field::named("strides", "block_args", Kind::BlockStrides),
        Field::named("se", "block_args", Kind::HasBlock(&["_se"])).shown("squeeze-excite"),
        Field::named("other_blocks", "block_args", Kind::HasOtherBlock).otherwise(Literal::NO),
        Field::of_registry("fused", "block_args", Kind::HasBlock(&["er_", "cn_"])).otherwise(Literal::NO),
        Field::of_registry("mixed_kernels", "block_args", Kind::HasBlock(&["_k3.5"])).otherwise(Literal::NO),
        Field::of_registry("conditional", "block_args", Kind::HasBlock(&["_cc", "num_experts"]))
            .otherwise(Literal::NO),
        Field::of_registry("num_chs", "num_chs", Kind::Numbers)
            .decided_by(&["block_args"])
            .shown("channels by size of the map"),
        Field::of_registry("kernels", "block_args", Kind::BlockNumbers('k'))
            .decided_by(&["block_args"])
            .shown("as kernels by stage"),
        Field::of_registry("expansions", "block_args", Kind::BlockNumbers('e'))
            .decided_by(&["block_args"])
            .shown("as expansions by stage"),
        // The weights alone show these.
        Field::of_registry("in_chs", "in_chs", Kind::Numbers),
        Field::of_registry("out_chs", "out_chs", Kind::Numbers),
        Field::plain("num_features", Kind::Number).shown("channels before its head").given_to(""),
        Field::argument("stem_chs", "stem_size", Kind::Number).given_to(""),
        Field::argument("fix_stem", "fix_stem", Kind::Flag).given_to("_lite"),
        Field::argument("stem_kernel", "stem_kernel_size", Kind::Pair),
        Field::plain("pad_type", Kind::Text),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_layer", Kind::Text).of_class().otherwise(Literal::Text("BatchNorm2d")),
        Field::of_registry("norm_eps", "norm_eps", Kind::Real).config_key("bn_eps", Kind::Real),
        // Only training reads this.
        Field::argument("bn_momentum", "bn_momentum", Kind::Real),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::named("anti_aliasing", "aa_layer", Kind::IsSome),
    ],
    usual: &[
        ("pad_type", Literal::Text("")),
        ("norm_eps", Literal::Real(1e-5)),
        ("strides", Literal::Numbers(&[1, 2, 2, 2, 1, 2, 1])),
        ("output_stride", Literal::Number(32)),
        ("act_layer", Literal::Text("silu")),
        ("anti_aliasing", Literal::NO),
        ("global_pool", Literal::Text("avg")),
    ],
    left_open: &[("pad_type", "inverted"), ("norm_eps", "inverted")],
    by_definition: "timm's EfficientNet where nothing else is said",
    build: |config| build("timm's EfficientNet", config, network),
    ..TimmDefinition::PLAIN
};

/// Holds what a network is made of, under the names of timm's arguments where it has them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the channels of the image.
    in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    num_classes: usize,
    /// Gives the channels of the stem.
    stem_chs: usize,
    /// Gives the channels of the last convolution.
    num_features: usize,
    /// Gives the number of blocks of each stage.
    depths: Vec<usize>,
    /// Gives the stride of the first block of each stage.
    strides: Vec<usize>,
    /// Gives the channels that come out of each stage.
    out_chs: Vec<usize>,
    /// Gives the edge of the depth-wise kernels of each stage.
    kernels: Vec<usize>,
    /// Gives by how much each stage's blocks widen their input; 1 for blocks that have no convolution before the depth-wise one.
    expansions: Vec<usize>,
    /// Says whether blocks have squeeze-excite, with a fourth of the channels that come in.
    se: bool,
    /// Says how convolutions are padded: `same` as in TensorFlow, nothing as in PyTorch.
    pad_type: String,
    /// Gives timm's name of every activation.
    act_layer: String,
    /// Gives the epsilon of every norm.
    norm_eps: f64,
}

/// Builds `EfficientNet`.
fn network(scope: &Scope, config: &Config) -> Result<ResidualNetwork, ForwardError> {
    let (act, eps) = (activation(&config.act_layer)?, config.norm_eps);
    let (sizes, window) = ([config.in_chans, config.stem_chs, 1], Window::centered(3, 2));
    let stem = ConvNorm::named(scope, ["conv_stem", "bn1"], sizes, window, eps, act)?;
    let (mut stages, mut inputs) = (Vec::new(), config.stem_chs);
    for (stage, &depth) in config.depths.iter().enumerate() {
        let of = |name: &str, list: &[usize]| of_stage(name, list, stage);
        let (outputs, stride) = (of("out_chs", &config.out_chs)?, of("strides", &config.strides)?);
        let (kernel, expansion) = (of("kernels", &config.kernels)?, of("expansions", &config.expansions)?);
        stages.push(scope.pp("blocks").list(&stage.to_string(), depth, |scope, number| {
            let (inputs, stride) = if number == 0 { (inputs, stride) } else { (outputs, 1) };
            block(scope, config, [inputs, expansion, outputs], Window::centered(kernel, stride), act)
        })?);
        inputs = if depth == 0 { inputs } else { outputs };
    }
    let sizes = [inputs, config.num_features, 1];
    let last = ConvNorm::named(scope, ["conv_head", "bn2"], sizes, Window::centered(1, 1), eps, act)?;
    let block = |stage, block| format!("blocks.{stage}.{block}");
    let names = ResidualNames { stem: "bn1", block, outputs: ["pre_logits", "logits"] };
    let fc = classifier(scope, "classifier", config.num_features, config.num_classes)?;
    let stem = stem.padded_same(config.pad_type == SAME);
    Ok(ResidualNetwork::new(stem, None, stages, fc, names).ending_in("bn2", last))
}

/// Builds `DepthwiseSeparableConv`, or `InvertedResidual` where there is an expansion.
fn block(
    scope: &Scope,
    config: &Config,
    [inputs, expansion, outputs]: [usize; 3],
    window: Window,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let hidden = inputs.saturating_mul(expansion);
    let names = match expansion {
        1 => [["", ""], ["conv_dw", "bn1"], ["conv_pw", "bn2"]],
        _ => [["conv_pw", "bn1"], ["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
    };
    let excite = || {
        let names = ["conv_reduce", "conv_expand"];
        let sizes = [hidden, (inputs as f64 * 0.25).round_ties_even() as usize];
        SqueezeExcite::named(&scope.pp("se"), names, sizes, [act, Activation::Sigmoid])
    };
    let sizes = [inputs, hidden, outputs];
    let block = ResidualBlock::inverted(scope, names, sizes, window, (config.norm_eps, act))?;
    let block =
        block.padded_same(config.pad_type == SAME).adding(window.stride == (1, 1) && inputs == outputs);
    Ok(block.excited(config.se.then(excite).transpose()?))
}
