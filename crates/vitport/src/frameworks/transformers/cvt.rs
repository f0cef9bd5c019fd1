//! transformers' `CvtForImageClassification` (models/cvt/modeling_cvt.py, 4.57.6 and 5.23.0). Two keys do not do what they
//! say, and this file follows the code: `layer_norm_eps` is ignored in favour of torch's 1e-5, and `hidden_act` in favour of
//! exact GELU.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Definition, build, of_stage};
use super::{ExactCode, Labels, TargetDefinition, architecture_among, exported_defaults, with_defaults};
use crate::nn::{
    Activation, Attention, BatchNorm2d, Context, Conv2d, FeatureMap, Forward, ForwardError, Grid, GridLayout,
    Heads, LayerNorm, Linear, Matrix, Mlp, Network, Norm, Outputs, Parameter, Pixels, Scope, Window, prepend,
};

/// Is the default of `torch.nn.LayerNorm`, which every normalisation of the class is built with.
const LAYER_NORM_EPS: f64 = 1e-5;
/// Is the default of `torch.nn.BatchNorm2d`.
const BATCH_NORM_EPS: f64 = 1e-5;

/// Declares the definition.
pub struct Cvt;

/// Holds the keys of `config.json` that the forward pass depends on, one entry a stage.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct CvtConfig {
    num_channels: usize,
    patch_sizes: Vec<usize>,
    patch_stride: Vec<usize>,
    patch_padding: Vec<usize>,
    embed_dim: Vec<usize>,
    num_heads: Vec<usize>,
    depth: Vec<usize>,
    mlp_ratio: Vec<f64>,
    qkv_bias: Vec<bool>,
    cls_token: Vec<bool>,
    qkv_projection_method: Vec<String>,
    kernel_qkv: Vec<usize>,
    padding_kv: Vec<usize>,
    stride_kv: Vec<usize>,
    padding_q: Vec<usize>,
    stride_q: Vec<usize>,
    #[serde(flatten)]
    labels: Labels,
}

impl TargetDefinition for Cvt {
    fn model_type(&self) -> &'static str {
        "cvt"
    }

    fn defaults(&self, _: &Map<String, Value>) -> Map<String, Value> {
        exported_defaults(include_str!("../../../data/transformers/cvt.v4.json"))
    }

    fn ignored_keys(&self) -> &'static [&'static str] {
        &["layer_norm_eps", "hidden_act"]
    }

    fn stage_lists(&self) -> &'static [&'static str] {
        &[
            "cls_token",
            "kernel_qkv",
            "mlp_ratio",
            "num_heads",
            "padding_kv",
            "padding_q",
            "patch_padding",
            "patch_sizes",
            "patch_stride",
            "qkv_bias",
            "qkv_projection_method",
            "stride_kv",
            "stride_q",
        ]
    }

    fn exact_code(&self) -> Option<ExactCode> {
        Some(ExactCode {
            file: "modeling_microsoft_cvt.py",
            text: include_str!("../../../mappings/microsoft_cvt_exact_code.py"),
            auto_class: "AutoModelForImageClassification",
            class: "modeling_microsoft_cvt.MicrosoftCvtForImageClassification",
        })
    }
}

impl Definition for Cvt {
    fn id(&self) -> &'static str {
        "transformers/cvt"
    }

    fn build(&self, config: &Map<String, Value>) -> Result<Network, ForwardError> {
        architecture_among(config, &["CvtForImageClassification"])?;
        let config = with_defaults(config, &self.defaults(config));
        build("CvtConfig", &config, CvtForImageClassification::new)
    }
}

struct CvtForImageClassification {
    num_channels: usize,
    stages: Vec<CvtStage>,
    layernorm: LayerNorm,
    classifier: Linear,
}

impl CvtForImageClassification {
    fn new(root: &Scope, config: &CvtConfig) -> Result<Self, ForwardError> {
        let mut channels = config.num_channels;
        let mut stages = Vec::new();
        for index in 0..config.depth.len() {
            let scope = root.pp("cvt.encoder.stages").pp(index);
            let stage = CvtStage::new(&scope, config, index, channels)?;
            channels = of_stage("embed_dim", &config.embed_dim, index)?;
            stages.push(stage);
        }
        if stages.is_empty() {
            return Err(ForwardError::config("depth names no stage"));
        }
        Ok(Self {
            num_channels: config.num_channels,
            stages,
            layernorm: LayerNorm::new(&root.pp("layernorm"), channels, LAYER_NORM_EPS)?,
            classifier: Linear::new(&root.pp("classifier"), channels, config.labels.count(), true)?,
        })
    }
}

