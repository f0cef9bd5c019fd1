//! Makes pixels of an image without any preprocessing that a framework has: for networks whose number of channels no image processor
//! makes, and where none is wanted. Both networks get the same.

use super::error::ImageError;
use super::resize::{Filter, resize};
use super::rgb_image::RgbImage;
use vitport_nn::Pixels;

/// Describes pixels that are made directly of an image: resized, scaled to -1…1, and red, green and blue repeated, each channel with
/// a factor of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectPixels {
    /// Gives [channels, height, width].
    pub shape: [usize; 3],
}

impl DirectPixels {
    /// Returns the pixels.
    ///
    /// # Errors
    /// Returns what resizing returns.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels, ImageError> {
        let [channels, height, width] = self.shape;
        let resized = resize(image, width, height, Filter::Bicubic)?;
        let bytes = resized.bytes();
        let values = (0..channels).flat_map(|channel| {
            // From 1 down to just above a half, so that no channel is another's copy.
            let factor = 1.0 - channel as f32 / (2 * channels) as f32;
            let colour = bytes.iter().skip(channel % 3).step_by(3);
            colour.map(move |&byte| (f32::from(byte) / 255.0 * 2.0 - 1.0) * factor)
        });
        Pixels::with_shape(self.shape, values.collect()).ok_or(ImageError::Empty {
            width,
            height,
            step: "making channels",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_channel_is_a_copy_of_another() {
        let image = RgbImage::new(2, 2, (0..12).map(|byte| byte * 20).collect()).unwrap();
        let pixels = DirectPixels { shape: [13, 2, 2] }.apply(&image).unwrap();
        let channels: Vec<&[f32]> = pixels.values().chunks_exact(4).collect();
        assert_eq!((pixels.shape(), channels.len()), ([13, 2, 2], 13));
        assert_eq!(channels[0][0], -1.0);
        let is_copied = |one: usize| (0..one).any(|other| channels[other] == channels[one]);
        assert!(!(0..13).any(is_copied));
    }
}
