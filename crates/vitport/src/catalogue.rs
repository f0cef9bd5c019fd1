//! Every published model that vitport has heard of, and what each becomes or why it becomes nothing.

use crate::families::cvt::{PUBLISHED, PUBLISHED_AT, edge_in_name};
use crate::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD};
use crate::zoo::{self, Level, Tag};

/// Classes that the families write.
const WRITTEN: [&str; 2] = ["ViTForImageClassification", "ViTModel"];

/// A model by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownModel {
    /// Its name, with the tag if it has one.
    pub name: String,
    /// The family that converts it, or would.
    pub family: &'static str,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of classes; 0 for a model without a head.
    pub classes: usize,
    /// Height and width of the image, in pixels.
    pub image: [usize; 2],
    /// Mean of each channel, on a 0 to 1 scale.
    pub mean: [f64; 3],
    /// Standard deviation of each channel, on a 0 to 1 scale.
    pub std: [f64; 3],
    /// How images are resized: `bicubic`, `bilinear`, …
    pub interpolation: String,
    /// Part of the resized image's edge that the crop keeps.
    pub crop_pct: f64,
    /// timm's name of the crop mode.
    pub crop_mode: String,
    /// Licence of the weights, where it is stated.
    pub license: Option<String>,
    /// What it becomes.
    pub becomes: Becomes,
    /// What has to be done on the way, or why there is no way.
    pub note: Option<String>,
    /// Where the weights are, if they are published.
    pub published_at: Option<String>,
}

/// What a model becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Becomes {
    /// A transformers class that vitport writes.
    Class(&'static str),
    /// A class that could hold it, which vitport does not write.
    NotYet(&'static str),
    /// Nothing: no class has this structure.
    Nothing,
}

impl Becomes {
    /// Returns what one of timm's tags becomes.
    pub fn of(tag: &'static Tag) -> Self {
        match tag.target.as_deref() {
            Some(class) if tag.level == Level::Logits && WRITTEN.contains(&class) => Self::Class(class),
            Some(class) => Self::NotYet(class),
            None => Self::Nothing,
        }
    }

    /// Returns the class that vitport writes.
    pub fn class(self) -> Option<&'static str> {
        if let Self::Class(class) = self { Some(class) } else { None }
    }

    /// Says why vitport does not write it; `None` if it does.
    pub fn why_not(self) -> Option<String> {
        match self {
            Self::Class(_) => None,
            Self::NotYet(class) => Some(format!("{class} could hold it, not written yet")),
            Self::Nothing => Some("no class in transformers holds it".to_owned()),
        }
    }
}

/// Returns all models: timm's in timm's order, then the others.
pub fn models() -> impl Iterator<Item = KnownModel> {
    zoo::tags().map(of_timm).chain(of_microsoft())
}

fn of_timm(tag: &'static Tag) -> KnownModel {
    let [_, height, width] = tag.input_size;
    KnownModel {
        name: tag.full_name(),
        family: "vit",
        parameters: tag.parameters,
        classes: tag.num_classes,
        image: [height, width],
        mean: tag.mean,
        std: tag.std,
        interpolation: tag.interpolation.clone(),
        crop_pct: tag.crop_pct,
        crop_mode: tag.crop_mode.clone(),
        license: tag.license.clone(),
        becomes: Becomes::of(tag),
        note: tag.note.clone(),
        published_at: if tag.has_weights { tag.hub_id.clone() } else { None },
    }
}

fn of_microsoft() -> impl Iterator<Item = KnownModel> {
    let note = "transformers computes GELU for QuickGELU; --with-exact-code adds the exact network";
    let releases =
        PUBLISHED.iter().flat_map(|known| known.releases.iter().map(|release| (*release, known.parameters)));
    releases.map(move |(release, parameters)| {
        let edge = edge_in_name(release).unwrap_or(224);
        KnownModel {
            name: release.to_owned(),
            family: "cvt",
            parameters,
            classes: 1000,
            image: [usize::try_from(edge).unwrap_or(usize::MAX); 2],
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            interpolation: "bicubic".to_owned(),
            crop_pct: if edge >= 384 { 1.0 } else { DEFAULT_CROP_PCT },
            crop_mode: "center".to_owned(),
            license: None,
            becomes: Becomes::Class("CvtForImageClassification"),
            note: Some(note.to_owned()),
            published_at: Some(PUBLISHED_AT.to_owned()),
        }
    })
}
