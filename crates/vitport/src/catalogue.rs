//! Every published model that vitport has heard of, and what each becomes or why it becomes nothing.

use crate::frameworks::microsoft::{PUBLISHED, PUBLISHED_AT, edge_in_name};
use crate::frameworks::timm;
use crate::frameworks::timm::registry::{self, Exactness, Tag};
use crate::mapping::{self, TensorValues, route};
use crate::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD};

/// A model by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownModel {
    /// Its name, with the tag if it has one.
    pub name: String,
    /// The family that converts it, or would: `vit`, `cvt`, or timm's module.
    pub family: &'static str,
    /// timm's module that defines it.
    pub module: Option<&'static str>,
    /// How much of it the class could hold, where that was examined.
    pub exactness: Option<Exactness>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Becomes {
    /// A transformers class that vitport writes.
    Class(String),
    /// A class that could hold it, which vitport does not write.
    NotYet(String),
    /// Nothing: no class has this structure.
    Nothing,
    /// Nobody has examined which class could hold it.
    NotExamined,
}

/// What a tag's weights are not here to be asked for.
struct NoValues;

impl TensorValues for NoValues {
    fn largest(&self, _: &str) -> Result<Option<f64>, String> {
        Ok(None)
    }
}

impl Becomes {
    /// Returns what one of timm's tags becomes: what the mappings make of the facts that the registry has of it.
    pub fn of(tag: &Tag) -> Self {
        let class = timm::facts_of(tag).and_then(|(definition, facts)| {
            let mappings = mapping::mappings().iter().filter(|mapping| mapping.from() == definition);
            let mapping = route(mappings, &facts, &NoValues).ok()??;
            // Whether a tag's values are as they must be, its row tells.
            if mapping.reads_values() && tag.exactness != Exactness::Exact {
                return None;
            }
            let config = mapping.target_config(&facts).ok()?;
            Some(config.get("architectures")?.get(0)?.as_str()?.to_owned())
        });
        match (class, tag.target.as_ref()) {
            (Some(class), _) => Self::Class(class),
            (None, Some(class)) => Self::NotYet(class.clone()),
            (None, None) if tag.exactness == Exactness::NotExamined => Self::NotExamined,
            (None, None) => Self::Nothing,
        }
    }

    /// Returns the class that vitport writes.
    pub fn class(&self) -> Option<&str> {
        if let Self::Class(class) = self { Some(class) } else { None }
    }

    /// Returns the class that holds it, whether vitport writes it or not.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Class(class) | Self::NotYet(class) => Some(class),
            Self::Nothing | Self::NotExamined => None,
        }
    }

    /// Says why vitport does not write it; `None` if it does.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Self::Class(_) => None,
            Self::NotYet(class) => Some(format!("{class} could hold it, not written yet")),
            Self::Nothing => Some("no class in transformers holds it".to_owned()),
            Self::NotExamined => Some("not examined".to_owned()),
        }
    }
}

/// Returns all models: timm's in timm's order, then the others.
pub fn models() -> impl Iterator<Item = KnownModel> {
    registry::tags().map(of_timm).chain(of_microsoft())
}

fn of_timm(tag: &'static Tag) -> KnownModel {
    let [_, height, width] = tag.input_size;
    KnownModel {
        name: tag.full_name(),
        family: match tag.module {
            "vision_transformer" | "deit" => "vit",
            module => module,
        },
        module: Some(tag.module),
        exactness: Some(tag.exactness),
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
        published_at: tag.hub_id.clone().or_else(|| tag.url.clone()).filter(|_| tag.has_weights),
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
            module: None,
            exactness: None,
            parameters,
            classes: 1000,
            image: [usize::try_from(edge).unwrap_or(usize::MAX); 2],
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            interpolation: "bicubic".to_owned(),
            crop_pct: if edge >= 384 { 1.0 } else { DEFAULT_CROP_PCT },
            crop_mode: "center".to_owned(),
            license: None,
            becomes: Becomes::Class("CvtForImageClassification".to_owned()),
            note: Some(note.to_owned()),
            published_at: Some(PUBLISHED_AT.to_owned()),
        }
    })
}
