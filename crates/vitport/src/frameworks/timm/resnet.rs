//! timm's `ResNet` (timm/models/resnet.py, 1.0.31; He et al. 2015, arXiv:1512.03385), also torchvision's (v1.5: the stride is
//! in the 3×3 convolution): a 7×7 convolution and a pooling, four stages of blocks, and a linear layer after average pooling.

mod modules;

use serde::Deserialize;

use super::super::build;
use super::super::source::{Inquiry, axes};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier};
use super::structure::{Sign, Structure, channels};
use crate::facts::{Evidence, FactError};
use crate::finding::Head;
use crate::nn::{
    Activation, ConvNorm, ForwardError, MaxPool2d, ResidualBlock, ResidualNames, ResidualNetwork, Scope,
    Window, residual_stages,
};

const FAMILY: &str = "ResNet";
/// Is the default of `torch.nn.BatchNorm2d`, which timm leaves as it is.
const EPS: f64 = 1e-5;
const NO_STATISTICS: Literal = Literal::Text("a norm without running statistics");

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/resnet",
    description: "timm's ResNet",
    modules: &["resnet"],
    family: FAMILY,
    structure: Structure {
        recognised_by: &[&["conv1.weight", "conv1.0.weight"], &["bn1."], &["layer1.0.conv1.weight"]],
        // Res2Net, ResNeSt and SKNet have other blocks in the same network, CLIP's ResNets another head and stem.
        unlike: &[".convs.", ".conv2.conv", ".conv2.paths.", "attnpool."],
        signs: &[
            ("avg_down", Sign::Other(&["layer1.0.downsample.2.", "layer2.0.downsample.2."], Literal::YES)),
            ("deep_stem", Sign::Other(&["conv1.0."], Literal::YES)),
            ("attention", Sign::Part(&["layer1.0.se."], Literal::YES)),
            ("replace_stem_pool", Sign::Part(&["maxpool."], Literal::YES)),
            ("norm_layer", Sign::Lack("bn1.running_mean", NO_STATISTICS, "the absence of")),
            ("num_batches_tracked", Sign::Has("bn1.num_batches_tracked")),
            ("in_chans", Sign::Axis("conv1.weight", 1, 4)),
            ("stem_size", Sign::Edges("conv1.weight")),
            ("bottleneck", Sign::Has("layer1.0.conv3.weight")),
            ("layers", Sign::Count("layer{s1}")),
            ("downsample", Sign::Has("layer{s1}.0.downsample.0.weight")),
            ("down_kernel_size", Sign::Axis("layer2.0.downsample.0.weight", 2, 4)),
            ("num_classes", Sign::Classes("fc.weight")),
        ],
        check: Some(check),
    },
    heads: &[Head::new("fc", "layer4.0.bn3.weight"), Head::new("fc", "layer4.0.bn2.weight")],
    saved_modules: &[modules::MODULES],
    fields: &[
        Field::plain("layers", Kind::Numbers).shown("blocks by stage"),
        Field::plain("channels", Kind::Numbers).shown("channels by stage"),
        Field::of_registry("num_chs", "num_chs", Kind::Numbers).config_key("channels", Kind::Planes),
        Field::named("bottleneck", "block", Kind::Word("Bottleneck", &["BasicBlock"]))
            .shown("bottlenecks")
            .of_class(),
        Field::plain("cardinality", Kind::Number).shown("groups in its 3×3 convolutions"),
        Field::plain("base_width", Kind::Number).shown("as its base width"),
        Field::plain("block_reduce_first", Kind::Number).shown("as its first reduction"),
        Field::plain("down_kernel_size", Kind::Number).shown("pixels in its shortcuts' kernels"),
        Field::named("deep_stem", "stem_type", Kind::OtherThan("")).part("a deep stem"),
        Field::plain("avg_down", Kind::Flag).part("shortcuts that average"),
        Field::plain("replace_stem_pool", Kind::Flag).part("a convolution in place of its pooling"),
        Field::named("attention", "block_args", Kind::IsFilled).part("attention to channels"),
        Field::plain("norm_layer", Kind::Text).otherwise(Literal::Text("BatchNorm2d")),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::named("anti_aliasing", "aa_layer", Kind::IsSome),
        Field::plain("act_layer", Kind::Activation),
        Field::of_registry("norm_eps", "norm_eps", Kind::Real),
        Field::argument("stem_width", "stem_width", Kind::Number),
    ],
    usual: &[
        ("output_stride", Literal::Number(32)),
        ("norm_eps", Literal::Real(EPS)),
        ("act_layer", Literal::Text("relu")),
        ("anti_aliasing", Literal::NO),
        ("global_pool", Literal::Text("avg")),
    ],
    by_definition: "timm's ResNet where nothing else is said",
    build: |config| build("timm's ResNet", config, network),
    ..TimmDefinition::PLAIN
};