impl Forward for CvtForImageClassification {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let [_, height, width] = pixels.shape();
        let mut hidden_state = FeatureMap::default();
        let mut cls_token = Matrix::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let grid = match index {
                0 => Grid::of_pixels(pixels.values(), pixels.shape(), [self.num_channels, height, width])?,
                _ => hidden_state.grid()?,
            };
            (hidden_state, cls_token) = stage.forward(&format!("encoder.stages.{index}"), grid, cx)?;
        }
        let sequence = self.layernorm.forward(&cls_token, cx)?;
        cx.trace("layernorm", &sequence);
        let mut outputs = Outputs::new();
        outputs.push("cls_token_value", sequence.values());
        outputs.push("logits", self.classifier.forward(&sequence, cx)?.into_values());
        Ok(outputs)
    }
}

/// Stands for `CvtStage`.
struct CvtStage {
    projection: Conv2d,
    normalization: LayerNorm,
    cls_token: Option<Parameter>,
    layers: Vec<CvtLayer>,
}

impl CvtStage {
    fn new(scope: &Scope, config: &CvtConfig, index: usize, channels: usize) -> Result<Self, ForwardError> {
        let method = of_stage("qkv_projection_method", &config.qkv_projection_method, index)?;
        if method != "dw_bn" {
            return Err(ForwardError::config(format!(
                "qkv_projection_method {method:?} of stage {index}: transformers' CvT builds only \"dw_bn\""
            )));
        }
        let depth = of_stage("depth", &config.depth, index)?;
        if depth <= index {
            return Err(ForwardError::config(format!(
                "depth {depth} of stage {index}: transformers' CvT needs at least {}",
                index.saturating_add(1)
            )));
        }
        let has_cls_token = of_stage("cls_token", &config.cls_token, index)?;
        if has_cls_token != (index.saturating_add(1) == config.depth.len()) {
            return Err(ForwardError::config(format!(
                "cls_token {has_cls_token} of stage {index}: transformers' CvT runs with one in the last stage and there only"
            )));
        }
        let width = of_stage("embed_dim", &config.embed_dim, index)?;
        let window = Window::square(
            of_stage("patch_sizes", &config.patch_sizes, index)?,
            of_stage("patch_stride", &config.patch_stride, index)?,
            of_stage("patch_padding", &config.patch_padding, index)?,
        );
        let embedding = scope.pp("embedding.convolution_embeddings");
        Ok(Self {
            projection: Conv2d::new(&embedding.pp("projection"), channels, width, window, true)?,
            normalization: LayerNorm::new(&embedding.pp("normalization"), width, LAYER_NORM_EPS)?,
            cls_token: has_cls_token.then(|| scope.parameter("cls_token", &[1, 1, width])).transpose()?,
            layers: (0..depth)
                .map(|layer| CvtLayer::new(&scope.pp("layers").pp(layer), config, index, has_cls_token))
                .collect::<Result<_, _>>()?,
        })
    }

