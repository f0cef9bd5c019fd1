//! Networks for images of other than three channels: what of their preprocessing transformers can do.
//!
//! Seen in transformers 4.57.6 and 5.23.0: with one mean, one standard deviation and `do_convert_rgb` off, ViTImageProcessor,
//! CLIPImageProcessor and ConvNextImageProcessor make one channel of an array [height, width, 1] or [1, height, width]. Version 5 does
//! so of a grey image (Pillow's mode "L"), too; version 4 only with its `Fast` classes. No processor makes any other number of channels
//! of an image file.

use serde_json::{Value, json};

use crate::facts::{Fact, FactError, Facts, Origin, Question};
use crate::frameworks::{Preparation, Transform};
use crate::image::DirectPixels;
use crate::options::FactOptions;

/// Names the questions that nobody needs to answer where no image processor is written.
pub(super) const OF_PREPROCESSING: [&str; 5] = ["preprocessing", "mean", "std", "crop_pct", "crop_mode"];

/// Refuses channels that no image processor makes, unless none is to be written.
///
/// # Errors
/// Returns [`FactError::NoTarget`].
pub(super) fn check(facts: &Facts, options: &FactOptions, family: &str) -> Result<(), FactError> {
    let Some(known) = facts.get("in_chans") else { return Ok(()) };
    match known.value.as_u64() {
        Some(1 | 3) | None => Ok(()),
        _ if options.without_processor => Ok(()),
        Some(channels) => Err(FactError::NoTarget {
            what: format!("{family} for images of {channels} channels"),
            why: "the image processors of transformers make one channel or three".to_owned(),
            tensor: match &known.origin {
                Origin::Weights(tensor) => Some(tensor.clone()),
                _ => None,
            },
            instead: "give --no-processor for a folder without preprocessor_config.json".to_owned(),
        }),
    }
}

/// Returns the preparation of images of so many channels, 1 or 3.
///
/// # Errors
/// Returns [`FactError::Contradiction`] for an option with three numbers for one channel, and [`FactError::Questions`] where three
/// come from elsewhere.
pub(super) fn of_channels(mut preparation: Preparation, channels: u64) -> Result<Preparation, FactError> {
    if channels != 1 {
        return Ok(preparation);
    }
    let mut open = Vec::new();
    for fact in &mut preparation.facts {
        let option = match fact.name {
            "mean" => "--mean",
            "std" => "--std",
            _ => continue,
        };
        let numbers = fact.value.as_array().cloned().unwrap_or_default();
        let Some((first, others)) = numbers.split_first() else { continue };
        if others.iter().all(|other| other == first) {
            fact.value = json!([first]);
        } else if matches!(fact.origin, Origin::Option(_)) {
            let given = format!("{option} {}", fact.shown());
            return Err(FactError::contradiction(given, "its images have one channel; give one number"));
        } else {
            let (name, shown, origin) = (fact.name, fact.shown(), &fact.origin);
            let what =
                format!("the images have one channel, and the {name} is {shown} according to {origin}");
            open.push(Question::new(name, what, option, "NUMBER"));
        }
    }
    if !open.is_empty() {
        return Err(FactError::questions(open));
    }
    let transform = Transform::Grey(Box::new(preparation.transform));
    Ok(Preparation { transform, is_grey: true, ..preparation })
}

/// Returns pixels made directly, for a network of these facts; none if the size of its image is not known.
pub(super) fn direct(facts: &Facts) -> Option<DirectPixels> {
    let [height, width] = facts.pair("img_size").or_else(|| facts.pair("image_size"))?;
    let shape = [facts.number("in_chans").unwrap_or(3), height, width];
    Some(DirectPixels { shape: shape.map(|edge| usize::try_from(edge).unwrap_or(usize::MAX)) })
}

/// Returns that no image processor is written, as facts have it.
pub(super) fn no_processor() -> Fact {
    Fact::new("image processor", Value::from("none"), Origin::Request("--no-processor"))
}
