//! Declares the options for facts about a model that a source may leave open.

use std::path::PathBuf;

use clap::Args;
use vitport::image::{CropMode, Filter};
use vitport_checkpoint::Dtype;

use super::{LimitOptions, values};

/// Holds the facts about a model that the source may leave open. Each overrides one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Facts about the model")]
pub struct FactArguments {
    /// Name the architecture, with or without a pretrained tag, as `vitport models` lists them
    #[arg(long, value_name = "NAME[.TAG]", alias = "cvt_model")]
    pub arch: Option<String>,
    /// Take the preprocessing of this timm model, and its heads if it has the same sizes
    #[arg(long, value_name = "NAME.TAG")]
    pub like: Option<String>,
    /// Give the attention heads: one number, or one for each stage (1,3,6)
    #[arg(long, value_name = "N", alias = "num_heads", value_delimiter = ',')]
    pub num_heads: Option<Vec<u64>>,
    /// Give the image size in pixels: 384, or HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE", alias = "image_size", value_parser = values::image_size)]
    pub image_size: Option<[u64; 2]>,
    /// Resample position embeddings to this image size, as timm does: 384, or HEIGHTxWIDTH
    #[arg(long, value_name = "SIZE", value_parser = values::image_size)]
    pub resample_to: Option<[u64; 2]>,
    /// Name the classes: a file, imagenet-1k, imagenet-12k, imagenet-21k-goog, imagenet-21k-miil, imagenet-22k,
    /// imagenet-22k-ms, or none
    #[arg(long, value_name = "FILE|SET|none")]
    pub labels: Option<String>,
    /// Give the mean of each channel on a 0 to 1 scale: 0.5 or 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = values::mean)]
    pub mean: Option<[f64; 3]>,
    /// Give the standard deviation of each channel on a 0 to 1 scale
    #[arg(long, value_name = "R,G,B", value_parser = values::std)]
    pub std: Option<[f64; 3]>,
    /// Give the fraction of the resized image that the center crop keeps, as timm's crop_pct
    #[arg(long, value_name = "FRACTION", value_parser = values::crop_pct)]
    pub crop_pct: Option<f64>,
    /// Choose how images are cropped, as timm's crop_mode: center or squash
    #[arg(long, value_name = "MODE", value_parser = values::crop_mode)]
    pub crop_mode: Option<CropMode>,
    /// Choose how images are resized: bicubic, bilinear, lanczos, nearest, box, hamming
    #[arg(long, value_name = "NAME", value_parser = values::interpolation)]
    pub interpolation: Option<Filter>,
    /// Give the epsilon of the layer norms
    #[arg(long, value_name = "EPS", value_parser = values::epsilon)]
    pub layer_norm_eps: Option<f64>,
    /// Add this LoRA adapter of peft to the weights: its file, or a folder that holds it
    #[arg(long, value_name = "PATH")]
    pub adapter: Option<PathBuf>,
    /// Give the lora_alpha of adapters next to the weights, where there is no adapter_config.json
    #[arg(long, value_name = "ALPHA", value_parser = values::alpha)]
    pub lora_alpha: Option<f64>,
    /// Write no preprocessor_config.json: images are prepared elsewhere
    #[arg(long)]
    pub no_processor: bool,
    /// Choose the transformers class, where several could hold the model (`vitport plan` lists them)
    #[arg(long, value_name = "CLASS")]
    pub target: Option<String>,
    /// Leave the classification head out
    #[arg(long)]
    pub no_head: bool,
    /// Name the part of the checkpoint that is the network: a nested part, a prefix of names, or both
    /// (state_dict/module.base_encoder.)
    #[arg(long, value_name = "ROOT_OR_PREFIX")]
    pub key: Option<String>,
    /// Leave out the tensors that match this pattern (head.*); may be given several times
    #[arg(long, value_name = "GLOB", value_parser = glob::Pattern::new)]
    pub drop: Vec<glob::Pattern>,
    /// Write the weights with this dtype; the source's by default
    #[arg(long, value_name = "DTYPE", value_parser = values::dtype())]
    pub dtype: Option<Dtype>,
    /// Use this mapping in place of the built-in one
    #[arg(long, value_name = "FILE", alias = "rules")]
    pub mapping: Option<PathBuf>,
    /// Limits how much the file may ask for.
    #[command(flatten)]
    pub limits: LimitOptions,
}