    fn forward(
        &self,
        name: &str,
        grid: Grid<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(FeatureMap, Matrix), ForwardError> {
        let FeatureMap { tokens, height, width } = self.projection.forward(grid, cx)?;
        let mut hidden_state = self.normalization.forward(&tokens, cx)?;
        cx.recycle(tokens);
        cx.trace(&format!("{name}.embedding"), &hidden_state);
        if let Some(cls_token) = &self.cls_token {
            hidden_state = prepend(&cls_token.read(cx.weights())?, hidden_state, cx)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            layer.forward(&mut hidden_state, (height, width), cx)?;
            cx.trace(&format!("{name}.layers.{index}"), &hidden_state);
        }
        if self.cls_token.is_none() {
            return Ok((FeatureMap { tokens: hidden_state, height, width }, Matrix::new()));
        }
        let first = hidden_state.row(0).unwrap_or_default().to_vec();
        let cls_token = Matrix::from_values(1, hidden_state.columns(), first)?;
        Ok((FeatureMap { tokens: hidden_state, height, width }, cls_token))
    }
}

/// Stands for `CvtLayer`.
struct CvtLayer {
    layernorm_before: Norm,
    projections: [ConvProjection; 3],
    attention: Attention,
    layernorm_after: Norm,
    mlp: Mlp,
    with_cls_token: bool,
}

/// Stands for `CvtSelfAttentionProjection` of query, key or value, and its linear layer.
struct ConvProjection {
    convolution: Conv2d,
    normalization: BatchNorm2d,
    linear: Linear,
}

impl CvtLayer {
    fn new(
        scope: &Scope,
        config: &CvtConfig,
        stage: usize,
        with_cls_token: bool,
    ) -> Result<Self, ForwardError> {
        let width = of_stage("embed_dim", &config.embed_dim, stage)?;
        let heads = of_stage("num_heads", &config.num_heads, stage)?;
        if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
            let detail = format!("embed_dim {width} of stage {stage} is not a multiple of num_heads {heads}");
            return Err(ForwardError::config(detail));
        }
        let kernel = of_stage("kernel_qkv", &config.kernel_qkv, stage)?;
        let qkv_bias = of_stage("qkv_bias", &config.qkv_bias, stage)?;
        let (stride_q, padding_q) = (
            of_stage("stride_q", &config.stride_q, stage)?,
            of_stage("padding_q", &config.padding_q, stage)?,
        );
        let (stride_kv, padding_kv) = (
            of_stage("stride_kv", &config.stride_kv, stage)?,
            of_stage("padding_kv", &config.padding_kv, stage)?,
        );
        let attention = scope.pp("attention.attention");
        let projection = |name: &str, stride: usize, padding: usize| {
            let projection =
                attention.pp(format_args!("convolution_projection_{name}.convolution_projection"));
            let window = Window::square(kernel, stride, padding);
            Ok::<_, ForwardError>(ConvProjection {
                convolution: Conv2d::depthwise(&projection.pp("convolution"), width, window, false)?,
                normalization: BatchNorm2d::new(&projection.pp("normalization"), width, BATCH_NORM_EPS)?,
                linear: Linear::new(
                    &attention.pp(format_args!("projection_{name}")),
                    width,
                    width,
                    qkv_bias,
                )?,
            })
        };
        // `int(embed_dim * mlp_ratio)`; the cast saturates.
        let intermediate = (width as f64 * of_stage("mlp_ratio", &config.mlp_ratio, stage)?) as usize;
        // `self.scale = embed_dim**-0.5`: of the whole width.
        let heads = Heads { count: heads, dim: width / heads, scale: 1.0 / (width as f32).sqrt() };
        let dense = Linear::new(&scope.pp("attention.output.dense"), width, width, true)?;
        let norm = |name: &str| LayerNorm::new(&scope.pp(name), width, LAYER_NORM_EPS).map(Norm::Layer);
        Ok(Self {
            layernorm_before: norm("layernorm_before")?,
            projections: [
                projection("query", stride_q, padding_q)?,
                projection("key", stride_kv, padding_kv)?,
                projection("value", stride_kv, padding_kv)?,
            ],
            attention: Attention::new(heads, dense),
            layernorm_after: norm("layernorm_after")?,
            mlp: Mlp::new(
                Linear::new(&scope.pp("intermediate.dense"), width, intermediate, true)?,
                Activation::Gelu,
                Linear::new(&scope.pp("output.dense"), intermediate, width, true)?,
            ),
            with_cls_token,
        })
    }

    fn forward(
        &self,
        hidden_state: &mut Matrix,
        size: (usize, usize),
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        self.layernorm_before.add_branch(hidden_state, None, cx, |x, cx| {
            let [query, key, value] = &self.projections;
            let (query, key) = (self.project(query, x, size, cx)?, self.project(key, x, size, cx)?);
            let value = self.project(value, x, size, cx)?;
            self.attention.forward(query, key, value, cx)
        })?;
        self.layernorm_after.add_branch(hidden_state, None, cx, |x, cx| self.mlp.forward(x, cx))
    }

    /// Applies `CvtSelfAttentionConvProjection` to all tokens but the class token, which stays as it is.
    fn project(
        &self,
        projection: &ConvProjection,
        hidden_state: &Matrix,
        (height, width): (usize, usize),
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let channels = hidden_state.columns();
        let lead = if self.with_cls_token { channels } else { 0 };
        let (cls_token, values) = hidden_state.values().split_at_checked(lead).unwrap_or_default();
        let grid = Grid::new(values, channels, height, width, GridLayout::Interleaved)?;
        let mut convolved =
            projection.convolution.forward_normalized(&projection.normalization, grid, cx)?.tokens;
        if self.with_cls_token {
            convolved = prepend(cls_token, convolved, cx)?;
        }
        let projected = projection.linear.forward(&convolved, cx)?;
        cx.recycle(convolved);
        Ok(projected)
    }
}
