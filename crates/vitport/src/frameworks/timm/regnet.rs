//! timm's `RegNet` (timm/models/regnet.py, 1.0.31; Radosavovic et al. 2020, arXiv:2003.13678): a 3×3 convolution, four stages of
//! blocks with grouped convolutions, with squeeze-excite in RegNetY, and a linear layer after average pooling.

mod modules;
mod stages;
mod torchvision_modules;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::build;
use super::super::source::{Inquiry, axes};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::hub_config::TimmConfig;
use super::layers::{activation, classifier};
use super::registry;
use super::structure::{Sign, Structure, channels};
use crate::facts::{Evidence, FactError, Origin};
use crate::finding::Head;
use crate::mapping::Sources;
use crate::nn::{
    Activation, ConvNorm, ForwardError, ResidualBlock, ResidualNames, ResidualNetwork, Scope, SqueezeExcite,
    Window, residual_stages,
};

const FAMILY: &str = "RegNet";
/// Is the default of `BatchNormAct2d`, which timm leaves as it is.
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
            ("preact", Sign::Other(&["s1.b1.norm1."], Literal::YES)),
            ("final_conv", Sign::Part(&["final_conv."], Literal::YES)),
            ("norm_layer", Sign::Lack("s1.b1.conv1.bn.running_mean", NO_STATISTICS, "the absence of")),
            ("num_batches_tracked", Sign::Has("stem.bn.num_batches_tracked")),
            ("in_chans", Sign::Axis("stem.conv.weight", 1, 4)),
            ("stem_size", Sign::Edges("stem.conv.weight")),
            ("depths", Sign::CountFromOne("s{s1}.b")),
            ("se", Sign::Has("s1.b1.se.fc1.weight")),
            ("shortcuts", Sign::Has("s{s1}.b1.downsample.conv.weight")),
            ("shortcut", Sign::Has("s1.b1.downsample.conv.weight")),
            ("stem_width", Sign::Axis("stem.conv.weight", 0, 4)),
            ("num_classes", Sign::Classes("head.fc.weight")),
        ],
        check: Some(check),
    },
    heads: &[
        Head::new("head.fc", "s4.b1.conv3.bn.weight"),
        // torchvision's.
        Head::new("fc", "trunk_output.block4.block4-0.f.c.1.weight"),
    ],
    saved_modules: &[modules::MODULES, torchvision_modules::MODULES],
    fields: &[
        // timm makes depths and widths of these arguments, and the weights show which.
        Field::of_registry("depths", "depths", Kind::Numbers)
            .config_key("depth", Kind::SumOf("depths"))
            .shown("blocks by stage")
            .decided_by(&stages::TELLING),
        Field::of_registry("num_chs", "num_chs", Kind::Numbers)
            .config_key("w0", Kind::Known("num_chs"))
            .shown("channels by stage")
            .decided_by(&stages::DECIDING),
        Field::plain("group_size", Kind::Number).shown("channels in its groups"),
        Field::plain("bottle_ratio", Kind::Real).shown("as its bottleneck's ratio"),
        Field::named("se", "se_ratio", Kind::IsPositive).shown("squeeze-excite"),
        Field::plain("preact", Kind::Flag).part("norms before its convolutions"),
        Field::plain("norm_layer", Kind::Text).otherwise(Literal::Text("batchnorm")),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::plain("linear_out", Kind::Flag).otherwise(Literal::NO),
        Field::plain("act_layer", Kind::Activation),
        Field::of_registry("norm_eps", "norm_eps", Kind::Real),
        Field::argument("wa", "wa", Kind::Real),
        Field::argument("wm", "wm", Kind::Real),
        Field::argument("group_min_ratio", "group_min_ratio", Kind::Real),
        Field::argument("stem_width", "stem_width", Kind::Number),
        Field::named("shortcut", "downsample", Kind::Word("conv1x1", &["avg", ""]))
            .shown("a convolution alone in its shortcuts"),
    ],
    usual: &[
        ("output_stride", Literal::Number(32)),
        ("norm_eps", Literal::Real(EPS)),
        ("act_layer", Literal::Text("relu")),
        ("linear_out", Literal::NO),
        ("global_pool", Literal::Text("avg")),
    ],
    by_definition: "timm's RegNet where nothing else is said",
    build: |config| build("timm's RegNet", config, network),
    ..TimmDefinition::PLAIN
};

