//! transformers' `CvtForImageClassification` (models/cvt/modeling_cvt.py, 4.57.6 and 5.23.0) run from
//! the folder's own `config.json` and tensor names. Two fields do not do what they say, and this file
//! follows the code: `layer_norm_eps` is ignored in favour of torch's 1e-5, and `hidden_act` in favour
//! of exact GELU.

use serde::Deserialize;

use crate::image::Pixels;
use crate::nn::{
    Activation, BATCH_NORM_EPS, Convolution, DepthwiseConvolution, ForwardError, Grid, Heads, LayerNorm,
    Layout, Linear, Matrix, Observer, Output, Projection, Stage, Weights, Window, attention, on_the_pool,
};

/// Default of `torch.nn.LayerNorm`, which every normalisation of the class is built with.
const LAYER_NORM_EPS: f64 = 1e-5;

/// The fields of `config.json` that the forward pass depends on, one entry per stage, with
/// `CvtConfig`'s defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct CvtConfig {
    /// Class names the folder is meant for; the first decides what is run.
    pub architectures: Option<Vec<String>>,
    /// Channels of the picture.
    pub num_channels: usize,
    /// Kernel of the convolutional embedding.
    pub patch_sizes: Vec<usize>,
    /// Stride of the convolutional embedding.
    pub patch_stride: Vec<usize>,
    /// Padding of the convolutional embedding.
    pub patch_padding: Vec<usize>,
    /// Width of a token.
    pub embed_dim: Vec<usize>,
    /// Number of attention heads.
    pub num_heads: Vec<usize>,
    /// Number of layers.
    pub depth: Vec<usize>,
    /// Width of the perceptron's hidden layer over the width of a token.
    pub mlp_ratio: Vec<f64>,
    /// Whether the projections of query, key and value have a bias.
    pub qkv_bias: Vec<bool>,
    /// Whether a class token joins.
    pub cls_token: Vec<bool>,
    /// How query, key and value come about; only `dw_bn` can be built.
    pub qkv_projection_method: Vec<String>,
    /// Kernel of the depth-wise convolutions.
    pub kernel_qkv: Vec<usize>,
    /// Padding of the key's and value's.
    pub padding_kv: Vec<usize>,
    /// Stride of the key's and value's.
    pub stride_kv: Vec<usize>,
    /// Padding of the query's.
    pub padding_q: Vec<usize>,
    /// Stride of the query's.
    pub stride_q: Vec<usize>,
    /// Class names by number; their count is the number of classes.
    pub id2label: Option<serde_json::Map<String, serde_json::Value>>,
    /// Number of classes where there is no `id2label`.
    pub num_labels: Option<usize>,
}

impl Default for CvtConfig {
    fn default() -> Self {
        Self {
            architectures: None,
            num_channels: 3,
            patch_sizes: vec![7, 3, 3],
            patch_stride: vec![4, 2, 2],
            patch_padding: vec![2, 1, 1],
            embed_dim: vec![64, 192, 384],
            num_heads: vec![1, 3, 6],
            depth: vec![1, 2, 10],
            mlp_ratio: vec![4.0; 3],
            qkv_bias: vec![true; 3],
            cls_token: vec![false, false, true],
            qkv_projection_method: vec!["dw_bn".to_owned(); 3],
            kernel_qkv: vec![3; 3],
            padding_kv: vec![1; 3],
            stride_kv: vec![2; 3],
            padding_q: vec![1; 3],
            stride_q: vec![1; 3],
            id2label: None,
            num_labels: None,
        }
    }
}

/// A network as its folder describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cvt {
    channels: usize,
    classes: usize,
    stages: Vec<StageConfig>,
}

/// The entries of one stage.
#[derive(Debug, Clone, PartialEq)]
struct StageConfig {
    embedding: Window,
    width: usize,
    heads: usize,
    layers: usize,
    intermediate: usize,
    qkv_bias: bool,
    cls_token: bool,
    query: Window,
    key_value: Window,
}

impl Cvt {
    /// The network of a `config.json`.
    ///
    /// # Errors
    /// [`ForwardError::Config`] when transformers could not build or run it.
    pub fn new(config: &CvtConfig) -> Result<Self, ForwardError> {
        match config.architectures.iter().flatten().next().map(String::as_str) {
            Some("CvtForImageClassification") => {}
            other => {
                return Err(ForwardError::config(format!(
                    "architectures names {:?}, and only CvtForImageClassification can be run",
                    other.unwrap_or_default()
                )));
            }
        }
        if config.depth.is_empty() {
            return Err(ForwardError::config("depth names no stage"));
        }
        let stages = (0..config.depth.len())
            .map(|index| StageConfig::new(config, index))
            .collect::<Result<Vec<_>, _>>()?;
        let classes = match &config.id2label {
            Some(labels) => labels.len(),
            None => config.num_labels.unwrap_or(2),
        };
        Ok(Self { channels: config.num_channels, classes, stages })
    }

