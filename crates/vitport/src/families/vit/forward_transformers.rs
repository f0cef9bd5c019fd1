//! transformers' `ViTForImageClassification` and `ViTModel` (models/vit/modeling_vit.py, 4.57.6) run
//! from the folder's own `config.json` and tensor names, as `from_pretrained` would load them.

use serde::Deserialize;

use crate::image::Pixels;
use crate::nn::{
    Activation, Convolution, ForwardError, Grid, Heads, LayerNorm, Linear, Matrix, Observer, Output,
    Projection, Stage, Weights, Window, attention, on_the_pool,
};

/// The fields of `config.json` that the forward pass depends on, with `ViTConfig`'s defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct ViTConfig {
    /// Class names the folder is meant for; the first decides what is run.
    pub architectures: Option<Vec<String>>,
    /// Width of a token.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Width of the hidden layer of a layer's perceptron.
    pub intermediate_size: usize,
    /// The perceptron's activation, a key of transformers' `ACT2FN`.
    pub hidden_act: String,
    /// Epsilon of every layer normalisation.
    pub layer_norm_eps: f64,
    /// Height and width of the picture.
    pub image_size: Extent,
    /// Height and width of a patch.
    pub patch_size: Extent,
    /// Channels of the picture.
    pub num_channels: usize,
    /// Whether query, key and value have a bias.
    pub qkv_bias: bool,
    /// Width of the pooler's output; `hidden_size` when absent.
    pub pooler_output_size: Option<usize>,
    /// The pooler's activation, a key of `ACT2FN`.
    pub pooler_act: String,
    /// Class names by number; their count is the number of classes.
    pub id2label: Option<serde_json::Map<String, serde_json::Value>>,
    /// Number of classes where there is no `id2label`.
    pub num_labels: Option<usize>,
}

impl Default for ViTConfig {
    fn default() -> Self {
        Self {
            architectures: None,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            layer_norm_eps: 1e-12,
            image_size: Extent::Square(224),
            patch_size: Extent::Square(16),
            num_channels: 3,
            qkv_bias: true,
            pooler_output_size: None,
            pooler_act: "tanh".to_owned(),
            id2label: None,
            num_labels: None,
        }
    }
}

/// A size that config.json writes as one number or as [height, width].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Extent {
    /// Height and width alike.
    Square(usize),
    /// [height, width].
    Sides([usize; 2]),
}

impl Extent {
    /// (height, width).
    pub fn sides(self) -> (usize, usize) {
        match self {
            Self::Square(side) => (side, side),
            Self::Sides([height, width]) => (height, width),
        }
    }
}

/// A network as its folder describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ViT {
    config: ViTConfig,
    hidden_act: Activation,
    pooler_act: Activation,
    has_classifier: bool,
}

