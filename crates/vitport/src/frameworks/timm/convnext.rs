//! timm's `ConvNeXt` (timm/models/convnext.py, 1.0.31; Liu et al. 2022, arXiv:2201.03545): patches as a stem, four stages of
//! depth-wise convolutions with an MLP after them, and a head of average pooling, a norm and a linear layer.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::source::axes;
use super::super::{Definition, Identity, Inquiry, SourceDefinition, parse_config};
use super::TimmDefinition;
use super::field::{Field, Kind, Literal};
use super::layers::activation;
use crate::facts::{Evidence, FactError};
use crate::mapping::Sources;
use crate::nn::{
    Context, Conv2d, DepthwiseBlock, DepthwiseStage, FeatureMap, ForwardError, Grid, LayerNorm, LayerScale,
    Linear, Matrix, Mlp, Model, Network, NormConv, Outputs, Pixels, Scope, Window, mean_of_rows,
};

/// The definition.
pub struct ConvNeXt;

/// What is read generically of it.
pub(super) const DECLARED: TimmDefinition = TimmDefinition {
    modules: &["convnext"],
    family: "ConvNeXt",
    fields: &[
        Field::plain("dims", Kind::Numbers).shown("channels by stage"),
        Field::plain("depths", Kind::Numbers).shown("blocks by stage"),
        Field::plain("kernel_sizes", Kind::Each(4)).shown("pixels in its kernels by stage"),
        Field::plain("patch_size", Kind::Pair).shown("pixels in a patch"),
        Field::named("layer_scale", "ls_init_value", Kind::IsSome).shown("layer scale"),
        Field::plain("conv_mlp", Kind::Flag).shown("1×1 convolutions in its MLPs"),
        Field::plain("conv_bias", Kind::Flag).shown("biases of convolutions"),
        Field::plain("stem_type", Kind::Text).shown("as its stem").otherwise(Literal::Text("patch")),
        Field::plain("use_grn", Kind::Flag).part("global response norms"),
        Field::plain("head_norm_first", Kind::Flag).part("a norm before pooling"),
        Field::named("head_hidden", "head_hidden_size", Kind::IsSome).part("a hidden layer in its head"),
        Field::plain("norm_layer", Kind::Text).otherwise(Literal::Text("layernorm")),
        Field::plain("output_stride", Kind::Number).otherwise(Literal::Number(32)),
        Field::plain("act_layer", Kind::Activation),
        Field::plain("norm_eps", Kind::Real),
        Field::plain("global_pool", Kind::Text),
    ],
    shown_by_weights: &["in_chans", "head_init_scale"],
    usual: &[
        ("norm_eps", Literal::Real(1e-6)),
        ("act_layer", Literal::Text("gelu")),
        ("global_pool", Literal::Text("avg")),
    ],
    left_open: &[],
    by_definition: "timm's ConvNeXt where nothing else is said",
};

/// What a network is made of, under the names of timm's arguments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Height and width of the image in pixels.
    pub img_size: [usize; 2],
    /// Height and width of a patch in pixels.
    pub patch_size: [usize; 2],
    /// Channels of the image.
    pub in_chans: usize,
    /// Classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Number of blocks of each stage.
    pub depths: Vec<usize>,
    /// Channels of each stage.
    pub dims: Vec<usize>,
    /// Height and width of the depth-wise kernels of each stage.
    pub kernel_sizes: Vec<usize>,
    /// Whether each branch has a layer scale: `ls_init_value` is not None.
    pub layer_scale: bool,
    /// Whether the MLPs' linear layers are saved as 1×1 convolutions.
    pub conv_mlp: bool,
    /// timm's name of the MLPs' activation.
    pub act_layer: String,
    /// Epsilon of every layer normalisation.
    pub norm_eps: f64,
}

impl Definition for ConvNeXt {
    fn id(&self) -> &'static str {
        "timm/convnext"
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        let config: Config = parse_config("timm's ConvNeXt", config)?;
        Network::build(|scope| Whole::new(scope, &config))
    }
}

