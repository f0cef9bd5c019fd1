//! Microsoft's `ConvolutionalVisionTransformer` (CvT, Wu et al. 2021, arXiv:2103.15808;
//! lib/models/cls_cvt.py) run from a state dict in its own names by its own definition: stages of a
//! convolutional embedding and pre-norm blocks whose queries, keys and values are depth-wise
//! convolutions with batch normalisation.

use crate::image::Pixels;
use crate::nn::{
    Activation, BATCH_NORM_EPS, Convolution, DepthwiseConvolution, ForwardError, Grid, Heads, LayerNorm,
    Layout, Linear, Matrix, Observer, Output, Projection, Stage, Weights, Window, attention, on_the_pool,
};

/// Epsilon of every layer normalisation: the `LayerNorm` that the factory hands down has 1e-5.
const NORM_EPS: f64 = 1e-5;

/// What the yaml file of a model fixes about a network (`MODEL.SPEC`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionalVisionTransformer {
    /// (height, width) of the picture.
    pub image_size: (usize, usize),
    /// Channels of the picture.
    pub channels: usize,
    /// The stages, in order.
    pub stages: Vec<CvtStage>,
    /// The perceptron's activation: QuickGELU in Microsoft's factory. transformers computes GELU
    /// instead, and running this side with it shows that nothing else differs.
    pub activation: Activation,
    /// Number of classes of `head`; 0 for a network without head.
    pub classes: usize,
}

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct CvtStage {
    /// Window of the convolutional embedding; `PATCH_SIZE`, `PATCH_STRIDE`, `PATCH_PADDING`.
    pub embedding: Window,
    /// Width of a token; `DIM_EMBED`.
    pub dim: usize,
    /// Number of blocks; `DEPTH`.
    pub depth: usize,
    /// Number of attention heads; `NUM_HEADS`.
    pub heads: usize,
    /// Width of the perceptron's hidden layer: `DIM_EMBED` × `MLP_RATIO`, rounded down.
    pub mlp_hidden: usize,
    /// Whether the projections of queries, keys and values have a bias; `QKV_BIAS`.
    pub qkv_bias: bool,
    /// Whether a class token joins here; `CLS_TOKEN`.
    pub class_token: bool,
    /// Window of the queries' depth-wise convolution; `KERNEL_QKV`, `STRIDE_Q`, `PADDING_Q`.
    pub query: Window,
    /// Window of the keys' and values'; `KERNEL_QKV`, `STRIDE_KV`, `PADDING_KV`.
    pub key_value: Window,
}

impl ConvolutionalVisionTransformer {
    /// Runs the network on `pixels` and shows `observer`, for each stage s, `stage s embedding`
    /// (positions × dim) and `stage s layer b` (tokens × dim, class token first where the stage has
    /// one), and then `norm`: the class token, or all tokens of a network without one.
    ///
    /// # Errors
    /// [`ForwardError`] when a tensor is missing or misshapen, or the definition contradicts itself.
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
        let expected = [self.channels, self.image_size.0, self.image_size.1];
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), expected)?;
        let mut map = FeatureMap {
            tokens: Matrix::new(),
            channels: self.channels,
            height: self.image_size.0,
            width: self.image_size.1,
        };
        let Some(last) = self.stages.last() else {
            return Err(ForwardError::config("a CvT without stages"));
        };
        let mut features = Matrix::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let input = if index == 0 { grid } else { map.grid()? };
            let run = StageRun { index, stage, activation: self.activation, weights };
            (map, features) = run.forward(input, observer)?;
        }

        let mut normalised = Matrix::new();
        LayerNorm::load(weights, "norm", last.dim, NORM_EPS)?.apply(&features, &mut normalised)?;
        observer.observe(Stage::Norm, &normalised);
        let pooled = mean_of_rows(&normalised);
        let mut output = Output { pooled, ..Output::default() };
        if self.classes > 0 {
            let token = Matrix::from_values(1, last.dim, output.pooled.clone())?;
            let mut logits = Matrix::new();
            let head = Linear::load(weights, "head", last.dim, self.classes, true)?;
            head.apply(&token, Activation::Identity, &mut logits)?;
            output.size_of_terms = head.size_of_terms(&output.pooled)?;
            output.logits = Some(logits.into_values());
        }
        Ok(output)
    }
}

/// What one stage hands to the next: tokens in rows, position by position.
struct FeatureMap {
    tokens: Matrix,
    channels: usize,
    height: usize,
    width: usize,
}

impl FeatureMap {
    fn grid(&self) -> Result<Grid<'_>, ForwardError> {
        Grid::new(self.tokens.values(), self.channels, self.height, self.width, Layout::Interleaved)
    }
}

/// A stage about to be run.
struct StageRun<'a> {
    index: usize,
    stage: &'a CvtStage,
    activation: Activation,
    weights: &'a dyn Weights,
}

