//! What the person who runs the command says of the model. Each hint overrides one fact; none is needed when the source says
//! it itself.

use std::path::PathBuf;

use crate::image::{CropMode, Filter};

/// Which names the classes get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelChoice {
    /// A built-in list, by the name that [`crate::labels`] knows it by.
    Set(crate::labels::LabelSet),
    /// A file of the user's.
    File(PathBuf),
    /// `LABEL_0`, `LABEL_1`, ….
    None,
}

/// Facts given on the command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FactOptions {
    /// Architecture, with or without a pretrained tag: `vit_base_patch16_224.augreg_in21k`, `cvt-13`.
    pub arch: Option<String>,
    /// Attention heads: one number, or one a stage.
    pub num_heads: Option<Vec<u64>>,
    /// Height and width of the input in pixels.
    pub image_size: Option<[u64; 2]>,
    /// Class names.
    pub labels: Option<LabelChoice>,
    /// Mean of each channel.
    pub mean: Option<[f64; 3]>,
    /// Standard deviation of each channel.
    pub std: Option<[f64; 3]>,
    /// Crop fraction.
    pub crop_pct: Option<f64>,
    /// Crop mode.
    pub crop_mode: Option<CropMode>,
    /// Interpolation.
    pub interpolation: Option<Filter>,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: Option<f64>,
    /// Leave the classification head out.
    pub without_head: bool,
}
