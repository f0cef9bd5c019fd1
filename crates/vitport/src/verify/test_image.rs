//! Opens the image that both networks look at, and makes others of it so that preprocessing is tried on other shapes too.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use vitport_checkpoint::open_regular;

use super::VerifyError;
use super::report::ImageReport;
use crate::image::RgbImage;

/// Holds the built-in image, painted by `data/image/make.py`.
const BUILT_IN: &[u8] = include_bytes!("../../data/image/harbour.png");

/// Limits the bytes that an image's file may have.
const MAX_BYTES: u64 = 256 << 20;

/// Holds a decoded image and what is reported of it.
#[derive(Debug, Clone)]
pub struct TestImage {
    /// Holds its pixels.
    pub decoded: RgbImage,
    /// Holds its file, for the report's page.
    pub encoded: Vec<u8>,
    /// Holds what the report says of it.
    pub report: ImageReport,
}

impl TestImage {
    /// Returns the image that vitport has with it: a harbour, 400 × 300, with edges, texture and colours.
    ///
    /// # Errors
    /// Never, unless the build was tampered with.
    pub fn built_in() -> Result<Self, VerifyError> {
        Self::decode(BUILT_IN.to_vec(), "built-in image".to_owned())
    }

    /// Opens a JPEG, PNG or WebP file.
    ///
    /// # Errors
    /// [`VerifyError::ImageFile`] if it cannot be read or decoded.
    pub fn open(path: &Path) -> Result<Self, VerifyError> {
        let name = path.display().to_string();
        match open_regular(path) {
            Ok(file) => Self::read(file, name),
            Err(error) => Err(VerifyError::ImageFile {
                path: name,
                reason: format!("{error}; give a JPEG, PNG or WebP file"),
            }),
        }
    }

    /// Reads an open file, under the name that reports and errors are to show, such as the address it came from.
    ///
    /// # Errors
    /// As [`TestImage::open`].
    pub fn read(file: File, name: String) -> Result<Self, VerifyError> {
        let mut encoded = Vec::new();
        match file.take(MAX_BYTES + 1).read_to_end(&mut encoded) {
            Err(error) => Err(VerifyError::ImageFile {
                path: name,
                reason: format!("{error}; give a JPEG, PNG or WebP file"),
            }),
            Ok(count) if count as u64 > MAX_BYTES => Err(VerifyError::ImageFile {
                path: name,
                reason: format!("it has more than {MAX_BYTES} bytes; give a smaller image"),
            }),
            Ok(_) => Self::decode(encoded, name),
        }
    }

    fn decode(encoded: Vec<u8>, name: String) -> Result<Self, VerifyError> {
        let decoded = match RgbImage::decode(&encoded) {
            Ok(decoded) => decoded,
            Err(error) => return Err(VerifyError::ImageFile { path: name, reason: error.to_string() }),
        };
        let sha256 = Sha256::digest(&encoded).iter().map(|byte| format!("{byte:02x}")).collect();
        let report = ImageReport { name, width: decoded.width(), height: decoded.height(), sha256 };
        Ok(Self { decoded, encoded, report })
    }

    /// Makes two other images of this one: on its side, so that a wide one is also seen high, and a small part of its
    /// middle, which has to be enlarged.
    pub(super) fn variations(&self) -> Vec<(&'static str, RgbImage)> {
        let (width, height) = (self.decoded.width(), self.decoded.height());
        let pixels: Vec<&[u8]> = self.decoded.bytes().chunks_exact(3).collect();
        let at = |row: usize, column: usize| pixels.get(row * width + column).copied().unwrap_or(&[0; 3]);
        let transposed =
            (0..width).flat_map(|row| (0..height).flat_map(move |column| at(column, row).to_vec()));
        let (rows, columns) = ((height / 5).max(1), (width / 3).max(1));
        let (top, left) = ((height - rows) / 2, (width - columns) / 2);
        let part = (top..top + rows)
            .flat_map(|row| (left..left + columns).flat_map(move |column| at(row, column).to_vec()));
        let made = [
            ("image on its side", RgbImage::new(height, width, transposed.collect())),
            ("middle of the image", RgbImage::new(columns, rows, part.collect())),
        ];
        made.into_iter().filter_map(|(name, decoded)| Some((name, decoded?))).collect()
    }
}
