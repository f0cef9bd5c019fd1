//! timm's `RegNet` (timm/models/regnet.py, 1.0.31; Radosavovic et al. 2020, arXiv:2003.13678): a 3×3 convolution, four stages of
//! blocks with grouped convolutions, with squeeze-excite in RegNetY, and a linear layer after average pooling.

mod modules;

use serde::Deserialize;

use super::super::source::{Inquiry, lengths};
use super::super::{build, of_stage};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::activation;
use super::structure::{Sign, Structure};
use crate::facts::{Evidence, FactError};
use crate::nn::{
    Activation, Context, Conv2d, ConvNorm, Forward, ForwardError, Linear, Outputs, Pixels, ResidualBlock,
    ResidualStages, Scope, SqueezeExcite, Window, outputs_of_head,
};

const FAMILY: &str = "RegNet";
/// Default of `BatchNormAct2d`, which timm leaves as it is.
const EPS: f64 = 1e-5;
const NO_STATISTICS: Literal = Literal::Text("a norm without running statistics");

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/regnet",
    description: "timm's RegNet",
    modules: &["regnet"],
    family: FAMILY,
    structure: Structure {
        recognised_by: &[&["stem.conv.weight", "stem.weight"], &["s1.b1.conv1."], &["s1.b1.conv2."]],
        unlike: &[],
        signs: &[
            ("preact", Sign::Part(&["s1.b1.norm1."], Literal::YES)),
            ("final_conv", Sign::Part(&["final_conv."], Literal::YES)),
            ("norm_layer", Sign::Lack("s1.b1.conv1.bn.running_mean", NO_STATISTICS, "the absence of")),
            ("num_batches_tracked", Sign::Has("stem.bn.num_batches_tracked")),
            ("in_chans", Sign::Axis("stem.conv.weight", 1, 4)),
            ("stem_size", Sign::Edges("stem.conv.weight")),
            ("depths", Sign::CountFromOne("s{s1}.b")),
            ("se", Sign::Has("s1.b1.se.fc1.weight")),
            ("shortcuts", Sign::Has("s{s1}.b1.downsample.conv.weight")),
            ("num_classes", Sign::Classes("head.fc.weight")),
        ],
        other_if: &[("preact", Literal::YES)],
        check: Some(check),
    },
    saved_modules: modules::MODULES,
    fields: &[
        // timm makes depths and widths of these arguments, and the weights show which.
        Field::of_registry("depths", "depths", Kind::Numbers)
            .config_key("depth", Kind::Known("depths"))
            .shown("blocks by stage"),
        Field::of_registry("num_chs", "num_chs", Kind::Numbers)
            .config_key("w0", Kind::Known("num_chs"))
            .shown("channels by stage"),
        Field::plain("group_size", Kind::Number).shown("channels in its groups"),
        Field::plain("bottle_ratio", Kind::Real).shown("as its bottleneck's ratio"),
        Field::named("se", "se_ratio", Kind::IsPositive).shown("squeeze-excite"),
        Field::plain("preact", Kind::Flag).part("norms before its convolutions"),
        Field::plain("norm_layer", Kind::Text).otherwise(Literal::Text("batchnorm")),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::plain("linear_out", Kind::Flag).otherwise(Literal::NO),
        Field::plain("act_layer", Kind::Activation),
        Field::of_registry("norm_eps", "norm_eps", Kind::Real),
        Field::plain("global_pool", Kind::Text),
        Field::argument("wa", "wa", Kind::Real),
        Field::argument("wm", "wm", Kind::Real),
        Field::argument("group_min_ratio", "group_min_ratio", Kind::Real),
        Field::argument("stem_width", "stem_width", Kind::Number),
        Field::argument("shortcut", "downsample", Kind::Text),
        Field::argument("in_chans", "in_chans", Kind::Number),
        Field::argument("num_classes", "num_classes", Kind::Number),
    ],
    usual_instead: &[],
    usual: &[
        ("norm_eps", Literal::Real(EPS)),
        ("act_layer", Literal::Text("relu")),
        ("global_pool", Literal::Text("avg")),
    ],
    left_open: &[],
    by_definition: "timm's RegNet where nothing else is said",
    build: |config| build("timm's RegNet", config, Whole::new),
};