/// Reads the widths of the stages as timm's arguments have them.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let (last, expansion) = if tensors.has("layer1.0.conv3.weight") { ("conv3", 4) } else { ("conv2", 1) };
    let all = channels(tensors, "conv1.weight", ["layer", &format!(".0.{last}.weight")], FAMILY)?;
    let planes: Vec<u64> = all.iter().skip(1).map(|outputs| outputs / expansion).collect();
    let [reduced, ..] = axes::<4>(tensors, "layer1.0.conv1.weight", FAMILY)?;
    let [width, in_group, ..] = axes::<4>(tensors, "layer1.0.conv2.weight", FAMILY)?;
    let ratio = |whole: u64, part: u64| whole.checked_div(part).unwrap_or(0);
    let groups = ratio(reduced, in_group);
    let of_all_groups = planes.first().copied().unwrap_or(0).saturating_mul(groups);
    evidence.weights("cardinality", groups, "layer1.0.conv2.weight");
    evidence.weights("base_width", ratio(width.saturating_mul(64), of_all_groups), "layer1.0.conv2.weight");
    evidence.weights("block_reduce_first", ratio(width, reduced), "layer1.0.conv1.weight");
    evidence.weights("channels", planes, format!("{last}.weight"));
    evidence.weights("num_chs", all, format!("{last}.weight"));
    Ok(true)
}

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the channels of the image.
    pub in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Gives the number of blocks of each stage.
    pub layers: Vec<usize>,
    /// Gives the channels of the stem, and of what comes out of each stage.
    pub num_chs: Vec<usize>,
    /// Says whether blocks are bottlenecks of three convolutions: `block` is `Bottleneck`.
    pub bottleneck: bool,
    /// Gives timm's name of every activation.
    pub act_layer: String,
}

/// Builds `ResNet`.
fn network(scope: &Scope, config: &Config) -> Result<ResidualNetwork, ForwardError> {
    let act = activation(&config.act_layer)?;
    let &[stem_chs, .., last] = config.num_chs.as_slice() else {
        return Err(ForwardError::config("num_chs has fewer than two entries"));
    };
    let sizes = [config.in_chans, stem_chs, 1];
    let stem = ConvNorm::named(scope, ["conv1", "bn1"], sizes, Window::centered(7, 2), EPS, act)?;
    let pool = MaxPool2d::new(Window::centered(3, 2), false);
    let name = |stage, block| format!("layer{}.{block}", stage + 1);
    let stages = residual_stages(&config.num_chs, &config.layers, false, |[stage, block], sizes, stride| {
        residual_block(&scope.pp(name(stage, block)), config.bottleneck, sizes, stride, act)
    })?;
    let names = ResidualNames { stem: "maxpool", block: name, outputs: ["pre_logits", "logits"] };
    let fc = classifier(scope, "fc", last, config.num_classes)?;
    Ok(ResidualNetwork::new(stem, Some(pool), stages, fc, names))
}

/// Builds `BasicBlock` or `Bottleneck`.
fn residual_block(
    scope: &Scope,
    is_bottleneck: bool,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let (none, names) = (Activation::Identity, [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]]);
    let layers = if is_bottleneck {
        ConvNorm::bottleneck(scope, names, [inputs, outputs / 4, outputs], (1, [1, stride]), (EPS, act))?
    } else {
        let layer = |names, inputs, stride, act| {
            ConvNorm::named(scope, names, [inputs, outputs, 1], Window::centered(3, stride), EPS, act)
        };
        vec![layer(names[0], inputs, stride, act)?, layer(names[1], outputs, 1, none)?]
    };
    let shortcut =
        ConvNorm::shortcut(scope, ["downsample.0", "downsample.1"], [inputs, outputs], stride, EPS)?;
    Ok(ResidualBlock::new(layers, shortcut, act))
}
