//! Microsoft's `ConvolutionalVisionTransformer` (CvT, Wu et al. 2021, arXiv:2103.15808; lib/models/cls_cvt.py): stages of a
//! convolutional embedding and pre-norm blocks whose queries, keys and values are depth-wise convolutions with batch
//! normalisation.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::source::{Described, WrittenConfig};
use super::super::{Definition, Identity, Inquiry, SourceDefinition, build, of_stage};
use super::{config, gather, structure};
use crate::facts::{Evidence, FactError};
use crate::finding::Head;
use crate::mapping::Sources;
use crate::nn::{
    Activation, Attention, BatchNorm2d, Context, Conv2d, FeatureMap, Forward, ForwardError, Grid, GridLayout,
    Heads, LayerNorm, Linear, Matrix, Mlp, Network, Norm, Outputs, Parameter, Pixels, Scope, Window,
    mean_of_rows, outputs_of_head, prepend,
};

/// Gives the epsilon of every layer normalisation: the `LayerNorm` that the factory hands down has 1e-5.
pub(super) const LAYER_NORM_EPS: f64 = 1e-5;
/// Gives the default of `torch.nn.BatchNorm2d`, which the definition does not change.
const BATCH_NORM_EPS: f64 = 1e-5;

/// Defines the network.
pub struct MicrosoftCvt;

/// Describes the yaml file of a model (`MODEL.SPEC`), one entry a stage, in lower case.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Config {
    /// Gives height and width of the image in pixels.
    pub image_size: [usize; 2],
    /// Counts the channels of the image.
    pub in_chans: usize,
    /// Counts the classes of the head; 0 for a network without one.
    pub num_classes: usize,
    /// Gives the MLP's activation: `quick_gelu` in Microsoft's factory.
    pub act_layer: String,
    /// Gives `PATCH_SIZE`, the kernel of a stage's convolutional embedding.
    pub patch_size: Vec<usize>,
    /// Gives `PATCH_STRIDE`.
    pub patch_stride: Vec<usize>,
    /// Gives `PATCH_PADDING`.
    pub patch_padding: Vec<usize>,
    /// Gives `DIM_EMBED`, the width of a token.
    pub embed_dim: Vec<usize>,
    /// Gives `NUM_HEADS`.
    pub num_heads: Vec<usize>,
    /// Gives `DEPTH`, the number of blocks.
    pub depth: Vec<usize>,
    /// Gives the width of the MLP's hidden layer: `DIM_EMBED` × `MLP_RATIO`, rounded down.
    pub mlp_dim: Vec<usize>,
    /// Gives `QKV_BIAS`.
    pub qkv_bias: Vec<bool>,
    /// Gives `CLS_TOKEN`: whether a class token joins.
    pub cls_token: Vec<bool>,
    /// Gives `KERNEL_QKV` of the depth-wise convolutions.
    pub kernel_qkv: Vec<usize>,
    /// Gives `PADDING_KV`.
    pub padding_kv: Vec<usize>,
    /// Gives `STRIDE_KV`.
    pub stride_kv: Vec<usize>,
    /// Gives `PADDING_Q`.
    pub padding_q: Vec<usize>,
    /// Gives `STRIDE_Q`.
    pub stride_q: Vec<usize>,
}

/// Names the facts that it depends on: the fields of its config, and what only one value of is built.
const FACTS: [&str; 23] = [
    "image_size",
    "in_chans",
    "num_classes",
    "act_layer",
    "norm_eps",
    "stages",
    "patch_size",
    "patch_stride",
    "patch_padding",
    "embed_dim",
    "num_heads",
    "depth",
    "mlp_dim",
    "mlp_ratio",
    "qkv_bias",
    "cls_token",
    "position_embeddings",
    "qkv_projection_method",
    "kernel_qkv",
    "padding_kv",
    "stride_kv",
    "padding_q",
    "stride_q",
];

impl Definition for MicrosoftCvt {
    fn id(&self) -> &'static str {
        "microsoft/cvt"
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        build("Microsoft's CvT", config, ConvolutionalVisionTransformer::new)
    }
}

