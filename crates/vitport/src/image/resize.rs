//! Reproduces Pillow's resampling to the last bit (src/libImaging/Resample.c and Geometry.c, 13.0): an antialiasing
//! kernel stretched by the reduction, coefficients in fixed point with 22 fractional bits, and rounding to eight bits after
//! each pass. The horizontal pass comes first unless the height shrinks by more than twice as many pixels as the width (so
//! since Pillow 13; before, always).

use std::borrow::Cow;

use rayon::prelude::*;

use super::error::ImageError;
use super::rgb_image::{MOST_PIXELS, RgbImage};

/// Names a resampling filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Takes the nearest pixel, without antialiasing.
    Nearest,
    /// Takes the mean over the area of an output pixel.
    Box,
    /// Weights the pixels by a triangle.
    Bilinear,
    /// Weights the pixels by a cosine window on the sinc, one pixel to each side.
    Hamming,
    /// Weights the pixels by the cubic convolution kernel with a = −1/2 (Keys 1981, "Cubic convolution interpolation").
    Bicubic,
    /// Weights the pixels by a sinc windowed by a sinc, three pixels to each side.
    Lanczos,
}

impl Filter {
    /// Returns the filter with Pillow's number (`PIL.Image.Resampling`), as `resample` in preprocessor_config.json
    /// has it.
    pub fn from_pillow_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            4 => Self::Box,
            5 => Self::Hamming,
            _ => return None,
        })
    }

    /// Returns the filter's number: the inverse of [`Filter::from_pillow_number`].
    pub fn pillow_number(self) -> u64 {
        match self {
            Self::Nearest => 0,
            Self::Lanczos => 1,
            Self::Bilinear => 2,
            Self::Bicubic => 3,
            Self::Box => 4,
            Self::Hamming => 5,
        }
    }

    /// Returns the filter that has timm's and torchvision's name for the filter, as `interpolation` in a pretrained config.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "nearest" => Self::Nearest,
            "lanczos" => Self::Lanczos,
            "bilinear" => Self::Bilinear,
            "bicubic" => Self::Bicubic,
            "box" => Self::Box,
            "hamming" => Self::Hamming,
            _ => return None,
        })
    }

    /// Returns the filter's name: the inverse of [`Filter::from_name`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Lanczos => "lanczos",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Box => "box",
            Self::Hamming => "hamming",
        }
    }

    /// Returns how far the kernel reaches to each side, in pixels of the coarser image.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Hamming if x == 0.0 => 1.0,
            Self::Hamming if x.abs() >= 1.0 => 0.0,
            Self::Hamming => {
                let angle = x.abs() * std::f64::consts::PI;
                angle.sin() / angle * (0.54 + 0.46 * angle.cos())
            }
            Self::Bicubic => cubic(x.abs()),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// Computes the cubic kernel in Horner's form with the operations in Pillow's order, so that the last bit agrees.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * std::f64::consts::PI;
    angle.sin() / angle
}

/// Resizes to `width` × `height`, as `PIL.Image.resize((width, height), filter)`.
///
/// # Errors
/// [`ImageError::Empty`] for a size of zero, [`ImageError::TooLarge`] for one beyond [`MOST_PIXELS`].
pub fn resize(image: &RgbImage, width: usize, height: usize, filter: Filter) -> Result<RgbImage, ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height, step: "resizing" });
    }
    let (old_width, old_height) = (image.width(), image.height());
    let vertical_first = old_height > height
        && (old_width <= width || old_height - height > (old_width - width).saturating_mul(2));
    let between = if vertical_first { (old_width, height) } else { (width, old_height) };
    for (width, height) in [(width, height), between] {
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(ImageError::TooLarge { width, height, limit: MOST_PIXELS });
        }
    }
    let bytes = Cow::Borrowed(image.bytes());
    let resized = if filter == Filter::Nearest && (width, height) != (old_width, old_height) {
        nearest(image, width, height)
    } else if vertical_first {
        let high = vertical(bytes, old_width, old_height, height, filter);
        horizontal(high, old_width, width, filter).into_owned()
    } else {
        let wide = horizontal(bytes, old_width, width, filter);
        vertical(wide, width, old_height, height, filter).into_owned()
    };
    RgbImage::new(width, height, resized).ok_or(ImageError::Empty { width, height, step: "resizing" })
}

/// Gives the fractional bits of a coefficient: eight bits of colour and two of headroom in 32.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// Says which input pixels one output pixel is made of.
struct Taps {
    first: usize,
    coefficients: Vec<i32>,
}

impl Taps {
    /// Makes the taps for each of `output` pixels along a side of `input` pixels (`precompute_coeffs`).
    fn all(input: usize, output: usize, filter: Filter) -> Vec<Self> {
        let scale = input as f64 / output as f64;
        let widening = scale.max(1.0);
        let support = filter.support() * widening;
        let inverse = 1.0 / widening;
        (0..output)
            .map(|pixel| {
                let centre = (pixel as f64 + 0.5) * scale;
                // Both casts truncate towards zero and saturate, as in C within range.
                let first = (centre - support + 0.5).max(0.0) as usize;
                let end = ((centre + support + 0.5) as usize).min(input);
                let weights: Vec<f64> = (first..end)
                    .map(|position| filter.weight((position as f64 - centre + 0.5) * inverse))
                    .collect();
                let sum: f64 = weights.iter().sum();
                let coefficients = weights.into_iter().map(|weight| fixed_point(weight, sum)).collect();
                Self { first, coefficients }
            })
            .collect()
    }
}

