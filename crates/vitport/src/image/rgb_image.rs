//! Decodes images: eight bits of red, green and blue. Decoding follows transformers' `load_image`, that is Pillow's
//! `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`: the camera's orientation is applied, no colour profile is, and
//! alpha is dropped. JPEG differs from Pillow's by a few levels, as decoders may (libjpeg smooths colours when enlarging them).

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use super::error::ImageError;
use super::whole::check_end;

/// Limits an image to twice Pillow's `MAX_IMAGE_PIXELS` (a quarter of a gibibyte of RGB): where Pillow raises
/// `DecompressionBombError`.
pub const MOST_PIXELS: usize = 178_956_970;

/// Limits what a decoder may allocate, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// Holds an image in eight-bit RGB, row after row, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl RgbImage {
    /// Makes an image over `bytes`; none when there are not exactly three for each pixel, or no pixels.
    pub fn new(width: usize, height: usize, bytes: Vec<u8>) -> Option<Self> {
        let length = width.checked_mul(height)?.checked_mul(3)?;
        (length == bytes.len() && length > 0).then_some(Self { width, height, bytes })
    }

    /// Decodes a JPEG, PNG or WebP file.
    ///
    /// # Errors
    /// [`ImageError::TooLarge`] above [`MOST_PIXELS`], before anything is decoded;
    /// [`ImageError::Undecodable`] for anything that is not such a file.
    pub fn decode(file: &[u8]) -> Result<Self, ImageError> {
        let undecodable = |error: image::ImageError| ImageError::Undecodable { detail: error.to_string() };
        check_palette(file)?;
        check_end(file)?;
        let mut reader = ImageReader::new(Cursor::new(file))
            .with_guessed_format()
            .map_err(|error| ImageError::Undecodable { detail: error.to_string() })?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(MOST_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(undecodable)?;
        let (width, height) = decoder.dimensions();
        let (width, height) = (as_size(width), as_size(height));
        if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(ImageError::TooLarge { width, height, limit: MOST_PIXELS });
        }
        // Metadata that cannot be read orient nothing.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
        decoded.apply_orientation(orientation);
        let (width, height) = (as_size(decoded.width()), as_size(decoded.height()));
        Self::new(width, height, rgb(decoded)).ok_or(ImageError::Empty { width, height, step: "decoding" })
    }

    /// Returns it in grey, the same number for red, green and blue: Pillow's `convert("L")`.
    pub fn to_grey(&self) -> Self {
        let grey = |pixel: &[u8]| {
            let weights = [19_595_u32, 38_470, 7_471];
            let sum: u32 = pixel.iter().zip(weights).map(|(&byte, weight)| u32::from(byte) * weight).sum();
            [u8::try_from((sum + 0x8000) >> 16).unwrap_or(u8::MAX); 3]
        };
        Self { bytes: self.bytes.chunks_exact(3).flat_map(grey).collect(), ..*self }
    }

    /// Returns the number of pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns red, green and blue of every pixel, row after row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the rows of pixels.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.width.saturating_mul(3).max(1))
    }
}

/// Refuses a PNG whose palette is malformed: png 0.18 indexes beyond its table for one whose length is not a multiple of
/// three or above 256 colours, which the format forbids (PNG specification, 11.2.2).
fn check_palette(file: &[u8]) -> Result<(), ImageError> {
    const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";
    let mut rest = file.strip_prefix(MAGIC).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = as_size(u32::from_be_bytes(*length));
        let is_palette = after.starts_with(b"PLTE");
        if is_palette && (!length.is_multiple_of(3) || length > 3 * 256) {
            let detail = format!("its palette has {length} bytes, which is not a number of colours");
            return Err(ImageError::Undecodable { detail });
        }
        // After the length: four bytes of type, the chunk, four of checksum.
        rest = length.checked_add(8).and_then(|end| after.get(end..)).unwrap_or_default();
    }
    Ok(())
}

