//! Reproduces the preprocessing that timm gives a model for evaluation: `timm.data.create_transform(**config,
//! is_training=False)` (timm/data/transforms_factory.py, `transforms_imagenet_eval`, 1.0.31).

use super::error::ImageError;
use super::resize::{Filter, resize};
use super::rgb_image::RgbImage;
use super::torchvision::{CropRounding, Size, centre_crop, resize_shorter_side, to_normalised_tensor};
use vitport_nn::Pixels;

/// Says what becomes of an image without the network's shape; timm's `crop_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CropMode {
    /// Means that the shorter side is fitted and the rest cut off; timm's default.
    Center,
    /// Means that both sides are fitted, whatever becomes of the proportions.
    Squash,
    /// Means that the longer side is fitted and the rest filled with the mean colour.
    Border,
}

impl CropMode {
    /// Returns the mode of a pretrained config; timm takes every other word for `center`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "squash" => Self::Squash,
            "border" => Self::Border,
            _ => Self::Center,
        }
    }

    /// Returns timm's name for the mode.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Squash => "squash",
            Self::Border => "border",
        }
    }
}

/// Holds the numbers of a pretrained config that make the transform.
#[derive(Debug, Clone, PartialEq)]
pub struct TimmTransform {
    /// Gives the (height, width) of the network's input; the last two of `input_size`.
    pub input_size: (usize, usize),
    /// Says how much of the resized image is kept; `crop_pct`, 0.875 where the config has none.
    pub crop_pct: f64,
    /// Holds `crop_mode`.
    pub crop_mode: CropMode,
    /// Holds `interpolation`.
    pub interpolation: Filter,
    /// Holds `mean` of red, green and blue in 0..1.
    pub mean: [f64; 3],
    /// Holds `std` of red, green and blue in 0..1.
    pub std: [f64; 3],
}

impl TimmTransform {
    /// Returns the pixels [3, height, width] of `input_size`.
    ///
    /// # Errors
    /// [`ImageError::Transform`] for a crop_pct that is not a positive number, and what resizing returns.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels, ImageError> {
        self.apply_rounding(image, CropRounding::HalfToEven)
    }

    /// Does the same as [`TimmTransform::apply`] with another rounding of the crop than timm's own.
    ///
    /// # Errors
    /// As [`TimmTransform::apply`].
    pub fn apply_rounding(&self, image: &RgbImage, rounding: CropRounding) -> Result<Pixels, ImageError> {
        if !(self.crop_pct.is_finite() && self.crop_pct > 0.0) {
            return Err(ImageError::Transform { detail: format!("crop_pct is {}", self.crop_pct) });
        }
        let scale = |side: usize| (side as f64 / self.crop_pct).floor() as usize;
        let scaled = (scale(self.input_size.0), scale(self.input_size.1));
        let (resized, fill) = match self.crop_mode {
            CropMode::Squash => (resize(image, scaled.1, scaled.0, self.interpolation)?, [0; 3]),
            CropMode::Border => (self.resize_keeping_ratio(image, scaled, f64::max)?, self.mean.map(colour)),
            CropMode::Center if scaled.0 == scaled.1 => {
                (resize_shorter_side(image, scaled.0, self.interpolation)?, [0; 3])
            }
            CropMode::Center => (self.resize_keeping_ratio(image, scaled, f64::min)?, [0; 3]),
        };
        to_normalised_tensor(&centre_crop(&resized, self.input_size, fill, rounding)?, self.mean, self.std)
    }

    /// Applies `ResizeKeepRatio`: both sides are divided by the larger or smaller of their ratios to the
    /// target and rounded, halves to even.
    fn resize_keeping_ratio(
        &self,
        image: &RgbImage,
        target: Size,
        choose: fn(f64, f64) -> f64,
    ) -> Result<RgbImage, ImageError> {
        let ratio = choose(image.height() as f64 / target.0 as f64, image.width() as f64 / target.1 as f64);
        let side = |side: usize| (side as f64 / ratio).round_ties_even() as usize;
        resize(image, side(image.width()), side(image.height()), self.interpolation)
    }
}

/// Computes `round(255 * v)` of a mean.
fn colour(mean: f64) -> u8 {
    (255.0 * mean).round_ties_even() as u8
}