/// Computes `normalize_coeffs_8bpc`: rounds half away from zero.
fn fixed_point(weight: f64, sum: f64) -> i32 {
    let normalised = if sum == 0.0 { weight } else { weight / sum };
    (normalised * f64::from(1 << PRECISION_BITS) + 0.5_f64.copysign(normalised)) as i32
}

/// Computes `clip8`.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Makes every row `width` pixels long.
fn horizontal(bytes: Cow<'_, [u8]>, old_width: usize, width: usize, filter: Filter) -> Cow<'_, [u8]> {
    if width == old_width {
        return bytes;
    }
    let taps = Taps::all(old_width, width, filter);
    let (pixels, _) = bytes.as_chunks::<3>();
    let mut out = vec![[0_u8; 3]; (pixels.len() / old_width.max(1)).saturating_mul(width)];
    let rows = pixels.par_chunks_exact(old_width.max(1));
    out.par_chunks_exact_mut(width.max(1)).zip(rows).for_each(|(out, row)| {
        for (pixel, taps) in out.iter_mut().zip(&taps) {
            let mut sums = [HALF; 3];
            let window = row.get(taps.first..).unwrap_or_default();
            for (colours, coefficient) in window.iter().zip(&taps.coefficients) {
                let [red, green, blue] = colours.map(|colour| i32::from(colour).wrapping_mul(*coefficient));
                sums = [sums[0].wrapping_add(red), sums[1].wrapping_add(green), sums[2].wrapping_add(blue)];
            }
            *pixel = sums.map(to_byte);
        }
    });
    out.into_flattened().into()
}

/// Makes `height` rows of `old_height`.
fn vertical(
    bytes: Cow<'_, [u8]>,
    width: usize,
    old_height: usize,
    height: usize,
    filter: Filter,
) -> Cow<'_, [u8]> {
    if height == old_height {
        return bytes;
    }
    let taps = Taps::all(old_height, height, filter);
    let stride = width.saturating_mul(3).max(1);
    let mut out = vec![0; height.saturating_mul(stride)];
    out.par_chunks_exact_mut(stride).zip(&taps).for_each(|(out, taps)| {
        let mut sums = vec![HALF; stride];
        let window = bytes.chunks_exact(stride).skip(taps.first);
        for (row, coefficient) in window.zip(&taps.coefficients) {
            for (sum, &colour) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(i32::from(colour).wrapping_mul(*coefficient));
            }
        }
        for (byte, sum) in out.iter_mut().zip(sums) {
            *byte = to_byte(sum);
        }
    });
    out.into()
}

/// Computes `ImagingScaleAffine`, whose positions are summed up step by step.
fn nearest(image: &RgbImage, width: usize, height: usize) -> Vec<u8> {
    let positions = |input: usize, output: usize| {
        let step = input as f64 / output as f64;
        std::iter::successors(Some(step * 0.5), move |position| Some(position + step))
            .take(output)
            .map(move |position| (position as usize).min(input.saturating_sub(1)))
    };
    let columns: Vec<usize> = positions(image.width(), width).collect();
    let rows: Vec<&[u8]> = image.rows().collect();
    positions(image.height(), height)
        .filter_map(|row| rows.get(row))
        .flat_map(|row| columns.iter().filter_map(|column| row.chunks_exact(3).nth(*column)))
        .flatten()
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for number in 0..6 {
            let filter = Filter::from_pillow_number(number).unwrap();
            assert_eq!(filter.pillow_number(), number);
            assert_eq!(Filter::from_name(filter.name()), Some(filter));
        }
        assert_eq!(Filter::from_pillow_number(6), None);
        assert_eq!(Filter::from_name("cubic"), None);
    }

    #[test]
    fn sizes_without_pixels_or_beyond_memory_are_errors() {
        let image = RgbImage::new(1, 2, vec![7; 6]).unwrap();
        assert!(matches!(resize(&image, 0, 5, Filter::Box), Err(ImageError::Empty { .. })));
        for (width, height) in [(usize::MAX, 2), (1, usize::MAX), (20_000, 20_000), (100_000_000, 2)] {
            let error = resize(&image, width, height, Filter::Bicubic);
            assert!(matches!(error, Err(ImageError::TooLarge { .. })), "{width} × {height}");
        }
    }

    #[test]
    fn one_colour_stays_one_colour() {
        let image = RgbImage::new(5, 9, [10, 200, 255].repeat(45)).unwrap();
        for number in 0..6 {
            let filter = Filter::from_pillow_number(number).unwrap();
            let resized = resize(&image, 13, 4, filter).unwrap();
            assert!(resized.bytes().chunks_exact(3).all(|pixel| pixel == [10, 200, 255]), "{filter:?}");
        }
    }
}
