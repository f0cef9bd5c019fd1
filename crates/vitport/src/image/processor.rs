//! Computes the preprocessing that transformers computes from a folder's `preprocessor_config.json`: the image processors of
//! transformers 4.57.6 with their PIL backend (models/*/image_processing_*.py). Nothing but the resampling is shared with the
//! source side.

use super::error::ImageError;
use super::processor_config::{ProcessorClass, ProcessorConfig, Resize};
use super::resize::resize;
use super::rgb_image::RgbImage;
use vitport_nn::Pixels;

/// Lists the keys of `preprocessor_config.json` on which pixels depend.
pub const PROCESSOR_KEYS: [&str; 16] = [
    "crop_pct",
    "crop_size",
    "do_center_crop",
    "do_convert_rgb",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "feature_extractor_type",
    "image_mean",
    "image_processor_type",
    "image_std",
    "include_top",
    "resample",
    "rescale_factor",
    "rescale_offset",
    "size",
];

/// Describes an image processor as its folder describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    config: ProcessorConfig,
}

impl ImageProcessor {
    /// Reads the processor of a parsed `preprocessor_config.json`. Where the file names no class, `fallback` does: the one that
    /// transformers maps the folder's `model_type` to.
    ///
    /// # Errors
    /// [`ImageError::UnknownProcessor`], or [`ImageError::Processor`] for a field that the class
    /// would refuse.
    pub fn from_json(
        json: &serde_json::Map<String, serde_json::Value>,
        fallback: Option<&str>,
    ) -> Result<Self, ImageError> {
        Ok(Self { config: ProcessorConfig::from_json(json, fallback)? })
    }

    /// Returns its steps.
    pub(super) fn config(&self) -> &ProcessorConfig {
        &self.config
    }

    /// Returns the pixels [3, height, width], or [1, height, width] of a processor with one mean, which is given the image in grey;
    /// whatever size the configuration gives them.
    ///
    /// # Errors
    /// What resizing returns.
    pub fn apply(&self, image: &RgbImage) -> Result<Pixels, ImageError> {
        match self.config.is_grey {
            true => self.apply_rgb(&image.to_grey()).map(Pixels::first_channel),
            false => self.apply_rgb(image),
        }
    }

    fn apply_rgb(&self, image: &RgbImage) -> Result<Pixels, ImageError> {
        let config = &self.config;
        let resized = match config.resize {
            None => image.clone(),
            Some(how) => self.resize(image, how)?,
        };
        let cropped = match config.crop {
            None => resized,
            Some((height, width)) => center_crop(&resized, height, width)?,
        };
        let (width, height) = (cropped.width(), cropped.height());
        let channels: [Vec<f32>; 3] =
            std::array::from_fn(|channel| cropped.bytes().iter().skip(channel).step_by(3))
                .map(|bytes| bytes.map(|&byte| self.rescale(byte)).collect());
        let values = match config.normalize {
            None => channels.concat(),
            Some((mean, std)) => {
                let statistics = mean.into_iter().zip(std);
                let normalized = channels.into_iter().zip(statistics).flat_map(|(values, (mean, std))| {
                    let (mean, std) = (mean as f32, std as f32);
                    values.into_iter().map(move |value| (value - mean) / std)
                });
                normalized.collect()
            }
        };
        let values = match config.again {
            None => values,
            Some(std) => {
                let channels = values.chunks(width.saturating_mul(height).max(1)).zip(std);
                channels
                    .flat_map(|(values, std)| values.iter().map(move |value| value / std as f32))
                    .collect()
            }
        };
        Pixels::new(height, width, values).ok_or(ImageError::Empty { width, height, step: "preprocessing" })
    }

    /// Computes `rescale`: multiplied in float64, then rounded to float32.
    fn rescale(&self, byte: u8) -> f32 {
        match self.config.rescale_factor {
            Some(factor) => (f64::from(byte) * factor) as f32,
            None => f32::from(byte),
        }
    }

    /// Applies `resize` of the class.
    fn resize(&self, image: &RgbImage, how: Resize) -> Result<RgbImage, ImageError> {
        let filter = self.config.resample;
        match (self.config.class, how) {
            (_, Resize::Sides { height, width }) => resize(image, width, height, filter),
            (ProcessorClass::ConvNext { crop_pct }, Resize::ShortestEdge(edge)) => {
                if edge >= 384 {
                    return resize(image, edge, edge, filter);
                }
                let (height, width) = resized_shape(image, (edge as f64 / crop_pct) as usize);
                center_crop(&resize(image, width, height, filter)?, edge, edge)
            }
            (_, Resize::ShortestEdge(edge)) => {
                let (height, width) = resized_shape(image, edge);
                resize(image, width, height, filter)
            }
        }
    }
}

/// Returns `get_resize_output_image_size` for a shortest edge: (height, width).
fn resized_shape(image: &RgbImage, edge: usize) -> (usize, usize) {
    let [short, long] = if image.width() <= image.height() {
        [image.width(), image.height()]
    } else {
        [image.height(), image.width()]
    };
    // `int(edge * long / short)`: the quotient of whole numbers, rounded down.
    let new_long = edge.checked_mul(long).map_or(usize::MAX, |product| product / short.max(1));
    if image.width() <= image.height() { (new_long, edge) } else { (edge, new_long) }
}

/// Applies `center_crop` of image_transforms.py: the crop begins at ⌊(side − crop) / 2⌋, and where that lies
/// outside the image it is black.
fn center_crop(image: &RgbImage, height: usize, width: usize) -> Result<RgbImage, ImageError> {
    let empty = || ImageError::Empty { width, height, step: "cropping" };
    let length = height.checked_mul(width).and_then(|area| area.checked_mul(3)).ok_or_else(empty)?;
    let mut bytes = vec![0; length];
    let rows = overlap(image.height(), height);
    let columns = overlap(image.width(), width);
    let lines = bytes.chunks_exact_mut(width.saturating_mul(3).max(1)).skip(rows.target);
    for (line, row) in lines.zip(image.rows().skip(rows.source)).take(rows.length) {
        let pixels = line.chunks_exact_mut(3).skip(columns.target);
        for (pixel, colour) in pixels.zip(row.chunks_exact(3).skip(columns.source)).take(columns.length) {
            pixel.copy_from_slice(colour);
        }
    }
    RgbImage::new(width, height, bytes).ok_or_else(empty)
}

/// Holds what a crop and a side have in common.
struct Overlap {
    source: usize,
    target: usize,
    length: usize,
}

fn overlap(side: usize, crop: usize) -> Overlap {
    if side >= crop {
        Overlap { source: (side - crop) / 2, target: 0, length: crop }
    } else {
        Overlap { source: 0, target: (crop - side).div_ceil(2), length: side }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_begin_where_python_s_floor_division_says() {
        // Python: (side - crop) // 2
        for (side, crop, start) in [(10, 4, 3), (11, 4, 3), (4, 10, -3), (4, 11, -4), (5, 8, -2)] {
            let overlap = overlap(side, crop);
            assert_eq!(overlap.source as isize - overlap.target as isize, start, "{side}, {crop}");
        }
    }
}
