//! A decoded picture: eight bits of red, green and blue. Decoding follows Pillow's
//! `Image.open(file).convert("RGB")`: no orientation is applied, no colour profile, and alpha is dropped.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::error::ImageError;

/// Twice Pillow's `MAX_IMAGE_PIXELS` (a quarter of a gibibyte of RGB): where Pillow raises
/// `DecompressionBombError`.
pub const MOST_PIXELS: usize = 178_956_970;

/// What a decoder may allocate.
const MOST_BYTES: u64 = 1 << 30;

/// A picture in eight-bit RGB, row after row, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl Picture {
    /// A picture over `bytes`; none when there are not exactly three for each pixel, or no pixels.
    pub fn new(width: usize, height: usize, bytes: Vec<u8>) -> Option<Self> {
        let length = width.checked_mul(height)?.checked_mul(3)?;
        (length == bytes.len() && length > 0).then_some(Self { width, height, bytes })
    }

    /// Decodes a JPEG, PNG or WebP file.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`] above [`MOST_PIXELS`], before anything is decoded;
    /// [`ImageError::Undecodable`] for anything that is no such file.
    pub fn decode(file: &[u8]) -> Result<Self, ImageError> {
        let undecodable = |error: image::ImageError| ImageError::Undecodable { detail: error.to_string() };
        let mut reader = ImageReader::new(Cursor::new(file))
            .with_guessed_format()
            .map_err(|error| ImageError::Undecodable { detail: error.to_string() })?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(undecodable)?;
        let (width, height) = decoder.dimensions();
        let (width, height) = (as_size(width), as_size(height));
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(ImageError::TooLarge { width, height, limit: MOST_PIXELS });
        }
        let decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
        Self::new(width, height, rgb(decoded)).ok_or(ImageError::Empty { width, height, step: "decoding" })
    }

    /// Pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green and blue of every pixel, row after row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Rows of pixels.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.width.saturating_mul(3).max(1))
    }
}

fn as_size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Pillow's conversion to RGB. Sixteen-bit grey is mode `I;16`, which Pillow clips at 255; of other
/// sixteen-bit pictures it reads the high byte.
fn rgb(image: DynamicImage) -> Vec<u8> {
    let grey = |value: u8| [value; 3];
    let high = |value: u16| (value >> 8) as u8;
    match image {
        DynamicImage::ImageLuma8(image) => image.pixels().flat_map(|pixel| grey(pixel.0[0])).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|pixel| grey(pixel.0[0])).collect(),
        DynamicImage::ImageLuma16(image) => {
            image.pixels().flat_map(|pixel| grey(pixel.0[0].min(255) as u8)).collect()
        }
        DynamicImage::ImageLumaA16(image) => {
            image.pixels().flat_map(|pixel| grey(high(pixel.0[0]))).collect()
        }
        DynamicImage::ImageRgb16(image) => image.pixels().flat_map(|pixel| pixel.0.map(high)).collect(),
        DynamicImage::ImageRgba16(image) => {
            image.pixels().flat_map(|pixel| pixel.0.map(high).into_iter().take(3)).collect()
        }
        other => other.into_rgb8().into_raw(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_picture_are_an_error() {
        for file in [&b""[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", &[0; 100]] {
            assert!(matches!(Picture::decode(file), Err(ImageError::Undecodable { .. })), "{file:?}");
        }
    }

    #[test]
    fn a_picture_has_three_bytes_a_pixel() {
        assert!(Picture::new(2, 1, vec![0; 6]).is_some());
        assert!(Picture::new(2, 1, vec![0; 5]).is_none());
        assert!(Picture::new(0, 1, vec![]).is_none());
        assert!(Picture::new(usize::MAX, 3, vec![]).is_none());
    }
}