/// Reads the widths of the stages and of the groups in them.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let axis = |name: &str, axis: usize| {
        let axes = lengths(tensors, name, 4, FAMILY)?;
        Ok::<_, FactError>(axes.get(axis).copied().unwrap_or(0))
    };
    let (mut all, mut groups) = (vec![axis("stem.conv.weight", 0)?], 0);
    for stage in 1..=tensors.count_indices_from(1, "s").min(4) {
        all.push(axis(&format!("s{stage}.b1.conv3.conv.weight"), 0)?);
        groups = groups.max(axis(&format!("s{stage}.b1.conv2.conv.weight"), 1)?);
    }
    let (inner, outputs) = (axis("s1.b1.conv1.conv.weight", 0)?, axis("s1.b1.conv3.conv.weight", 0)?);
    evidence.weights("bottle_ratio", inner as f64 / outputs.max(1) as f64, "s1.b1.conv1.conv.weight");
    // Narrow stages have one smaller group.
    evidence.weights("group_size", groups, "the largest conv2.conv.weight");
    evidence.weights("num_chs", all, "conv3.conv.weight");
    Ok(true)
}

/// What a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Channels of the image.
    pub in_chans: usize,
    /// Classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Number of blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of the stem, and of what comes out of each stage.
    pub num_chs: Vec<usize>,
    /// Channels in a group of the 3×3 convolutions.
    pub group_size: usize,
    /// Whether blocks have squeeze-excite: `se_ratio` is 0.25.
    pub se: bool,
    /// timm's name of every activation.
    pub act_layer: String,
}

struct Whole {
    stages: ResidualStages,
    fc: Option<Linear>,
}

impl Whole {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let &[stem, .., last] = config.num_chs.as_slice() else {
            return Err(ForwardError::config("num_chs has fewer than two entries"));
        };
        let (sizes, window) = ([config.in_chans, stem, 1], Window::square(3, 2, 1));
        let act = activation(&config.act_layer)?;
        let stage = |(index, &depth): (usize, &usize)| {
            let [inputs, outputs] = [index, index + 1].map(|at| of_stage("num_chs", &config.num_chs, at));
            let (inputs, outputs, scope) = (inputs?, outputs?, scope.pp(format!("s{}", index + 1)));
            let block = |number: usize| {
                let (inputs, stride) = if number == 1 { (inputs, 2) } else { (outputs, 1) };
                bottleneck(&scope.pp(format!("b{number}")), config, [inputs, outputs], stride, act)
            };
            (1..=depth).map(block).collect()
        };
        let stages = config.depths.iter().enumerate().map(stage).collect::<Result<_, _>>()?;
        let stem = ConvNorm::named(scope, ["stem.conv", "stem.bn"], sizes, window, EPS, act)?;
        let fc = || Linear::new(&scope.pp("head.fc"), last, config.num_classes, true);
        Ok(Self {
            stages: ResidualStages::new(stem, None, stages),
            fc: (config.num_classes > 0).then(fc).transpose()?,
        })
    }
}

/// `Bottleneck`, of ratio 1.
fn bottleneck(
    scope: &Scope,
    config: &Config,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let layer = |name: &str, [inputs, groups]: [usize; 2], window, act| {
        let sizes = [inputs, outputs, groups];
        ConvNorm::named(&scope.pp(name), ["conv", "bn"], sizes, window, EPS, act)
    };
    let (one, none) = (Window::square(1, 1, 0), Activation::Identity);
    let groups = outputs / config.group_size.min(outputs).max(1);
    let layers = vec![
        layer("conv1", [inputs, 1], one, act)?,
        layer("conv2", [outputs, groups], Window::square(3, stride, 1), act)?,
        layer("conv3", [outputs, 1], one, none)?,
    ];
    let downsample = || layer("downsample", [inputs, 1], Window::square(1, stride, 0), none);
    let se = || {
        let (scope, reduced) = (scope.pp("se"), (inputs as f64 * 0.25).round_ties_even() as usize);
        let fc1 = Conv2d::new(&scope.pp("fc1"), outputs, reduced, one, true)?;
        let fc2 = Conv2d::new(&scope.pp("fc2"), reduced, outputs, one, true)?;
        Ok::<_, ForwardError>(SqueezeExcite::new(fc1, act, fc2, Activation::Sigmoid))
    };
    let shortcut = (stride != 1 || inputs != outputs).then(downsample).transpose()?;
    Ok(ResidualBlock::new(layers, shortcut, act).excited(config.se.then(se).transpose()?))
}

impl Forward for Whole {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let block = |stage, block| format!("s{}.b{}", stage + 1, block + 1);
        let pooled = self.stages.forward(pixels, "stem", block, cx)?.mean()?;
        outputs_of_head(["pre_logits", "logits"], &pooled, self.fc.as_ref(), cx)
    }
}