impl ViT {
    /// The network of a `config.json`.
    ///
    /// # Errors
    /// [`ForwardError::Config`] when transformers could not build it, or its class or activation is
    /// not one that this file runs.
    pub fn new(config: ViTConfig) -> Result<Self, ForwardError> {
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(ForwardError::config(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                config.hidden_size, config.num_attention_heads
            )));
        }
        let has_classifier = match config.architectures.iter().flatten().next().map(String::as_str) {
            Some("ViTForImageClassification") => true,
            Some("ViTModel") => false,
            other => {
                return Err(ForwardError::config(format!(
                    "architectures names {:?}, and only ViTForImageClassification and ViTModel can be run",
                    other.unwrap_or_default()
                )));
            }
        };
        let hidden_act = named_activation("hidden_act", &config.hidden_act)?;
        let pooler_act = named_activation("pooler_act", &config.pooler_act)?;
        Ok(Self { config, hidden_act, pooler_act, has_classifier })
    }

    /// (channels, height, width) of the pixels.
    pub fn input_shape(&self) -> [usize; 3] {
        let (height, width) = self.config.image_size.sides();
        [self.config.num_channels, height, width]
    }

    /// Runs the network on `pixels` and shows `observer` the stages
    /// `embeddings`, `layer 0` … and `norm`, each tokens × hidden_size with the class token first.
    ///
    /// # Errors
    /// [`ForwardError`] when a tensor is missing or misshapen.
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
        let config = &self.config;
        let prefix = self.prefix(weights);
        let mut hidden_states = self.embeddings(&format!("{prefix}embeddings"), pixels, weights)?;
        observer.observe(Stage::Embeddings, &hidden_states);
        let mut scratch = Scratch::default();
        for index in 0..config.num_hidden_layers {
            let layer = format!("{prefix}encoder.layer.{index}");
            self.layer(&layer, weights, &mut hidden_states, &mut scratch)?;
            observer.observe(Stage::Layer(index), &hidden_states);
        }
        let mut sequence = Matrix::new();
        LayerNorm::load(weights, &format!("{prefix}layernorm"), config.hidden_size, config.layer_norm_eps)?
            .apply(&hidden_states, &mut sequence)?;
        observer.observe(Stage::Norm, &sequence);

        let first = sequence.row(0).unwrap_or_default().to_vec();
        let token = Matrix::from_values(1, config.hidden_size, first.clone())?;
        let mut output = Output { pooled: first, ..Output::default() };
        if self.has_classifier {
            output.logits =
                Some(self.dense("classifier", weights, &token, self.classes(), Activation::Identity)?);
        } else if weights.contains(&format!("{prefix}pooler.dense.weight")) {
            let size = config.pooler_output_size.filter(|&size| size > 0).unwrap_or(config.hidden_size);
            let pooler = format!("{prefix}pooler.dense");
            output.pooler_output = Some(self.dense(&pooler, weights, &token, size, self.pooler_act)?);
        }
        Ok(output)
    }

    /// A classifier's folder names its backbone `vit.…`, a bare model's does not; `from_pretrained`
    /// takes either for either.
    fn prefix(&self, weights: &dyn Weights) -> &'static str {
        let with = weights.contains("vit.embeddings.cls_token");
        let without = weights.contains("embeddings.cls_token");
        if (self.has_classifier && (with || !without)) || (with && !without) { "vit." } else { "" }
    }

    /// `PretrainedConfig.num_labels`: two unless the config says otherwise.
    fn classes(&self) -> usize {
        match &self.config.id2label {
            Some(labels) => labels.len(),
            None => self.config.num_labels.unwrap_or(2),
        }
    }

    /// `ViTEmbeddings`: patches behind the class token, all with positions.
    fn embeddings(&self, name: &str, pixels: &Pixels, weights: &dyn Weights) -> Result<Matrix, ForwardError> {
        let (config, width_of_token) = (&self.config, self.config.hidden_size);
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input_shape())?;
        let patch = config.patch_size.sides();
        let projection = Convolution::load(
            weights,
            &format!("{name}.patch_embeddings.projection"),
            config.num_channels,
            width_of_token,
            Window { kernel: patch, stride: patch, padding: (0, 0) },
            true,
        )?;
        let mut patches = Matrix::new();
        projection.apply(grid, &mut patches)?;

        let count = patches.rows().saturating_add(1);
        let class_token = weights.tensor(&format!("{name}.cls_token"), &[1, 1, width_of_token])?;
        let mut values = class_token;
        values.extend_from_slice(patches.values());
        let positions =
            weights.tensor(&format!("{name}.position_embeddings"), &[1, count, width_of_token])?;
        let mut embeddings = Matrix::from_values(count, width_of_token, values)?;
        embeddings.add(&Matrix::from_values(count, width_of_token, positions)?)?;
        Ok(embeddings)
    }

    /// `ViTLayer`.
    fn layer(
        &self,
        name: &str,
        weights: &dyn Weights,
        hidden_states: &mut Matrix,
        scratch: &mut Scratch,
    ) -> Result<(), ForwardError> {
        let (size, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let (eps, bias) = (self.config.layer_norm_eps, self.config.qkv_bias);
        let Scratch { norm, query, key, value, context, dense, intermediate } = scratch;

        LayerNorm::load(weights, &format!("{name}.layernorm_before"), size, eps)?
            .apply(hidden_states, norm)?;
        for (part, out) in [("query", &mut *query), ("key", &mut *key), ("value", &mut *value)] {
            Linear::load(weights, &format!("{name}.attention.attention.{part}"), size, size, bias)?.apply(
                norm,
                Activation::Identity,
                out,
            )?;
        }
        let count = self.config.num_attention_heads;
        let dim = size / count;
        let heads = Heads { count, dim, scale: 1.0 / (dim as f32).sqrt() };
        attention(
            Projection::whole(query),
            Projection::whole(key),
            Projection::whole(value),
            heads,
            context,
        )?;
        Linear::load(weights, &format!("{name}.attention.output.dense"), size, size, true)?.apply(
            context,
            Activation::Identity,
            dense,
        )?;
        hidden_states.add(dense)?;

        LayerNorm::load(weights, &format!("{name}.layernorm_after"), size, eps)?
            .apply(hidden_states, norm)?;
        Linear::load(weights, &format!("{name}.intermediate.dense"), size, inner, true)?.apply(
            norm,
            self.hidden_act,
            intermediate,
        )?;
        Linear::load(weights, &format!("{name}.output.dense"), inner, size, true)?.apply(
            intermediate,
            Activation::Identity,
            dense,
        )?;
        hidden_states.add(dense)
    }

    /// A dense layer on one token.
    fn dense(
        &self,
        name: &str,
        weights: &dyn Weights,
        token: &Matrix,
        outputs: usize,
        activation: Activation,
    ) -> Result<Vec<f32>, ForwardError> {
        let mut out = Matrix::new();
        Linear::load(weights, name, self.config.hidden_size, outputs, true)?
            .apply(token, activation, &mut out)?;
        Ok(out.into_values())
    }
}

/// The matrices that every layer fills anew.
#[derive(Debug, Default)]
struct Scratch {
    norm: Matrix,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    context: Matrix,
    dense: Matrix,
    intermediate: Matrix,
}

/// The activation behind a key of transformers' `ACT2FN` (activations.py).
fn named_activation(field: &str, name: &str) -> Result<Activation, ForwardError> {
    Ok(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "quick_gelu" => Activation::QuickGelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => {
            Activation::GeluTanh
        }
        "silu" | "swish" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "linear" => Activation::Identity,
        _ => {
            return Err(ForwardError::config(format!(
                "{field} {name:?} is not an activation that can be run"
            )));
        }
    })
}
