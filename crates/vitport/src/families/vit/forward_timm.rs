//! timm's `VisionTransformer` (timm/models/vision_transformer.py, 1.0.31) run from a state dict in
//! timm's own names by timm's own definition: class token, learned positions, pre-norm blocks with
//! fused qkv and optional layer scale, final norm, token pooling, optional head.

use crate::image::Pixels;
use crate::nn::{
    Activation, Convolution, ForwardError, Grid, Heads, LayerNorm, Linear, Matrix, Observer, Output,
    Projection, Stage, Weights, Window, attention, on_the_pool,
};

/// What timm's model function fixes about a network; nothing here can be read off the weights alone.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionTransformer {
    /// (height, width) of the picture; timm's `img_size`.
    pub image_size: (usize, usize),
    /// (height, width) of a patch; `patch_size`.
    pub patch_size: (usize, usize),
    /// Channels of the picture; `in_chans`.
    pub channels: usize,
    /// Width of a token; `embed_dim`.
    pub dim: usize,
    /// Number of blocks; `depth`.
    pub depth: usize,
    /// Number of attention heads; `num_heads`.
    pub heads: usize,
    /// Width of the hidden layer of a block's perceptron: `embed_dim` × `mlp_ratio`, rounded down.
    pub mlp_hidden: usize,
    /// Epsilon of every layer normalisation: 1e-6 unless the model function gives another `norm_layer`.
    pub norm_eps: f64,
    /// Whether `attn.qkv` has a bias; `qkv_bias`.
    pub qkv_bias: bool,
    /// Names of a block's two layer scales, where `init_values` is not None: `ls1.gamma` and `ls2.gamma` in timm, `gamma_1`
    /// and `gamma_2` in DeiT-III's own files.
    pub layer_scale: Option<[&'static str; 2]>,
    /// Whether positions are added to the patches only, before the class token is put in front;
    /// `no_embed_class`.
    pub no_embed_class: bool,
    /// The perceptron's activation; `act_layer`, GELU unless the model function says otherwise.
    pub activation: Activation,
    /// Number of classes of `head`; 0 for a network without head.
    pub classes: usize,
}

impl VisionTransformer {
    /// Runs the network on `pixels` and shows `observer` the stages
    /// `embeddings`, `layer 0` … and `norm`, each tokens × dim with the class token first.
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
        if self.heads == 0 || !self.dim.is_multiple_of(self.heads) {
            return Err(ForwardError::config(format!(
                "embed_dim {} is not a multiple of num_heads {}",
                self.dim, self.heads
            )));
        }
        let mut tokens = self.embed(pixels, weights)?;
        observer.observe(Stage::Embeddings, &tokens);
        let mut room = Room::default();
        for block in 0..self.depth {
            self.block(&format!("blocks.{block}"), weights, &mut tokens, &mut room)?;
            observer.observe(Stage::Layer(block), &tokens);
        }
        let norm = LayerNorm::load(weights, "norm", self.dim, self.norm_eps)?;
        norm.apply(&tokens, &mut room.normalised)?;
        observer.observe(Stage::Norm, &room.normalised);