    /// Runs the network on `pixels` of any size and shows `observer`, for each stage s, `stage s
    /// embedding` (positions × width) and `stage s layer b` (tokens × width, class token first where
    /// the stage has one), and then `norm`: the class token.
    ///
    /// # Errors
    /// [`ForwardError`] when a tensor is missing or misshapen, or the pixels are too few.
    pub fn forward(
        &self,
        pixels: &Pixels,
        weights: &dyn Weights,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        on_the_pool(|| self.run(pixels, weights, observer))
    }

    fn run(
        &self,
        pixels: &Pixels,
        weights: &dyn Weights,
        observer: &mut dyn Observer,
    ) -> Result<Output, ForwardError> {
        let [_, height, width] = pixels.shape();
        let mut positions = Positions { height, width };
        let mut channels = self.channels;
        let mut class_token = Matrix::new();
        let mut hidden_state = Matrix::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let grid = if index == 0 {
                Grid::of_pixels(pixels.values(), pixels.shape(), [self.channels, height, width])?
            } else {
                positions.grid(&hidden_state, channels)?
            };
            let name = format!("cvt.encoder.stages.{index}");
            (hidden_state, positions) = stage.embed(&name, grid, weights)?;
            channels = stage.width;
            observer.observe(Stage::StageEmbedding(index), &hidden_state);
            if stage.cls_token {
                hidden_state = with_class_token(&format!("{name}.cls_token"), weights, &hidden_state)?;
            }
            let mut scratch = Scratch::default();
            for layer in 0..stage.layers {
                let layer_name = format!("{name}.layers.{layer}");
                stage.layer(&layer_name, weights, positions, &mut hidden_state, &mut scratch)?;
                observer.observe(Stage::StageLayer { stage: index, layer }, &hidden_state);
            }
            if stage.cls_token {
                let first = hidden_state.row(0).unwrap_or_default();
                class_token = Matrix::from_values(1, stage.width, first.to_vec())?;
            }
        }

        let mut sequence = Matrix::new();
        LayerNorm::load(weights, "layernorm", channels, LAYER_NORM_EPS)?
            .apply(&class_token, &mut sequence)?;
        observer.observe(Stage::Norm, &sequence);
        let mut logits = Matrix::new();
        Linear::load(weights, "classifier", channels, self.classes, true)?.apply(
            &sequence,
            Activation::Identity,
            &mut logits,
        )?;
        let (pooled, logits) = (sequence.into_values(), Some(logits.into_values()));
        Ok(Output { pooled, logits, ..Output::default() })
    }
}

impl StageConfig {
    fn new(config: &CvtConfig, index: usize) -> Result<Self, ForwardError> {
        let method = of_stage("qkv_projection_method", &config.qkv_projection_method, index)?;
        if method != "dw_bn" {
            return Err(ForwardError::config(format!(
                "qkv_projection_method {method:?} of stage {index}: transformers' CvT builds only \"dw_bn\""
            )));
        }
        let layers = of_stage("depth", &config.depth, index)?;
        if layers <= index {
            return Err(ForwardError::config(format!(
                "depth {layers} of stage {index}: transformers' CvT needs at least {}",
                index.saturating_add(1)
            )));
        }
        let cls_token = of_stage("cls_token", &config.cls_token, index)?;
        if cls_token != (index.saturating_add(1) == config.depth.len()) {
            return Err(ForwardError::config(format!(
                "cls_token {cls_token} of stage {index}: transformers' CvT runs with one in the last stage and there only"
            )));
        }
        let width = of_stage("embed_dim", &config.embed_dim, index)?;
        let heads = of_stage("num_heads", &config.num_heads, index)?;
        if width == 0 || heads == 0 || !width.is_multiple_of(heads) {
            return Err(ForwardError::config(format!(
                "embed_dim {width} of stage {index} is not a multiple of num_heads {heads}"
            )));
        }
        let kernel = of_stage("kernel_qkv", &config.kernel_qkv, index)?;
        Ok(Self {
            embedding: Window::square(
                of_stage("patch_sizes", &config.patch_sizes, index)?,
                of_stage("patch_stride", &config.patch_stride, index)?,
                of_stage("patch_padding", &config.patch_padding, index)?,
            ),
            width,
            heads,
            layers,
            // `int(embed_dim * mlp_ratio)`; the cast saturates.
            intermediate: (width as f64 * of_stage("mlp_ratio", &config.mlp_ratio, index)?) as usize,
            qkv_bias: of_stage("qkv_bias", &config.qkv_bias, index)?,
            cls_token,
            query: Window::square(
                kernel,
                of_stage("stride_q", &config.stride_q, index)?,
                of_stage("padding_q", &config.padding_q, index)?,
            ),
            key_value: Window::square(
                kernel,
                of_stage("stride_kv", &config.stride_kv, index)?,
                of_stage("padding_kv", &config.padding_kv, index)?,
            ),
        })
    }

    /// `CvtConvEmbeddings`.
    fn embed(
        &self,
        name: &str,
        grid: Grid<'_>,
        weights: &dyn Weights,
    ) -> Result<(Matrix, Positions), ForwardError> {
        let name = format!("{name}.embedding.convolution_embeddings");
        let (mut projected, mut tokens) = (Matrix::new(), Matrix::new());
        let projection = format!("{name}.projection");
        let (height, width) =
            Convolution::load(weights, &projection, grid.channels(), self.width, self.embedding, true)?
                .apply(grid, &mut projected)?;
        LayerNorm::load(weights, &format!("{name}.normalization"), self.width, LAYER_NORM_EPS)?
            .apply(&projected, &mut tokens)?;
        Ok((tokens, Positions { height, width }))
    }

