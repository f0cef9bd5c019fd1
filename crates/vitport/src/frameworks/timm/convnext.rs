//! timm's `ConvNeXt` (timm/models/convnext.py, 1.0.31; Liu et al. 2022, arXiv:2201.03545): patches as a stem, four stages of
//! depth-wise convolutions with an MLP after them, and a head of average pooling, a norm and a linear layer.

mod modules;
mod torchvision_modules;

use serde::Deserialize;

use super::super::{build, of_stage};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::{activation, classifier};
use super::structure::{Sign, Structure};
use crate::finding::Head;
use crate::nn::{
    Conv2d, DepthwiseBlock, DepthwiseNames, DepthwiseNetwork, DepthwiseStage, ForwardError,
    GlobalResponseNorm, LayerNorm, LayerScale, Linear, Mlp, NormConv, Scope, Window,
};

/// Is the default of `GlobalResponseNorm`, which timm leaves as it is.
const GRN_EPS: f64 = 1e-6;
const NO_BIAS: Literal = Literal::Text("a norm without bias");
const OVERLAP: Literal = Literal::Text("overlap");

/// Declares the definition.
pub const DEFINITION: TimmDefinition = TimmDefinition {
    id: "timm/convnext",
    description: "timm's ConvNeXt",
    modules: &["convnext"],
    family: "ConvNeXt",
    structure: Structure {
        recognised_by: &[&["stem.0.weight"], &["stages.0.blocks.0.conv_dw.weight"]],
        // EdgeNeXt has the same names, and attention across channels next to them.
        unlike: &[".xca."],
        signs: &[
            ("use_grn", Sign::Needs("stages.0.blocks.0.mlp.grn.weight")),
            ("head_norm_first", Sign::Part(&["norm_pre."], Literal::YES)),
            ("head_hidden", Sign::Part(&["head.pre_logits."], Literal::YES)),
            ("norm_layer", Sign::Lack("stages.0.blocks.0.norm.bias", NO_BIAS, "the absence of")),
            ("stem_type", Sign::Other(&["stem.2.", "stem.3."], OVERLAP)),
            ("in_chans", Sign::Axis("stem.0.weight", 1, 4)),
            ("patch_size", Sign::Edges("stem.0.weight")),
            ("dims", Sign::Axis("stages.{s}.blocks.{b}.conv_dw.weight", 0, 4)),
            ("depths", Sign::Count("stages.{s}.blocks")),
            ("kernel_sizes", Sign::Axis("stages.{s}.blocks.{b}.conv_dw.weight", 2, 4)),
            ("downsample", Sign::Has("stages.{s}.downsample.1.weight")),
            ("layer_scale", Sign::Has("stages.0.blocks.0.gamma")),
            ("conv_bias", Sign::Has("stages.0.blocks.0.conv_dw.bias")),
            ("head_norm", Sign::Has("head.norm.weight")),
            ("conv_mlp", Sign::IsKernel("stages.0.blocks.0.mlp.fc1.weight")),
            ("num_classes", Sign::Classes("head.fc.weight")),
        ],
        check: None,
    },
    heads: &[
        Head::new("head.fc", "head.norm.weight"),
        Head::new("head.fc", "norm_pre.weight"),
        // torchvision's.
        Head::new("classifier.2", "classifier.0.weight"),
        // Meta's.
        Head::new("head", "norm.weight"),
    ],
    saved_modules: &[modules::MODULES, torchvision_modules::MODULES],
    fields: &[
        Field::plain("dims", Kind::Numbers).shown("channels by stage"),
        Field::plain("depths", Kind::Numbers).shown("blocks by stage"),
        Field::plain("kernel_sizes", Kind::Each(4)).shown("pixels in its kernels by stage"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::of_registry("layer_scale", "ls_init_value", Kind::IsSome)
            .config_key("ls_init_value", Kind::IsNumber)
            .shown("layer scale"),
        Field::plain("conv_mlp", Kind::Flag).shown("1×1 convolutions in its MLPs"),
        Field::plain("conv_bias", Kind::Flag).shown("biases of convolutions"),
        Field::plain("stem_type", Kind::Text).shown("as its stem").otherwise(Literal::Text("patch")),
        Field::plain("use_grn", Kind::Flag).part("global response norms"),
        Field::plain("head_norm_first", Kind::Flag).part("a norm before pooling"),
        Field::of_registry("head_hidden", "head_hidden_size", Kind::IsSome)
            .config_key("head_hidden_size", Kind::IsNumber)
            .part("a hidden layer in its head"),
        Field::plain("norm_layer", Kind::Text).otherwise(Literal::Text("layernorm")),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real),
    ],
    usual: &[
        ("output_stride", Literal::Number(32)),
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    by_definition: "timm's ConvNeXt where nothing else is said",
    build: |config| build("timm's ConvNeXt", config, network),
    ..TimmDefinition::PLAIN
};

/// Holds what a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives the height and width of a patch in pixels.
    pub patch_size: [usize; 2],
    /// Gives the channels of the image.
    pub in_chans: usize,
    /// Gives the classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Gives the number of blocks of each stage.
    pub depths: Vec<usize>,
    /// Gives the channels of each stage.
    pub dims: Vec<usize>,
    /// Gives the height and width of the depth-wise kernels of each stage.
    pub kernel_sizes: Vec<usize>,
    /// Says whether each branch has a layer scale: `ls_init_value` is not None.
    pub layer_scale: bool,
    /// Says whether the MLPs' linear layers are saved as 1×1 convolutions.
    pub conv_mlp: bool,
    /// Says whether the last norm has a weight and a bias in the file.
    pub head_norm: bool,
    /// Says whether the MLPs have global response norms.
    pub use_grn: bool,
    /// Gives timm's name of the MLPs' activation.
    pub act_layer: String,
    /// Gives the epsilon of every layer normalisation.
    pub norm_eps: f64,
    /// Gives that of the last, where a folder of transformers has another one there, which timm cannot.
    #[serde(default)]
    pub last_norm_eps: Option<f64>,
}