        let class_token = room.normalised.row(0).unwrap_or_default().to_vec();
        let mut output = Output { pooled: class_token, ..Output::default() };
        if self.classes > 0 {
            self.head(weights, &mut output)?;
        }
        Ok(output)
    }

    /// `patch_embed` and `_pos_embed`.
    fn embed(&self, pixels: &Pixels, weights: &dyn Weights) -> Result<Matrix, ForwardError> {
        let (height, width) = self.image_size;
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), [self.channels, height, width])?;
        let window = Window { kernel: self.patch_size, stride: self.patch_size, padding: (0, 0) };
        let embedding =
            Convolution::load(weights, "patch_embed.proj", self.channels, self.dim, window, true)?;
        let mut patches = Matrix::new();
        embedding.apply(grid, &mut patches)?;

        let class_token = weights.tensor("cls_token", &[1, 1, self.dim])?;
        let mut tokens = Matrix::new();
        tokens.resize(patches.rows().saturating_add(1), self.dim, "the tokens")?;
        let (first, rest) = tokens.values_mut().split_at_mut_checked(self.dim).unwrap_or_default();
        first.copy_from_slice(&class_token);
        rest.copy_from_slice(patches.values());
        let positioned = if self.no_embed_class { rest } else { tokens.values_mut() };
        let count = positioned.len().checked_div(self.dim).unwrap_or_default();
        let positions = weights.tensor("pos_embed", &[1, count, self.dim])?;
        for (value, position) in positioned.iter_mut().zip(positions.iter()) {
            *value += position;
        }
        Ok(tokens)
    }

    /// `Block`: x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))).
    fn block(
        &self,
        name: &str,
        weights: &dyn Weights,
        tokens: &mut Matrix,
        room: &mut Room,
    ) -> Result<(), ForwardError> {
        let dim = self.dim;
        LayerNorm::load(weights, &format!("{name}.norm1"), dim, self.norm_eps)?
            .apply(tokens, &mut room.normalised)?;
        Linear::load(weights, &format!("{name}.attn.qkv"), dim, dim.saturating_mul(3), self.qkv_bias)?
            .apply(&room.normalised, Activation::Identity, &mut room.qkv)?;
        let head_dim = dim / self.heads;
        let heads = Heads { count: self.heads, dim: head_dim, scale: (head_dim as f64).powf(-0.5) as f32 };
        attention(
            Projection::starting_at(&room.qkv, 0),
            Projection::starting_at(&room.qkv, dim),
            Projection::starting_at(&room.qkv, dim.saturating_mul(2)),
            heads,
            &mut room.normalised,
        )?;
        Linear::load(weights, &format!("{name}.attn.proj"), dim, dim, true)?.apply(
            &room.normalised,
            Activation::Identity,
            &mut room.branch,
        )?;
        self.join(name, self.layer_scale.map(|[first, _]| first), weights, tokens, &room.branch)?;

        LayerNorm::load(weights, &format!("{name}.norm2"), dim, self.norm_eps)?
            .apply(tokens, &mut room.normalised)?;
        Linear::load(weights, &format!("{name}.mlp.fc1"), dim, self.mlp_hidden, true)?.apply(
            &room.normalised,
            self.activation,
            &mut room.hidden,
        )?;
        Linear::load(weights, &format!("{name}.mlp.fc2"), self.mlp_hidden, dim, true)?.apply(
            &room.hidden,
            Activation::Identity,
            &mut room.branch,
        )?;
        self.join(name, self.layer_scale.map(|[_, second]| second), weights, tokens, &room.branch)
    }

    /// The residual connection, scaled by `{name}.{gamma}` where the network has layer scale.
    fn join(
        &self,
        name: &str,
        gamma: Option<&str>,
        weights: &dyn Weights,
        tokens: &mut Matrix,
        branch: &Matrix,
    ) -> Result<(), ForwardError> {
        match gamma {
            Some(gamma) => {
                tokens.add_scaled(branch, &weights.tensor(&format!("{name}.{gamma}"), &[self.dim])?)
            }
            None => tokens.add(branch),
        }
    }

    /// `head` on the class token.
    fn head(&self, weights: &dyn Weights, output: &mut Output) -> Result<(), ForwardError> {
        let head = Linear::load(weights, "head", self.dim, self.classes, true)?;
        let pooled = Matrix::from_values(1, self.dim, output.pooled.clone())?;
        let mut logits = Matrix::new();
        head.apply(&pooled, Activation::Identity, &mut logits)?;
        output.size_of_terms = head.size_of_terms(&output.pooled)?;
        output.logits = Some(logits.into_values());
        Ok(())
    }
}

/// The matrices that every block fills anew.
#[derive(Debug, Default)]
struct Room {
    normalised: Matrix,
    qkv: Matrix,
    hidden: Matrix,
    branch: Matrix,
}
