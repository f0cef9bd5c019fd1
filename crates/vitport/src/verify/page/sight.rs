//! Shows what both networks looked at and what each of them saw in it.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

use super::super::{Guess, TestImage};
use super::numbers;

/// Limits an image's file: one of up to so many bytes is put into the page as it is.
const MOST_BYTES: usize = 1 << 20;

/// Gives the longer edge of the smaller copy that stands for a larger file, and its JPEG quality.
const COPY_EDGE: u32 = 800;
const COPY_QUALITY: u8 = 85;

/// Limits the letters of a label that are shown.
const MOST_LETTERS: usize = 120;

/// Describes an image as an address that holds it.
pub struct ShownImage {
    /// Holds `data:…`.
    pub address: String,
    /// Says whether that is the file itself, and not a smaller copy.
    pub is_the_file: bool,
}

/// Describes a class that a network thinks probable.
pub struct GuessRow {
    /// Gives its name, cut where it is long.
    pub label: String,
    /// Gives its index.
    pub class: usize,
    /// Says whether the other side has another class at this rank.
    pub is_other: bool,
    /// Gives the length of its bar in per cent, a finite number.
    pub share: String,
    /// Gives its probability, for people.
    pub probability: String,
}

/// Returns one side's most probable classes, compared with the other side's.
pub fn guess_rows(guesses: &[Guess], others: &[Guess]) -> Vec<GuessRow> {
    let row = |(rank, guess): (usize, &Guess)| {
        let is_same = |other: &Guess| other.class == guess.class && other.label == guess.label;
        let share = if guess.probability.is_finite() { guess.probability.clamp(0.0, 1.0) } else { 0.0 };
        GuessRow {
            label: shortened(&guess.label),
            class: guess.class,
            is_other: !others.get(rank).is_some_and(is_same),
            share: format!("{:.2}", share * 100.0),
            probability: numbers::percent(guess.probability),
        }
    };
    guesses.iter().enumerate().map(row).collect()
}

impl ShownImage {
    /// Embeds an image's file where it is small and of a kind that browsers show, otherwise a smaller copy.
    pub fn new(image: &TestImage) -> Option<Self> {
        let file = &image.encoded;
        if let Some(kind) = kind(file).filter(|_| file.len() <= MOST_BYTES) {
            return Some(Self { address: address(kind, file), is_the_file: true });
        }
        let (width, height) = (image.decoded.width(), image.decoded.height());
        let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
        let pixels = RgbImage::from_raw(width, height, image.decoded.bytes().to_vec())?;
        let shrink = f64::from(COPY_EDGE) / f64::from(width.max(height).max(1));
        let edge = |length: u32| ((f64::from(length) * shrink.min(1.0)).round() as u32).max(1);
        let copy = imageops::thumbnail(&pixels, edge(width), edge(height));
        let mut encoded = Cursor::new(Vec::new());
        copy.write_with_encoder(JpegEncoder::new_with_quality(&mut encoded, COPY_QUALITY)).ok()?;
        Some(Self { address: address("image/jpeg", encoded.get_ref()), is_the_file: false })
    }
}

fn address(kind: &str, file: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(file))
}

/// Returns an image file's media type by its first bytes.
fn kind(file: &[u8]) -> Option<&'static str> {
    match file {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn shortened(label: &str) -> String {
    match label.char_indices().nth(MOST_LETTERS) {
        Some((end, _)) => format!("{}…", label.get(..end).unwrap_or_default()),
        None => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::RgbImage;

    #[test]
    fn a_small_file_is_embedded_as_it_is() {
        let image = TestImage::built_in().unwrap();
        let ShownImage { address, is_the_file } = ShownImage::new(&image).unwrap();
        assert!(is_the_file);
        let encoded = address.strip_prefix("data:image/png;base64,").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), image.encoded);
    }

    #[test]
    fn a_large_file_is_shown_as_a_smaller_copy() {
        let mut image = TestImage::built_in().unwrap();
        image.decoded = RgbImage::new(1600, 20, vec![200; 1600 * 20 * 3]).unwrap();
        image.encoded.resize(MOST_BYTES + 1, 0);
        let ShownImage { address, is_the_file } = ShownImage::new(&image).unwrap();
        assert!(!is_the_file);
        let copy = STANDARD.decode(address.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        let copy = RgbImage::decode(&copy).unwrap();
        assert_eq!((copy.width(), copy.height()), (800, 10));
    }

    #[test]
    fn long_labels_are_cut_between_letters() {
        assert_eq!(shortened("größe"), "größe");
        assert_eq!(shortened(&"ö".repeat(500)), format!("{}…", "ö".repeat(MOST_LETTERS)));
    }
}