impl SourceDefinition for MicrosoftCvt {
    fn description(&self) -> &'static str {
        "Microsoft's CvT"
    }

    fn fact_names(&self) -> Vec<&'static str> {
        FACTS.to_vec()
    }

    fn anchors(&self) -> &'static [&'static [&'static str]] {
        &structure::ANCHORS
    }

    fn heads(&self) -> &'static [Head] {
        const { &[Head::new("head", "norm.weight")] }
    }

    fn recognises(&self, tensors: &Sources) -> bool {
        structure::recognises(tensors)
    }

    fn read(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<(), FactError> {
        structure::read(inquiry.tensors, evidence)
    }

    fn write_config(&self, described: &Described<'_>) -> Option<Result<WrittenConfig, FactError>> {
        Some(config::write(described))
    }

    fn gather(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<Identity, FactError> {
        gather::gather(inquiry, evidence)
    }
}

struct ConvolutionalVisionTransformer {
    input: [usize; 3],
    stages: Vec<VisionTransformer>,
    norm: LayerNorm,
    head: Option<Linear>,
}

impl ConvolutionalVisionTransformer {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let mut in_chans = config.in_chans;
        let mut stages = Vec::new();
        for stage in 0..config.depth.len() {
            let spec = Stage::of(config, stage, in_chans)?;
            stages.push(VisionTransformer::new(&scope.pp(format_args!("stage{stage}")), &spec)?);
            in_chans = spec.dim;
        }
        if stages.is_empty() {
            return Err(ForwardError::config("a CvT without stages"));
        }
        let [height, width] = config.image_size;
        Ok(Self {
            input: [config.in_chans, height, width],
            stages,
            norm: LayerNorm::new(&scope.pp("norm"), in_chans, LAYER_NORM_EPS)?,
            head: (config.num_classes > 0)
                .then(|| Linear::new(&scope.pp("head"), in_chans, config.num_classes, true))
                .transpose()?,
        })
    }
}

impl Forward for ConvolutionalVisionTransformer {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let mut map = FeatureMap::default();
        let mut cls_token = None;
        for (index, stage) in self.stages.iter().enumerate() {
            let grid = match index {
                0 => Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?,
                _ => map.grid()?,
            };
            (map, cls_token) = stage.forward(&format!("stage{index}"), grid, cx)?;
        }
        let tokens = self.norm.forward(cls_token.as_ref().unwrap_or(&map.tokens), cx)?;
        cx.trace("norm", &tokens);
        let pooled = Matrix::from_values(1, tokens.columns(), mean_of_rows(&tokens))?;
        outputs_of_head(["features", "logits"], &pooled, self.head.as_ref(), cx)
    }
}

/// Describes the entries of one stage.
struct Stage {
    in_chans: usize,
    embedding: Window,
    dim: usize,
    depth: usize,
    heads: usize,
    mlp_dim: usize,
    activation: Activation,
    qkv_bias: bool,
    cls_token: bool,
    query: Window,
    key_value: Window,
}

impl Stage {
    fn of(config: &Config, stage: usize, in_chans: usize) -> Result<Self, ForwardError> {
        let activation = match config.act_layer.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            other => return Err(ForwardError::config(format!("act_layer {other:?} is not one of a CvT's"))),
        };
        let square = |kernel: &[usize], stride: &[usize], padding: &[usize]| {
            let of = |name, list| of_stage(name, list, stage);
            Ok::<_, ForwardError>(Window::square(
                of("kernel", kernel)?,
                of("stride", stride)?,
                of("padding", padding)?,
            ))
        };
        let (dim, heads) = (
            of_stage("embed_dim", &config.embed_dim, stage)?,
            of_stage("num_heads", &config.num_heads, stage)?,
        );
        if heads == 0 || dim == 0 || !dim.is_multiple_of(heads) {
            let detail = format!("stage {stage}: the width {dim} is not a multiple of {heads} heads");
            return Err(ForwardError::config(detail));
        }
        Ok(Self {
            in_chans,
            embedding: square(&config.patch_size, &config.patch_stride, &config.patch_padding)?,
            dim,
            depth: of_stage("depth", &config.depth, stage)?,
            heads,
            mlp_dim: of_stage("mlp_dim", &config.mlp_dim, stage)?,
            activation,
            qkv_bias: of_stage("qkv_bias", &config.qkv_bias, stage)?,
            cls_token: of_stage("cls_token", &config.cls_token, stage)?,
            query: square(&config.kernel_qkv, &config.stride_q, &config.padding_q)?,
            key_value: square(&config.kernel_qkv, &config.stride_kv, &config.padding_kv)?,
        })
    }
}

/// Describes one stage: `VisionTransformer` of cls_cvt.py.
struct VisionTransformer {
    patch_embed: Conv2d,
    patch_norm: LayerNorm,
    cls_token: Option<Parameter>,
    blocks: Vec<Block>,
}

