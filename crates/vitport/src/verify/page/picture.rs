//! What both networks looked at and what each of them saw in it.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};

use super::super::{Guess, Picture, Report};
use super::markup::Markup;
use super::numbers;

/// A picture's file of up to so many bytes is put into the page as it is.
const MOST_BYTES: usize = 1 << 20;

/// Longer edge of the smaller copy that stands for a larger file, and its JPEG quality.
const COPY_EDGE: u32 = 800;
const COPY_QUALITY: u8 = 85;

/// Letters of a label that are shown.
const MOST_LETTERS: usize = 120;

/// The picture and both top fives.
pub fn sight(page: &mut Markup, report: &Report, picture: &Picture) {
    page.element("div", &[("class", "sight")], |sight| {
        shown_picture(sight, report, picture);
        if report.source_top5.is_empty() && report.target_top5.is_empty() {
            let text = "This model has no classifier, so there are no classes to name; hidden states and pooled output are \
                        compared below.";
            sight.words("p", &[], text);
            return;
        }
        top_five(sight, "Source", &report.source_top5, &report.target_top5);
        top_five(sight, "Target", &report.target_top5, &report.source_top5);
    });
}

fn shown_picture(page: &mut Markup, report: &Report, picture: &Picture) {
    let told = &report.picture;
    let embedded = embed(picture);
    page.element("figure", &[("class", "picture")], |figure| {
        if let Some((address, _)) = &embedded {
            let (width, height) = (told.width.to_string(), told.height.to_string());
            let alt = format!("The picture that both networks looked at: {}", told.name);
            figure.void("img", &[("src", address), ("width", &width), ("height", &height), ("alt", &alt)]);
        }
        figure.element("figcaption", &[], |caption| {
            caption.foreign(&told.name);
            caption.text(&format!(", {} × {} pixels", told.width, told.height));
            caption.text(match embedded {
                Some((_, true)) => "; the file itself",
                Some((_, false)) => "; a smaller copy",
                None => "; it cannot be shown here",
            });
            caption.text(". sha256 ");
            caption.code(&told.sha256);
        });
    });
}

/// The picture as an address that holds it, and whether that is the file itself.
fn embed(picture: &Picture) -> Option<(String, bool)> {
    let file = &picture.encoded;
    if let Some(kind) = kind(file).filter(|_| file.len() <= MOST_BYTES) {
        return Some((address(kind, file), true));
    }
    let (width, height) = (picture.pixmap.width(), picture.pixmap.height());
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    let pixels = RgbImage::from_raw(width, height, picture.pixmap.bytes().to_vec())?;
    let shrink = f64::from(COPY_EDGE) / f64::from(width.max(height).max(1));
    let edge = |length: u32| ((f64::from(length) * shrink.min(1.0)).round() as u32).max(1);
    let copy = imageops::thumbnail(&pixels, edge(width), edge(height));
    let mut encoded = Cursor::new(Vec::new());
    copy.write_with_encoder(JpegEncoder::new_with_quality(&mut encoded, COPY_QUALITY)).ok()?;
    Some((address("image/jpeg", encoded.get_ref()), false))
}

fn address(kind: &str, file: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(file))
}

/// A picture file's media type by its first bytes.
fn kind(file: &[u8]) -> Option<&'static str> {
    match file {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

fn top_five(page: &mut Markup, side: &str, guesses: &[Guess], others: &[Guess]) {
    page.element("table", &[("class", "guesses")], |table| {
        table.words("caption", &[], &format!("{side}: most probable classes"));
        table.element("thead", &[], |head| {
            head.element("tr", &[], |row| {
                row.words("th", &[("scope", "col")], "Class");
                row.words("th", &[("scope", "col"), ("class", "number")], "Probability");
            });
        });
        table.element("tbody", &[], |body| {
            for (rank, guess) in guesses.iter().enumerate() {
                let other = others.get(rank);
                let is_other =
                    other.is_none_or(|other| other.class != guess.class || other.label != guess.label);
                guess_row(body, guess, is_other);
            }
        });
    });
}

fn guess_row(body: &mut Markup, guess: &Guess, is_other: bool) {
    body.element("tr", if is_other { &[("class", "odd")] } else { &[] }, |row| {
        row.element("th", &[("scope", "row")], |name| {
            name.foreign(&shortened(&guess.label));
            name.words("small", &[], &format!(" class {}", guess.class));
            if is_other {
                name.words("small", &[("class", "mark")], " ≠ other side");
            }
            let share = if guess.probability.is_finite() { guess.probability.clamp(0.0, 1.0) } else { 0.0 };
            let style = format!("width:{:.2}%", share * 100.0);
            name.element("div", &[("class", "bar"), ("aria-hidden", "true")], |bar| {
                bar.words("div", &[("style", &style)], "");
            });
        });
        row.words("td", &[("class", "number")], &numbers::percent(guess.probability));
    });
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
    use crate::image::Picture as Pixmap;

    #[test]
    fn a_small_file_is_embedded_as_it_is() {
        let picture = Picture::built_in().unwrap();
        let (address, is_the_file) = embed(&picture).unwrap();
        assert!(is_the_file);
        let encoded = address.strip_prefix("data:image/png;base64,").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), picture.encoded);
    }

    #[test]
    fn a_large_file_is_shown_as_a_smaller_copy() {
        let mut picture = Picture::built_in().unwrap();
        picture.pixmap = Pixmap::new(1600, 20, vec![200; 1600 * 20 * 3]).unwrap();
        picture.encoded.resize(MOST_BYTES + 1, 0);
        let (address, is_the_file) = embed(&picture).unwrap();
        assert!(!is_the_file);
        let copy = STANDARD.decode(address.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        let copy = Pixmap::decode(&copy).unwrap();
        assert_eq!((copy.width(), copy.height()), (800, 10));
    }

    #[test]
    fn long_labels_are_cut_between_letters() {
        assert_eq!(shortened("größe"), "größe");
        assert_eq!(shortened(&"ö".repeat(500)), format!("{}…", "ö".repeat(MOST_LETTERS)));
    }
}
