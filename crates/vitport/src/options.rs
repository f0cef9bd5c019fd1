//! What the person who runs the command says of a model. Each option overrides one fact; none is needed when the source says
//! it itself.

use crate::image::{CropMode, Filter};
use crate::labels::LabelChoice;

/// Holds the facts given on the command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FactOptions {
    /// Names the architecture, with or without a pretrained tag: `vit_base_patch16_224.augreg_in21k`, `cvt-13`.
    pub arch: Option<String>,
    /// Names a published model, with or without a pretrained tag, whose preprocessing this one has, and whose heads if it has its
    /// sizes.
    pub like: Option<String>,
    /// Counts the attention heads: one number, or one a stage.
    pub num_heads: Option<Vec<u64>>,
    /// Holds height and width of the input in pixels.
    pub image_size: Option<[u64; 2]>,
    /// Holds height and width in pixels of the images for which position embeddings are resampled.
    pub resample_to: Option<[u64; 2]>,
    /// Says which names the classes get.
    pub labels: Option<LabelChoice>,
    /// Holds the mean of each channel, on a 0 to 1 scale.
    pub mean: Option<[f64; 3]>,
    /// Holds the standard deviation of each channel, on a 0 to 1 scale.
    pub std: Option<[f64; 3]>,
    /// Holds the share of the resized edge that the crop keeps.
    pub crop_pct: Option<f64>,
    /// Says what is cut off.
    pub crop_mode: Option<CropMode>,
    /// Says how pixels are interpolated.
    pub interpolation: Option<Filter>,
    /// Holds the epsilon of the layer norms.
    pub layer_norm_eps: Option<f64>,
    /// Holds the number that LoRA adapters are multiplied with, before it is divided by their rank.
    pub lora_alpha: Option<f64>,
    /// Says whether no image processor is wanted, and so nothing is asked of preprocessing.
    pub without_processor: bool,
    /// Names the class of transformers that it is to become, where several could hold it.
    pub target: Option<String>,
    /// Says whether the classification head is left out.
    pub without_head: bool,
    /// Lists patterns of names of tensors that are left out: as in the file, as in its part, or as in the network.
    pub drop: Vec<glob::Pattern>,
}