/// Reads the widths of the stages and of the groups in them.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let all = channels(tensors, "stem.conv.weight", ["s", ".b1.conv3.conv.weight"], FAMILY)?;
    let inner = |stage| axes::<4>(tensors, &format!("s{stage}.b1.conv2.conv.weight"), FAMILY);
    let kernels: Vec<[u64; 4]> = (1..all.len()).map(inner).collect::<Result<_, FactError>>()?;
    let [inner, ..] = axes::<4>(tensors, "s1.b1.conv1.conv.weight", FAMILY)?;
    let [outputs, ..] = axes::<4>(tensors, "s1.b1.conv3.conv.weight", FAMILY)?;
    evidence.weights("bottle_ratio", inner as f64 / outputs.max(1) as f64, "s1.b1.conv1.conv.weight");
    // Narrow stages have one smaller group.
    let largest = kernels.iter().map(|[_, in_group, ..]| *in_group).max().unwrap_or(0);
    evidence.weights("group_size", largest, "the largest conv2.conv.weight");
    let is_one = kernels.iter().all(|[inner, in_group, ..]| *in_group == largest.min(*inner));
    evidence.weights("one_group_size", is_one, "conv2.conv.weight");
    evidence.weights("usual_excitation", has_usual_excitation(tensors, &all), "se.fc1.weight");
    let stem = all.first().copied().unwrap_or(0);
    evidence.weights("num_chs", all, "conv3.conv.weight");
    of_arguments(inquiry, stem, evidence)?;
    Ok(true)
}

/// Returns whether all blocks have squeeze-excite with a fourth of the channels that come in, or none has any.
fn has_usual_excitation(tensors: &Sources, channels: &[u64]) -> bool {
    let has_any = tensors.has("s1.b1.se.fc1.weight");
    channels.windows(2).zip(1..).all(|(ends, stage)| {
        (1..=tensors.count_indices_from(1, &format!("s{stage}.b"))).all(|block| {
            let inputs = ends.get(usize::from(block > 1)).copied().unwrap_or(0);
            let reduced = tensors.shape(&format!("s{stage}.b{block}.se.fc1.weight"));
            let made = (inputs as f64 * 0.25).round_ties_even() as u64;
            reduced.and_then(|shape| shape.first().copied()) == has_any.then_some(made)
        })
    })
}

