//! Reproduces the preprocessing that Microsoft's CvT was tested with (lib/dataset/transformas/build.py,
//! `build_transforms(is_train=False)`): with `TEST.CENTER_CROP` the shorter side becomes the image size over 0.875 and the
//! middle is cut out, without it both sides become the image size.

use super::error::ImageError;
use super::resize::{Filter, resize};
use super::rgb_image::RgbImage;
use super::torchvision::{CropRounding, centre_crop, resize_shorter_side, to_normalised_tensor};
use vitport_nn::Pixels;

/// Holds the numbers of a model's yaml file that make the transform.
#[derive(Debug, Clone, PartialEq)]
pub struct MicrosoftTransform {
    /// Gives the height and width of the network's input; `TEST.IMAGE_SIZE`.
    pub image_size: usize,
    /// Holds `TEST.CENTER_CROP`: on at 224, off at 384.
    pub center_crop: bool,
    /// Holds `TEST.INTERPOLATION`: bicubic in every released model.
    pub interpolation: Filter,
    /// Holds `INPUT.MEAN` of red, green and blue in 0..1.
    pub mean: [f64; 3],
    /// Holds `INPUT.STD` of red, green and blue in 0..1.
    pub std: [f64; 3],
}

impl MicrosoftTransform {
    /// Returns the pixels [3, image size, image size].
    ///
    /// # Errors
    /// What resizing returns.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels, ImageError> {
        self.apply_rounding(image, CropRounding::HalfToEven)
    }

    /// Does the same as [`MicrosoftTransform::apply`] with another rounding of the crop than torchvision's.
    ///
    /// # Errors
    /// As [`MicrosoftTransform::apply`].
    pub fn apply_rounding(&self, image: &RgbImage, rounding: CropRounding) -> Result<Pixels, ImageError> {
        let size = self.image_size;
        let resized = if self.center_crop {
            let short = (size as f64 / 0.875) as usize;
            centre_crop(
                &resize_shorter_side(image, short, self.interpolation)?,
                (size, size),
                [0; 3],
                rounding,
            )?
        } else {
            resize(image, size, size, self.interpolation)?
        };
        to_normalised_tensor(&resized, self.mean, self.std)
    }
}