fn as_size(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Converts to RGB as Pillow does. Sixteen-bit grey is mode `I;16`, which Pillow clips at 255; of other
/// sixteen-bit images it reads the high byte.
fn rgb(image: DynamicImage) -> Vec<u8> {
    let high = |value: u16| (value >> 8) as u8;
    match image {
        DynamicImage::ImageLuma8(image) => each(&image, |[grey]| [grey; 3]),
        DynamicImage::ImageLumaA8(image) => each(&image, |[grey, _]| [grey; 3]),
        DynamicImage::ImageLuma16(image) => each(&image, |[grey]: [u16; 1]| [grey.min(255) as u8; 3]),
        DynamicImage::ImageLumaA16(image) => each(&image, |[grey, _]| [high(grey); 3]),
        DynamicImage::ImageRgb16(image) => each(&image, |rgb: [u16; 3]| rgb.map(high)),
        DynamicImage::ImageRgba16(image) => each(&image, |[r, g, b, _]| [r, g, b].map(high)),
        other => other.into_rgb8().into_raw(),
    }
}

/// Makes three bytes for each pixel of `CHANNELS` values, in memory that is taken once.
fn each<T: Copy, const CHANNELS: usize>(values: &[T], rgb: impl Fn([T; CHANNELS]) -> [u8; 3]) -> Vec<u8> {
    let pixels = values.as_chunks::<CHANNELS>().0;
    let mut bytes = Vec::with_capacity(pixels.len().saturating_mul(3));
    for pixel in pixels {
        bytes.extend(rgb(*pixel));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_image_are_an_error() {
        for file in [&b""[..], b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff\xe0", &[0; 100]] {
            assert!(matches!(RgbImage::decode(file), Err(ImageError::Undecodable { .. })), "{file:?}");
        }
    }

    #[test]
    fn a_broken_palette_is_an_error() {
        let chunk = |kind: &[u8], data: &[u8]| {
            let body = [kind, data].concat();
            [&(data.len() as u32).to_be_bytes()[..], &body, &crc(&body).to_be_bytes()].concat()
        };
        let image = |colours: &[u8]| {
            let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 3, 0, 0, 0];
            let pixel = b"\x78\x9c\x63\x60\x00\x00\x00\x02\x00\x01";
            let chunks = [chunk(b"IHDR", &header), chunk(b"PLTE", colours), chunk(b"IDAT", pixel)];
            [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat(), &chunk(b"IEND", b"")].concat()
        };
        assert_eq!(RgbImage::decode(&image(&[7, 8, 9])).unwrap().bytes(), [7, 8, 9]);
        for length in [1, 2, 4, 49, 769, 771, 3000] {
            let refused = RgbImage::decode(&image(&vec![1; length]));
            assert!(matches!(refused, Err(ImageError::Undecodable { .. })), "{length}");
        }
    }

    /// Returns the checksum of a PNG chunk.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(
                crc ^ u32::from(*byte),
                |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 },
            )
        })
    }

    /// Returns a JPEG, 40 × 24, its left half black and its right half white.
    fn jpeg() -> Vec<u8> {
        let pixels = image::GrayImage::from_fn(40, 24, |x, _| image::Luma([if x < 20 { 0 } else { 255 }]));
        let mut file = Vec::new();
        pixels.write_to(&mut Cursor::new(&mut file), image::ImageFormat::Jpeg).unwrap();
        file
    }

    #[test]
    fn the_camera_s_orientation_is_applied() {
        // One entry in a little-endian TIFF header: tag 0x0112, a short, 6: rotated by a quarter to the right.
        let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut file = jpeg();
        file.splice(2..2, exif.iter().copied());
        let image = RgbImage::decode(&file).unwrap();
        assert_eq!((image.width(), image.height()), (24, 40));
        let (first, last) = (image.bytes()[0], image.bytes()[24 * 40 * 3 - 1]);
        assert!(first < 10 && last > 245, "{first} {last}");
    }

    #[test]
    fn a_jpeg_that_was_cut_is_an_error() {
        let whole = jpeg();
        assert!(RgbImage::decode(&whole).is_ok());
        assert!(RgbImage::decode(&[&whole[..], b"trailing bytes"].concat()).is_ok());
        for length in 0..whole.len() {
            let cut = RgbImage::decode(&whole[..length]);
            assert!(matches!(cut, Err(ImageError::Undecodable { .. })), "{length} of {}", whole.len());
        }
    }

    #[test]
    fn a_image_has_three_bytes_a_pixel() {
        assert!(RgbImage::new(2, 1, vec![0; 6]).is_some());
        assert!(RgbImage::new(2, 1, vec![0; 5]).is_none());
        assert!(RgbImage::new(0, 1, vec![]).is_none());
        assert!(RgbImage::new(usize::MAX, 3, vec![]).is_none());
    }
}