    /// `CvtLayer`.
    fn layer(
        &self,
        name: &str,
        weights: &dyn Weights,
        positions: Positions,
        hidden_state: &mut Matrix,
        scratch: &mut Scratch,
    ) -> Result<(), ForwardError> {
        let width = self.width;
        let Scratch { norm, convolved, projected, context, dense, intermediate } = scratch;
        LayerNorm::load(weights, &format!("{name}.layernorm_before"), width, LAYER_NORM_EPS)?
            .apply(hidden_state, norm)?;
        let attention_name = format!("{name}.attention.attention");
        let windows = [("query", self.query), ("key", self.key_value), ("value", self.key_value)];
        for ((part, window), out) in windows.into_iter().zip(projected.iter_mut()) {
            let projection = format!("{attention_name}.convolution_projection_{part}.convolution_projection");
            self.convolve(&projection, weights, window, positions, norm, convolved)?;
            let linear = format!("{attention_name}.projection_{part}");
            Linear::load(weights, &linear, width, width, self.qkv_bias)?.apply(
                convolved,
                Activation::Identity,
                out,
            )?;
        }
        let [query, key, value] = projected;
        // `self.scale = embed_dim**-0.5`: of the whole width.
        let heads = Heads { count: self.heads, dim: width / self.heads, scale: 1.0 / (width as f32).sqrt() };
        attention(
            Projection::whole(query),
            Projection::whole(key),
            Projection::whole(value),
            heads,
            context,
        )?;
        Linear::load(weights, &format!("{name}.attention.output.dense"), width, width, true)?.apply(
            context,
            Activation::Identity,
            dense,
        )?;
        hidden_state.add(dense)?;

        LayerNorm::load(weights, &format!("{name}.layernorm_after"), width, LAYER_NORM_EPS)?
            .apply(hidden_state, norm)?;
        Linear::load(weights, &format!("{name}.intermediate.dense"), width, self.intermediate, true)?.apply(
            norm,
            Activation::Gelu,
            intermediate,
        )?;
        Linear::load(weights, &format!("{name}.output.dense"), self.intermediate, width, true)?.apply(
            intermediate,
            Activation::Identity,
            dense,
        )?;
        hidden_state.add(dense)
    }

    /// `CvtSelfAttentionConvProjection` on all tokens but the class token, which stays as it is.
    fn convolve(
        &self,
        name: &str,
        weights: &dyn Weights,
        window: Window,
        positions: Positions,
        tokens: &Matrix,
        out: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let width = self.width;
        let convolution = DepthwiseConvolution::load(
            weights,
            &format!("{name}.convolution"),
            &format!("{name}.normalization"),
            width,
            window,
            BATCH_NORM_EPS,
        )?;
        let Some((high, wide)) = convolution.output_size(positions.height, positions.width) else {
            return Err(ForwardError::config(format!("{name}: {positions:?} are too few for {window:?}")));
        };
        let lead = if self.cls_token { width } else { 0 };
        let rows = high.saturating_mul(wide).saturating_add(usize::from(self.cls_token));
        out.resize(rows, width, "convolved tokens")?;
        let (class_token, values) = tokens.values().split_at_checked(lead).unwrap_or_default();
        let (class_slot, slots) = out.values_mut().split_at_mut_checked(lead).unwrap_or_default();
        class_slot.copy_from_slice(class_token);
        let grid = Grid::new(values, width, positions.height, positions.width, Layout::Interleaved)?;
        convolution.apply(grid, slots)
    }
}

/// The matrices that every layer fills anew.
#[derive(Debug, Default)]
struct Scratch {
    norm: Matrix,
    convolved: Matrix,
    projected: [Matrix; 3],
    context: Matrix,
    dense: Matrix,
    intermediate: Matrix,
}

/// How many tokens lie over and beside each other.
#[derive(Debug, Clone, Copy)]
struct Positions {
    height: usize,
    width: usize,
}

impl Positions {
    fn grid(self, tokens: &Matrix, channels: usize) -> Result<Grid<'_>, ForwardError> {
        Grid::new(tokens.values(), channels, self.height, self.width, Layout::Interleaved)
    }
}

/// The entry of a stage in one of config.json's lists.
fn of_stage<T: Clone>(field: &str, entries: &[T], index: usize) -> Result<T, ForwardError> {
    entries.get(index).cloned().ok_or_else(|| {
        ForwardError::config(format!("{field} has {} entries, none for stage {index}", entries.len()))
    })
}

fn with_class_token(name: &str, weights: &dyn Weights, tokens: &Matrix) -> Result<Matrix, ForwardError> {
    let width = tokens.columns();
    let mut values = weights.tensor(name, &[1, 1, width])?;
    values.extend_from_slice(tokens.values());
    Matrix::from_values(tokens.rows().saturating_add(1), width, values)
}
