//! Which preprocessing a model was trained for: what the `config.json` says, else what timm's registry says of its tag, else what
//! all tags that fit the weights agree on. Several that disagree are a question.

use serde_json::Value;

use super::super::source::Inquiry;
use super::TimmDefinition;
use super::hub_config::TimmConfig;
use super::named::Named;
use super::registry::{self, Tag};
use crate::facts::{Fact, FactError, Facts, Origin, Question, Sourced};
use crate::image::{CropMode, Filter};
use crate::preprocessing::{DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing};

/// Lists how the tags of timm's begin whose weights Google released as `.npz` (timm/models/vision_transformer.py, `default_cfgs`).
const JAX_TAGS: [&str; 3] = ["augreg_in", "orig_in", "sam_in"];

/// Returns the preprocessing, with the facts that it is made of.
///
/// # Errors
/// Returns [`FactError::Questions`] if several fit or no network was trained with the numbers, [`FactError::Misshapen`] for a
/// config whose values are of another kind.
pub(super) fn choose(
    definition: &TimmDefinition,
    inquiry: &Inquiry<'_>,
    config: Option<&TimmConfig<'_>>,
    named: Option<&Named>,
    facts: &Facts,
) -> Result<(Preprocessing, Vec<Fact>), FactError> {
    let options = inquiry.options;
    let size = facts.pair("img_size").unwrap_or_default();
    let is_decided = named.is_none_or(|named| named.tag.is_none())
        && options.mean.is_some()
        && options.std.is_some()
        && options.crop_pct.is_some()
        && options.interpolation.is_some();
    let base = match (config, is_decided) {
        (Some(config), _) => {
            Sourced::new(of_config(definition, config, size)?, Origin::Config("pretrained_cfg".to_owned()))
        }
        (None, false) => of_tags(definition, inquiry, named, facts, size)?,
        (None, true) => Sourced::new(timm_default(size), Origin::Definition("timm's default")),
    };
    let Sourced { value: base, origin } = base;
    base.overridden(options, &origin)
}

/// Returns timm's values where a config leaves one out (timm/data/config.py, `resolve_data_config`).
fn timm_default(size: [u64; 2]) -> Preprocessing {
    Preprocessing {
        size,
        crop_pct: DEFAULT_CROP_PCT,
        crop_mode: CropMode::Center,
        interpolation: Filter::Bicubic,
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
    }
}

fn of_config(
    definition: &TimmDefinition,
    config: &TimmConfig<'_>,
    size: [u64; 2],
) -> Result<Preprocessing, FactError> {
    let mut chosen = timm_default(size);
    let wrong = |key: &str, value: &Value| {
        let shown: String = value.to_string().chars().take(60).collect();
        FactError::Misshapen {
            tensor: "config.json".to_owned(),
            family: definition.family,
            reason: format!(
                "pretrained_cfg.{key} is {}, which is no {key}",
                vitport_checkpoint::escape(&shown)
            ),
        }
    };
    let get = |key: &str| config.pretrained_cfg.get(key).filter(|value| !value.is_null());
    let channels = |key: &str, default: [f64; 3]| match get(key) {
        None => Ok(default),
        Some(value) => {
            let numbers: Option<Vec<f64>> =
                value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
            match numbers.as_deref() {
                Some([one]) => Ok([*one; 3]),
                Some(&[red, green, blue]) => Ok([red, green, blue]),
                _ => Err(wrong(key, value)),
            }
        }
    };
    chosen.mean = channels("mean", chosen.mean)?;
    chosen.std = channels("std", chosen.std)?;
    if let Some(value) = get("crop_pct") {
        chosen.crop_pct = value.as_f64().ok_or_else(|| wrong("crop_pct", value))?;
    }
    if let Some(value) = get("crop_mode") {
        chosen.crop_mode =
            value.as_str().map(CropMode::from_name).ok_or_else(|| wrong("crop_mode", value))?;
    }
    if let Some(value) = get("interpolation") {
        let known = value.as_str().and_then(Filter::from_name);
        chosen.interpolation = known.ok_or_else(|| wrong("interpolation", value))?;
    }
    Ok(chosen)
}