impl SourceDefinition for ConvNeXt {
    fn description(&self) -> &'static str {
        "timm's ConvNeXt"
    }

    fn recognises(&self, tensors: &Sources) -> bool {
        // EdgeNeXt has the same names, and attention across channels (`xca`) next to them.
        tensors.has("stem.0.weight")
            && tensors.has("stages.0.blocks.0.conv_dw.weight")
            && !tensors.iter().any(|tensor| tensor.name.contains(".xca."))
    }

    fn read(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<(), FactError> {
        let tensors = inquiry.tensors;
        let signs = [
            ("use_grn", "stages.0.blocks.0.mlp.grn."),
            ("head_norm_first", "norm_pre."),
            ("head_hidden", "head.pre_logits."),
        ];
        for (fact, sign) in signs {
            if let Some(name) = tensors.starting_with(&[sign]) {
                evidence.weights(fact, true, name);
            }
        }
        let norm_bias = "stages.0.blocks.0.norm.bias";
        if !tensors.has(norm_bias) {
            evidence.weights("norm_layer", "a norm without bias", format!("the absence of {norm_bias}"));
        }
        if let Some(name) = tensors.starting_with(&["stem.2.", "stem.3."]) {
            evidence.weights("stem_type", "overlap", name);
            return Ok(());
        }
        sizes(tensors, evidence)
    }

    fn gather(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<Identity, FactError> {
        DECLARED.gather(inquiry, evidence)
    }
}

/// Reads the sizes off the tensors' shapes.
fn sizes(tensors: &Sources, evidence: &mut Evidence) -> Result<(), FactError> {
    let [_, channels, high, wide] = axes::<4>(tensors, "stem.0.weight", DECLARED.family)?;
    evidence.weights("in_chans", channels, "stem.0.weight");
    evidence.weights("patch_size", vec![high, wide], "stem.0.weight");
    let (mut dims, mut depths, mut kernels, mut downsamples) = (vec![], vec![], vec![], vec![]);
    // timm's have four stages; a fifth shows that it is none of them.
    for stage in 0..tensors.count_indices("stages.").min(5) {
        let kernel = format!("stages.{stage}.blocks.0.conv_dw.weight");
        let [dim, _, high, _] = axes::<4>(tensors, &kernel, DECLARED.family)?;
        dims.push(dim);
        depths.push(tensors.count_indices(&format!("stages.{stage}.blocks.")));
        kernels.push(high);
        downsamples.push(tensors.has(&format!("stages.{stage}.downsample.1.weight")));
    }
    evidence.weights("dims", dims, "conv_dw.weight");
    evidence.weights("depths", depths, "blocks");
    evidence.weights("kernel_sizes", kernels, "conv_dw.weight");
    evidence.weights("downsample", downsamples, "downsample.1.weight");
    let block = |rest: &str| format!("stages.0.blocks.0.{rest}");
    for (fact, tensor) in [("layer_scale", "gamma"), ("conv_bias", "conv_dw.bias")] {
        evidence.weights(fact, tensors.has(&block(tensor)), block(tensor));
    }
    let fc1 = block("mlp.fc1.weight");
    evidence.weights("conv_mlp", tensors.shape(&fc1).is_some_and(|shape| shape.len() == 4), fc1);
    let head = tensors.shape("head.fc.weight").and_then(|shape| shape.first());
    evidence.weights("num_classes", head.copied().unwrap_or(0), "head.fc.weight");
    Ok(())
}

struct Whole {
    input: [usize; 3],
    stem: Conv2d,
    stem_norm: LayerNorm,
    stages: Vec<DepthwiseStage>,
    norm: LayerNorm,
    fc: Option<Linear>,
}

impl Whole {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let ([height, width], [patch_height, patch_width]) = (config.img_size, config.patch_size);
        let window = Window::patches((patch_height, patch_width));
        let norm = |scope: Scope, dim| LayerNorm::new(&scope, dim, config.norm_eps);
        let first = config.dims.first().copied().unwrap_or(0);
        let (mut above, mut stages) = (first, Vec::new());
        let sizes = config.dims.iter().zip(&config.depths).zip(&config.kernel_sizes);
        for (index, ((&dim, &depth), &kernel)) in sizes.enumerate() {
            let scope = scope.pp("stages").pp(index);
            let downsample = || {
                let conv = Conv2d::new(&scope.pp("downsample.1"), above, dim, Window::square(2, 2, 0), true)?;
                Ok::<_, ForwardError>(NormConv::new(norm(scope.pp("downsample.0"), above)?, conv))
            };
            let downsample = (index > 0).then(downsample).transpose()?;
            let blocks = (0..depth).map(|number| block(&scope.pp("blocks").pp(number), config, dim, kernel));
            stages.push(DepthwiseStage::new(downsample, blocks.collect::<Result<_, _>>()?));
            above = dim;
        }
        let fc = || Linear::new(&scope.pp("head.fc"), above, config.num_classes, true);
        Ok(Self {
            input: [config.in_chans, height, width],
            stem: Conv2d::new(&scope.pp("stem.0"), config.in_chans, first, window, true)?,
            stem_norm: norm(scope.pp("stem.1"), first)?,
            stages,
            norm: norm(scope.pp("head.norm"), above)?,
            fc: (config.num_classes > 0).then(fc).transpose()?,
        })
    }
}

/// `ConvNeXtBlock`.
fn block(scope: &Scope, config: &Config, dim: usize, kernel: usize) -> Result<DepthwiseBlock, ForwardError> {
    let linear = if config.conv_mlp { Linear::pointwise } else { Linear::new };
    let hidden = dim.saturating_mul(4);
    let (fc1, fc2) =
        (linear(&scope.pp("mlp.fc1"), dim, hidden, true)?, linear(&scope.pp("mlp.fc2"), hidden, dim, true)?);
    Ok(DepthwiseBlock::new(
        Conv2d::depthwise(&scope.pp("conv_dw"), dim, Window::square(kernel, 1, kernel / 2), true)?,
        LayerNorm::new(&scope.pp("norm"), dim, config.norm_eps)?,
        Mlp::new(fc1, activation(&config.act_layer)?, fc2),
        config.layer_scale.then(|| LayerScale::new(scope, "gamma", dim)).transpose()?,
    ))
}

impl Model for Whole {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        let patches = self.stem.forward(grid, cx)?;
        let mut map = FeatureMap { tokens: self.stem_norm.forward(&patches.tokens, cx)?, ..patches };
        for (index, stage) in self.stages.iter().enumerate() {
            let (input, blocks) = (format!("stages.{index}.downsample"), format!("stages.{index}.blocks"));
            map = stage.forward(map, &input, &blocks, cx)?;
        }
        let pooled = Matrix::from_values(1, map.tokens.columns(), mean_of_rows(&map.tokens))?;
        let pooled = self.norm.forward(&pooled, cx)?;
        cx.trace("head.norm", &pooled);
        let mut outputs = Outputs::new();
        outputs.push("pre_logits", pooled.values());
        if let Some(fc) = &self.fc {
            let logits = fc.forward(&pooled, cx)?;
            outputs.push_sum("logits", logits.into_values(), fc.size_of_terms(pooled.values(), cx)?);
        }
        Ok(outputs)
    }
}