/// States the stages that the arguments of a hub folder make, those that it leaves out being the architecture's.
fn of_arguments(inquiry: &Inquiry<'_>, stem: u64, evidence: &mut Evidence) -> Result<(), FactError> {
    let Some(config) = TimmConfig::of(inquiry.source)? else { return Ok(()) };
    let architecture = config.architecture.and_then(registry::architecture);
    let given = |name: &str| config.argument(name).filter(|value| !value.is_null());
    if let (Some(ratio), Some(reduced)) =
        (given("se_ratio").and_then(Value::as_f64), inquiry.tensors.shape("s1.b1.se.fc1.weight"))
    {
        let made = (stem as f64 * ratio).round_ties_even();
        if reduced.first().is_none_or(|reduced| *reduced as f64 != made) {
            let place = "config.json: model_args.se_ratio".to_owned();
            let reason = format!("{ratio} would make {made} channels of s1.b1.se.fc1.weight");
            return Err(FactError::Impossible { place, reason });
        }
    }
    let said: Vec<&str> = stages::DECIDING.into_iter().filter(|name| given(name).is_some()).collect();
    if said.is_empty() {
        return Ok(());
    }
    let value = |name: &str| given(name).or_else(|| architecture?.get(name)).cloned();
    let stem = value("stem_width").and_then(|width| width.as_u64()).unwrap_or(stem);
    let named = |name: &str| Some((name.to_owned(), value(name)?));
    let numbers = Map::from_iter(stages::DECIDING.into_iter().filter_map(named));
    let place = format!("model_args.{}", said.join(", model_args."));
    let is_known = stages::TELLING.iter().all(|name| numbers.contains_key(*name));
    let numbers = serde_json::from_value::<stages::Numbers>(Value::Object(numbers)).ok();
    match numbers.and_then(|numbers| numbers.stages()) {
        Some((blocks, widths)) => {
            let widths: Vec<u64> =
                std::iter::once(stem).chain(widths.iter().map(|width| *width as u64)).collect();
            evidence.add("depths", blocks, Origin::Config(place.clone()));
            evidence.add("num_chs", widths, Origin::Config(place));
            Ok(())
        }
        None if is_known => {
            let reason = "timm makes no stages of these numbers".to_owned();
            Err(FactError::Impossible { place: format!("config.json: {place}"), reason })
        }
        None => Ok(()),
    }
}

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the channels of the image.
    pub in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Gives the number of blocks of each stage.
    pub depths: Vec<usize>,
    /// Gives the channels of the stem, and of what comes out of each stage.
    pub num_chs: Vec<usize>,
    /// Gives the channels in a group of the 3×3 convolutions.
    pub group_size: usize,
    /// Says whether blocks have squeeze-excite: `se_ratio` is 0.25.
    pub se: bool,
    /// Gives timm's name of every activation.
    pub act_layer: String,
}

/// Builds `RegNet`.
fn network(scope: &Scope, config: &Config) -> Result<ResidualNetwork, ForwardError> {
    let act = activation(&config.act_layer)?;
    let &[stem, .., last] = config.num_chs.as_slice() else {
        return Err(ForwardError::config("num_chs has fewer than two entries"));
    };
    let (sizes, window) = ([config.in_chans, stem, 1], Window::centered(3, 2));
    let stem = ConvNorm::named(scope, ["stem.conv", "stem.bn"], sizes, window, EPS, act)?;
    let name = |stage, block| format!("s{}.b{}", stage + 1, block + 1);
    let stages = residual_stages(&config.num_chs, &config.depths, true, |[stage, block], sizes, stride| {
        bottleneck(&scope.pp(name(stage, block)), config, sizes, stride, act)
    })?;
    let names = ResidualNames { stem: "stem", block: name, outputs: ["pre_logits", "logits"] };
    let fc = classifier(scope, "head.fc", last, config.num_classes)?;
    Ok(ResidualNetwork::new(stem, None, stages, fc, names))
}

/// Builds `Bottleneck`, of ratio 1.
fn bottleneck(
    scope: &Scope,
    config: &Config,
    [inputs, outputs]: [usize; 2],
    stride: usize,
    act: Activation,
) -> Result<ResidualBlock, ForwardError> {
    let names = [["conv1.conv", "conv1.bn"], ["conv2.conv", "conv2.bn"], ["conv3.conv", "conv3.bn"]];
    let groups = outputs / config.group_size.min(outputs).max(1);
    let sizes = [inputs, outputs, outputs];
    let layers = ConvNorm::bottleneck(scope, names, sizes, (groups, [1, stride]), (EPS, act))?;
    let names = ["downsample.conv", "downsample.bn"];
    let shortcut = ConvNorm::shortcut(scope, names, [inputs, outputs], stride, EPS)?;
    let se = || {
        let sizes = [outputs, (inputs as f64 * 0.25).round_ties_even() as usize];
        SqueezeExcite::named(&scope.pp("se"), ["fc1", "fc2"], sizes, [act, Activation::Sigmoid])
    };
    Ok(ResidualBlock::new(layers, shortcut, act).excited(config.se.then(se).transpose()?))
}