fn of_tag(tag: &Tag, size: [u64; 2]) -> Preprocessing {
    Preprocessing {
        size,
        crop_pct: tag.crop_pct,
        crop_mode: CropMode::from_name(&tag.crop_mode),
        interpolation: Filter::from_name(&tag.interpolation).unwrap_or(Filter::Bicubic),
        mean: tag.mean,
        std: tag.std,
    }
}

/// Returns what timm's registry says: of the tag that is named; of the default tag of an architecture that is named, which is what
/// timm itself takes, unless a tag with the file's class count says otherwise; of all tags of all architectures that fit.
fn of_tags(
    definition: &TimmDefinition,
    inquiry: &Inquiry<'_>,
    named: Option<&Named>,
    facts: &Facts,
    size: [u64; 2],
) -> Result<Sourced<Preprocessing>, FactError> {
    if let Some(tag) = named.and_then(|named| named.tag) {
        return Ok(Sourced::new(of_tag(tag, size), registry::origin(&tag.full_name())));
    }
    let architectures = match named {
        Some(named) => vec![named.architecture],
        None => definition.candidates(facts),
    };
    let is_jax = inquiry.layout == Some("jax");
    let comes_so = |tag: &&'static Tag| !is_jax || JAX_TAGS.iter().any(|start| tag.tag.starts_with(start));
    let all: Vec<&'static Tag> = architectures
        .iter()
        .flat_map(|architecture| registry::tags_of(architecture.name))
        .filter(comes_so)
        .collect();
    let fits = |tag: &&&Tag| {
        Some(tag.num_classes as u64) == facts.number("num_classes")
            && tag.input_size.map(|n| n as u64)[1..] == size
    };
    let exact: Vec<&'static Tag> = all.iter().filter(fits).copied().collect();
    if let Some(named) = named {
        let default = all.iter().find(|tag| tag.tag == named.architecture.default_tag).copied();
        if let Some(default) = default
            && (exact.is_empty() || exact.iter().any(|tag| tag.tag == default.tag))
        {
            let name = format!("{}, timm's default for {}", default.full_name(), named.architecture.name);
            return Ok(Sourced::new(of_tag(default, size), named.of_default_tag(&name)));
        }
    }
    let fitting = if exact.is_empty() { all } else { exact };
    let mut kinds: Vec<(Preprocessing, Vec<&'static Tag>)> = Vec::new();
    for tag in fitting {
        let kind = of_tag(tag, size);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, tags)) => tags.push(tag),
            None => kinds.push((kind, vec![tag])),
        }
    }
    match kinds.as_slice() {
        [(only, tags)] => {
            let which = match tags.as_slice() {
                [tag] => tag.full_name(),
                tags => format!("the {} tags that fit", tags.len()),
            };
            Ok(Sourced::new(only.clone(), registry::candidates(&which)))
        }
        [] => Err(FactError::question(Question {
            fact: "mean",
            what: "the preprocessing that the model was trained with is not in the file, and no tag of timm's fits"
                .to_owned(),
            candidates: vec!["many".to_owned()],
            answer: "give --arch NAME.TAG, or --mean, --std, --interpolation and --crop-pct".to_owned(),
        })),
        kinds => Err(FactError::question(Question {
            fact: "mean",
            what: "the preprocessing that the model was trained with is not in the file".to_owned(),
            candidates: kinds.iter().map(|(kind, tags)| describe(kind, tags)).collect(),
            answer: "give --arch NAME.TAG, or --mean, --std, --interpolation and --crop-pct".to_owned(),
        })),
    }
}

/// Describes one way of preprocessing with the first of its tags.
fn describe(kind: &Preprocessing, tags: &[&Tag]) -> String {
    let shown = tags.iter().take(2).map(|tag| tag.full_name()).collect::<Vec<_>>().join(", ");
    let more = match tags.len().saturating_sub(2) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("mean {:?} crop_pct {} {} ({shown}{more})", kind.mean, kind.crop_pct, kind.interpolation.name())
}