impl VisionTransformer {
    fn new(scope: &Scope, stage: &Stage) -> Result<Self, ForwardError> {
        let (embed, dim) = (scope.pp("patch_embed"), stage.dim);
        Ok(Self {
            patch_embed: Conv2d::new(&embed.pp("proj"), stage.in_chans, dim, stage.embedding, true)?,
            patch_norm: LayerNorm::new(&embed.pp("norm"), dim, LAYER_NORM_EPS)?,
            cls_token: stage.cls_token.then(|| scope.parameter("cls_token", &[1, 1, dim])).transpose()?,
            blocks: (0..stage.depth)
                .map(|block| Block::new(&scope.pp("blocks").pp(block), stage))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Returns the map for the next stage, and the class token where the stage has one.
    fn forward(
        &self,
        name: &str,
        input: Grid<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(FeatureMap, Option<Matrix>), ForwardError> {
        let FeatureMap { tokens: projected, height, width } = self.patch_embed.forward(input, cx)?;
        let mut tokens = self.patch_norm.forward(&projected, cx)?;
        cx.recycle(projected);
        cx.trace(&format!("{name}.patch_embed"), &tokens);
        if let Some(cls_token) = &self.cls_token {
            tokens = prepend(&cls_token.read(cx.weights())?, tokens, cx)?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut tokens, (height, width), cx)?;
            cx.trace(&format!("{name}.blocks.{index}"), &tokens);
        }
        if self.cls_token.is_none() {
            return Ok((FeatureMap { tokens, height, width }, None));
        }
        let (columns, rows) = (tokens.columns(), tokens.rows().saturating_sub(1));
        let mut first = tokens.into_values();
        let rest = first.split_off(columns.min(first.len()));
        let map = FeatureMap { tokens: Matrix::from_values(rows, columns, rest)?, height, width };
        Ok((map, Some(Matrix::from_values(1, columns, first)?)))
    }
}

/// Computes x + attn(norm1(x)), then x + mlp(norm2(x)).
struct Block {
    norm1: Norm,
    projections: [ConvProjection; 3],
    attn: Attention,
    norm2: Norm,
    mlp: Mlp,
    has_cls_token: bool,
}

/// Describes the depth-wise convolution before queries, keys or values, and their linear layer.
struct ConvProjection {
    conv: Conv2d,
    bn: BatchNorm2d,
    proj: Linear,
}

impl Block {
    fn new(scope: &Scope, stage: &Stage) -> Result<Self, ForwardError> {
        let (attn, mlp, dim) = (scope.pp("attn"), scope.pp("mlp"), stage.dim);
        let projection = |part: &str, window: Window| {
            let conv_proj = attn.pp(format_args!("conv_proj_{part}"));
            Ok::<_, ForwardError>(ConvProjection {
                conv: Conv2d::depthwise(&conv_proj.pp("conv"), dim, window, false)?,
                bn: BatchNorm2d::new(&conv_proj.pp("bn"), dim, BATCH_NORM_EPS)?,
                proj: Linear::new(&attn.pp(format_args!("proj_{part}")), dim, dim, stage.qkv_bias)?,
            })
        };
        let projections = [
            projection("q", stage.query)?,
            projection("k", stage.key_value)?,
            projection("v", stage.key_value)?,
        ];
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), dim, LAYER_NORM_EPS).map(Norm::Layer);
        // The scale is that of the whole width, not of a head's: `self.scale = dim_out ** -0.5`.
        let heads =
            Heads { count: stage.heads, dim: dim / stage.heads, scale: (dim as f64).powf(-0.5) as f32 };
        Ok(Self {
            norm1: norm("norm1")?,
            projections,
            attn: Attention::new(heads, Linear::new(&attn.pp("proj"), dim, dim, true)?),
            norm2: norm("norm2")?,
            mlp: Mlp::new(
                Linear::new(&mlp.pp("fc1"), dim, stage.mlp_dim, true)?,
                stage.activation,
                Linear::new(&mlp.pp("fc2"), stage.mlp_dim, dim, true)?,
            ),
            has_cls_token: stage.cls_token,
        })
    }

    fn forward(
        &self,
        tokens: &mut Matrix,
        size: (usize, usize),
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        self.norm1.add_branch(tokens, None, cx, |x, cx| {
            let [q, k, v] = &self.projections;
            let (q, k) = (self.project(q, x, size, cx)?, self.project(k, x, size, cx)?);
            let v = self.project(v, x, size, cx)?;
            self.attn.forward(q, k, v, cx)
        })?;
        self.norm2.add_branch(tokens, None, cx, |x, cx| self.mlp.forward(x, cx))
    }

    /// Computes `forward_conv` for one of q, k and v: the class token passes round the convolution.
    fn project(
        &self,
        projection: &ConvProjection,
        tokens: &Matrix,
        (height, width): (usize, usize),
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let dim = tokens.columns();
        let skipped = if self.has_cls_token { dim } else { 0 };
        let (cls_token, positions) = tokens.values().split_at_checked(skipped).unwrap_or_default();
        let grid = Grid::new(positions, dim, height, width, GridLayout::Interleaved)?;
        let convolved = projection.conv.forward_normalized(&projection.bn, grid, cx)?.tokens;
        let convolved = if self.has_cls_token { prepend(cls_token, convolved, cx)? } else { convolved };
        let projected = projection.proj.forward(&convolved, cx)?;
        cx.recycle(convolved);
        Ok(projected)
    }
}