/// Builds `ConvNeXt`.
fn network(scope: &Scope, config: &Config) -> Result<DepthwiseNetwork, ForwardError> {
    let &[first, .., last] = config.dims.as_slice() else {
        return Err(ForwardError::config("dims has fewer than two stages"));
    };
    let (window, eps) = (Window::patches(config.patch_size.into()), config.norm_eps);
    let stem = Conv2d::new(&scope.pp("stem.0"), config.in_chans, first, window, true)?;
    let stem = (stem, LayerNorm::new(&scope.pp("stem.1"), first, eps)?);
    let stages = scope.list("stages", config.dims.len(), |scope, index| stage(scope, config, index))?;
    let last_eps = config.last_norm_eps.unwrap_or(eps);
    let norm = match config.head_norm {
        true => LayerNorm::new(&scope.pp("head.norm"), last, last_eps)?,
        // As files of masked autoencoders lack it, timm runs one that was never trained.
        false => LayerNorm::plain(last, last_eps),
    };
    let fc = classifier(scope, "head.fc", last, config.num_classes)?;
    let names = DepthwiseNames {
        stage: |stage| [format!("stages.{stage}.downsample"), format!("stages.{stage}.blocks")],
        norm: "head.norm",
        outputs: ["pre_logits", "logits"],
    };
    Ok(DepthwiseNetwork::new(stem, stages, norm, fc, names))
}

/// Builds `ConvNeXtStage`.
fn stage(scope: &Scope, config: &Config, index: usize) -> Result<DepthwiseStage, ForwardError> {
    let (dim, depth) = (of_stage("dims", &config.dims, index)?, of_stage("depths", &config.depths, index)?);
    let kernel = of_stage("kernel_sizes", &config.kernel_sizes, index)?;
    let downsample = |above: usize| {
        let above = of_stage("dims", &config.dims, above)?;
        let norm = LayerNorm::new(&scope.pp("downsample.0"), above, config.norm_eps)?;
        let conv = Conv2d::new(&scope.pp("downsample.1"), above, dim, Window::patches((2, 2)), true)?;
        Ok::<_, ForwardError>(NormConv::new(norm, conv))
    };
    let blocks = scope.list("blocks", depth, |scope, _| block(scope, config, dim, kernel))?;
    Ok(DepthwiseStage::new(index.checked_sub(1).map(downsample).transpose()?, blocks))
}

/// Builds `ConvNeXtBlock`.
fn block(scope: &Scope, config: &Config, dim: usize, kernel: usize) -> Result<DepthwiseBlock, ForwardError> {
    let linear = if config.conv_mlp { Linear::pointwise } else { Linear::new };
    let (sizes, activation) = ([dim, dim.saturating_mul(4), dim], activation(&config.act_layer)?);
    let mlp = Mlp::with_biases(linear, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?;
    let [_, hidden, _] = sizes;
    let grn = || GlobalResponseNorm::new(&scope.pp("mlp.grn"), &[hidden], GRN_EPS);
    Ok(DepthwiseBlock::new(
        Conv2d::depthwise(&scope.pp("conv_dw"), dim, Window::centered(kernel, 1), true)?,
        LayerNorm::new(&scope.pp("norm"), dim, config.norm_eps)?,
        mlp.normalized(config.use_grn.then(grn).transpose()?),
        config.layer_scale.then(|| LayerScale::new(scope, "gamma", dim)).transpose()?,
    ))
}
