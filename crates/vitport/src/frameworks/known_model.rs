//! A published model and what it becomes, as `vitport models` lists it.

use serde::Deserialize;

use crate::facts::{FactError, Facts};
use crate::mapping::{self, TensorValues, possible};

/// Describes a model by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownModel {
    /// Gives its name, with the tag if it has one.
    pub name: String,
    /// Gives the family that converts it, or would: `vit`, `cvt`, or timm's module.
    pub family: &'static str,
    /// Gives timm's module that defines it.
    pub module: Option<&'static str>,
    /// Says how much of it the class could hold, where that was examined.
    pub exactness: Option<Exactness>,
    /// Gives the number of parameters.
    pub parameters: u64,
    /// Gives the number of classes; 0 for a model without a head.
    pub classes: usize,
    /// Gives height and width of the image, in pixels.
    pub image: [usize; 2],
    /// Gives the mean of each channel, on a 0 to 1 scale.
    pub mean: [f64; 3],
    /// Gives the standard deviation of each channel, on a 0 to 1 scale.
    pub std: [f64; 3],
    /// Says how images are resized: `bicubic`, `bilinear`, …
    pub interpolation: String,
    /// Gives the part of the resized image's edge that the crop keeps.
    pub crop_pct: f64,
    /// Gives timm's name of the crop mode.
    pub crop_mode: String,
    /// Gives the licence of the weights, where it is stated.
    pub license: Option<String>,
    /// Says what it becomes.
    pub becomes: Becomes,
    /// Says whether it becomes that only where the class is asked for (`--target`).
    pub is_asked_for: bool,
    /// Says what has to be done on the way, or why there is no way.
    pub note: Option<String>,
    /// Says where the weights are, if they are published.
    pub published_at: Option<String>,
}

/// Says what a model becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Becomes {
    /// Names a transformers class that vitport writes.
    Class(String),
    /// Names a class that could hold it, which vitport does not write.
    NotYet(String),
    /// Means nothing: no class has this structure.
    Nothing,
    /// Means that nobody has examined which class could hold it.
    NotExamined,
}

/// Stands for the values of weights that are not here.
struct NoValues;

impl TensorValues for NoValues {
    fn largest(&self, _: &str) -> Result<Option<f64>, String> {
        Ok(None)
    }
}

/// Says how much of a model a transformers class can hold, as measured with random weights (`data/timm/README.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exactness {
    /// Means all that timm's forward pass computes.
    Exact,
    /// Means up to the last hidden state or the pooled vector.
    Features,
    /// Means nothing: no class has this structure.
    None,
    /// Means that nobody has looked yet.
    #[serde(rename = "not examined")]
    NotExamined,
}

impl Exactness {
    /// Returns the word for it: `exact`, `features`, `none`, `not examined`.
    pub fn name(self) -> &'static str {
        match self {
            Exactness::Exact => "exact",
            Exactness::Features => "features",
            Exactness::None => "none",
            Exactness::NotExamined => "not examined",
        }
    }
}

impl Becomes {
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

/// Returns the class of transformers that vitport writes for a published model of this definition with these facts, and whether it must
/// be asked for; none if no mapping holds it. `is_exact` says whether its values are as the class needs them, for mappings that read
/// values: the weights are not here to be asked.
pub(super) fn class_of(definition: &str, facts: &Facts, is_exact: bool) -> Option<(String, bool)> {
    let mappings = mapping::mappings().iter().filter(|mapping| mapping.from() == definition);
    let fitting = possible(mappings, facts, &NoValues).ok()?;
    let mapping = fitting.into_iter().find(|mapping| is_exact || !mapping.reads_values())?;
    let class = || Some((mapping.class(facts)?, mapping.is_only_asked_for()));
    match mapping.target_config(facts) {
        Ok(_) => class(),
        // What only weights show is not known here, and was measured.
        Err(FactError::Contradiction(_)) if is_exact => class(),
        Err(_) => None,
    }
}
