//! Reproduces the steps of torchvision's transforms (torchvision 0.29, PIL backend) that timm's and Microsoft's evaluation
//! pipelines are made of: Resize, CenterCrop, ToTensor and Normalize.

use super::error::ImageError;
use super::resize::{Filter, resize};
use super::rgb_image::{MOST_PIXELS, RgbImage};
use vitport_nn::Pixels;

/// Holds (height, width), the order of torchvision.
pub(super) type Size = (usize, usize);

/// Computes `Resize(size)` with a single number: the shorter side becomes `short`, the longer one ⌊short · long side / short
/// side⌋ (`_compute_resized_output_size`).
pub(super) fn resize_shorter_side(
    image: &RgbImage,
    short: usize,
    filter: Filter,
) -> Result<RgbImage, ImageError> {
    let (width, height) = (image.width(), image.height());
    let longer = |long: usize, side: usize| {
        short.checked_mul(long).and_then(|product| product.checked_div(side)).unwrap_or(usize::MAX)
    };
    let (new_width, new_height) =
        if width <= height { (short, longer(height, width)) } else { (longer(width, height), short) };
    resize(image, new_width, new_height, filter)
}

/// Says where the centre of an image lies when what is cut off cannot be halved. It is all that the cropping of torchvision and
/// that of transformers' PIL backend differ in, and shifts the crop by one pixel where 3, 7, 11 … pixels are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CropRounding {
    /// Halves to even, as Python's `round` in torchvision's `center_crop`.
    HalfToEven,
    /// Rounds down, as `center_crop` of transformers' image_transforms.py.
    Down,
}

/// Computes `CenterCrop(size)`, and timm's `CenterCropOrPad` with a fill: an image smaller than the crop is padded, the odd
/// pixel to the right and below.
pub(super) fn centre_crop(
    image: &RgbImage,
    size: Size,
    fill: [u8; 3],
    rounding: CropRounding,
) -> Result<RgbImage, ImageError> {
    let (height, width) = size;
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        return Err(ImageError::TooLarge { width, height, limit: MOST_PIXELS });
    }
    let (top, left) = (offset(image.height(), height, rounding), offset(image.width(), width, rounding));
    let source_rows: Vec<&[u8]> = image.rows().collect();
    let source = |row: &[u8], column: usize| -> Option<[u8; 3]> {
        let column = column.checked_add_signed(left)?;
        row.chunks_exact(3).nth(column)?.try_into().ok()
    };
    let bytes = (0..height)
        .flat_map(|row| {
            let row = row.checked_add_signed(top).and_then(|row| source_rows.get(row));
            (0..width).flat_map(move |column| row.and_then(|row| source(row, column)).unwrap_or(fill))
        })
        .collect();
    RgbImage::new(width, height, bytes).ok_or(ImageError::Empty { width, height, step: "cropping" })
}

/// Returns where a crop begins: `int(round((side − crop) / 2))`, which rounds halves to even, or before the
/// image by ⌊(crop − side) / 2⌋.
fn offset(side: usize, crop: usize, rounding: CropRounding) -> isize {
    let spare = side.abs_diff(crop);
    let half = spare / 2;
    let rounded = if side >= crop && spare % 4 == 3 && rounding == CropRounding::HalfToEven {
        half.saturating_add(1)
    } else {
        half
    };
    let offset = isize::try_from(rounded).unwrap_or(isize::MAX);
    if side >= crop { offset } else { -offset }
}

/// Computes `ToTensor()` and `Normalize(mean, std)`: (byte / 255 − mean) / std, each step in float32.
pub(super) fn to_normalised_tensor(
    image: &RgbImage,
    mean: [f64; 3],
    std: [f64; 3],
) -> Result<Pixels, ImageError> {
    let values = mean
        .into_iter()
        .zip(std)
        .enumerate()
        .flat_map(|(channel, (mean, std))| {
            let (mean, std) = (mean as f32, std as f32);
            image
                .bytes()
                .iter()
                .skip(channel)
                .step_by(3)
                .map(move |&byte| (f32::from(byte) / 255.0 - mean) / std)
        })
        .collect();
    let (width, height) = (image.width(), image.height());
    Pixels::new(height, width, values).ok_or(ImageError::Empty { width, height, step: "normalising" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_to_even() {
        // Python: [int(round(d / 2)) for d in range(8)]
        let offsets: Vec<isize> =
            (0..8).map(|spare| offset(10 + spare, 10, CropRounding::HalfToEven)).collect();
        assert_eq!(offsets, [0, 0, 1, 2, 2, 2, 3, 4]);
        assert_eq!(offset(7, 10, CropRounding::HalfToEven), -1);
    }
}