impl StageRun<'_> {
    /// `VisionTransformer` of cls_cvt.py: the feature map for the next stage, and the tokens that the
    /// head would read here (the class token, or all).
    fn forward(
        &self,
        input: Grid<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(FeatureMap, Matrix), ForwardError> {
        let Self { index, stage, weights, .. } = self;
        let dim = stage.dim;
        if stage.heads == 0 || dim == 0 || !dim.is_multiple_of(stage.heads) {
            return Err(ForwardError::config(format!(
                "stage {index}: the width {dim} is not a multiple of {} heads",
                stage.heads
            )));
        }
        let embedding = format!("stage{index}.patch_embed");
        let mut projected = Matrix::new();
        let (height, width) = Convolution::load(
            *weights,
            &format!("{embedding}.proj"),
            input.channels(),
            dim,
            stage.embedding,
            true,
        )?
        .apply(input, &mut projected)?;
        let mut tokens = Matrix::new();
        LayerNorm::load(*weights, &format!("{embedding}.norm"), dim, NORM_EPS)?
            .apply(&projected, &mut tokens)?;
        observer.observe(Stage::StageEmbedding(*index), &tokens);

        if stage.class_token {
            let class_token = weights.tensor(&format!("stage{index}.cls_token"), &[1, 1, dim])?;
            let rows = tokens.rows().saturating_add(1);
            let mut values = class_token;
            values.extend_from_slice(tokens.values());
            tokens = Matrix::from_values(rows, dim, values)?;
        }
        let mut room = Room::default();
        for block in 0..stage.depth {
            self.block(block, (height, width), &mut tokens, &mut room)?;
            observer.observe(Stage::StageLayer { stage: *index, layer: block }, &tokens);
        }
        if !stage.class_token {
            let map = FeatureMap { tokens: tokens.clone(), channels: dim, height, width };
            return Ok((map, tokens));
        }
        let rows = tokens.rows().saturating_sub(1);
        let mut values = tokens.into_values();
        let rest = values.split_off(dim.min(values.len()));
        let map = FeatureMap { tokens: Matrix::from_values(rows, dim, rest)?, channels: dim, height, width };
        Ok((map, Matrix::from_values(1, dim, values)?))
    }

    /// `Block`: x + attn(norm1(x)), then x + mlp(norm2(x)).
    fn block(
        &self,
        block: usize,
        size: (usize, usize),
        tokens: &mut Matrix,
        room: &mut Room,
    ) -> Result<(), ForwardError> {
        let (stage, weights, dim) = (self.stage, self.weights, self.stage.dim);
        let name = format!("stage{}.blocks.{block}", self.index);
        LayerNorm::load(weights, &format!("{name}.norm1"), dim, NORM_EPS)?
            .apply(tokens, &mut room.normalised)?;
        let Room { normalised, convolved, query, key, value, hidden, branch } = room;
        for (part, window, out) in [
            ("q", stage.query, &mut *query),
            ("k", stage.key_value, &mut *key),
            ("v", stage.key_value, &mut *value),
        ] {
            self.convolve(&format!("{name}.attn.conv_proj_{part}"), window, size, normalised, convolved)?;
            Linear::load(weights, &format!("{name}.attn.proj_{part}"), dim, dim, stage.qkv_bias)?.apply(
                convolved,
                Activation::Identity,
                out,
            )?;
        }
        // The scale is that of the whole width, not of a head's: `self.scale = dim_out ** -0.5`.
        let heads =
            Heads { count: stage.heads, dim: dim / stage.heads, scale: (dim as f64).powf(-0.5) as f32 };
        attention(
            Projection::whole(query),
            Projection::whole(key),
            Projection::whole(value),
            heads,
            normalised,
        )?;
        Linear::load(weights, &format!("{name}.attn.proj"), dim, dim, true)?.apply(
            normalised,
            Activation::Identity,
            branch,
        )?;
        tokens.add(branch)?;

        LayerNorm::load(weights, &format!("{name}.norm2"), dim, NORM_EPS)?.apply(tokens, normalised)?;
        Linear::load(weights, &format!("{name}.mlp.fc1"), dim, stage.mlp_hidden, true)?.apply(
            normalised,
            self.activation,
            hidden,
        )?;
        Linear::load(weights, &format!("{name}.mlp.fc2"), stage.mlp_hidden, dim, true)?.apply(
            hidden,
            Activation::Identity,
            branch,
        )?;
        tokens.add(branch)
    }

    /// `forward_conv` for one of q, k and v: the class token passes round the convolution.
    fn convolve(
        &self,
        name: &str,
        window: Window,
        (height, width): (usize, usize),
        tokens: &Matrix,
        out: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let dim = self.stage.dim;
        let convolution = DepthwiseConvolution::load(
            self.weights,
            &format!("{name}.conv"),
            &format!("{name}.bn"),
            dim,
            window,
            BATCH_NORM_EPS,
        )?;
        let (high, wide) = convolution.output_size(height, width).ok_or_else(|| {
            ForwardError::config(format!("{name}: {height} × {width} positions are too few for {window:?}"))
        })?;
        let class_tokens = usize::from(self.stage.class_token);
        out.resize(high.saturating_mul(wide).saturating_add(class_tokens), dim, "convolved tokens")?;
        let skipped = class_tokens.saturating_mul(dim);
        let (class_token, positions) = tokens.values().split_at_checked(skipped).unwrap_or_default();
        let (first, rest) = out.values_mut().split_at_mut_checked(skipped).unwrap_or_default();
        first.copy_from_slice(class_token);
        convolution.apply(Grid::new(positions, dim, height, width, Layout::Interleaved)?, rest)
    }
}

/// The mean over rows: of one row, the row.
fn mean_of_rows(matrix: &Matrix) -> Vec<f32> {
    let mut sums = vec![0.0_f64; matrix.columns()];
    for row in matrix.values().chunks_exact(matrix.columns().max(1)) {
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    sums.into_iter().map(|sum| (sum / matrix.rows() as f64) as f32).collect()
}

/// The matrices that every block fills anew.
#[derive(Debug, Default)]
struct Room {
    normalised: Matrix,
    convolved: Matrix,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    hidden: Matrix,
    branch: Matrix,
}
