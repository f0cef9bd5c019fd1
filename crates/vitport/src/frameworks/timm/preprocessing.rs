//! Which preprocessing a model was trained for: what training arguments, the `config.json` and the
//! saved module say, else what timm's registry says of its tag, else what
//! all tags that fit the weights agree on. Several that disagree are a question.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::framework;
use super::super::source::Inquiry;
use super::TimmDefinition;
use super::hub_config::TimmConfig;
use super::like::Like;
use super::named::Named;
use super::registry::{self, Architecture, Tag};
use super::saved_module::SavedConfig;
use super::training::Training;
use crate::facts::{Candidate, Fact, FactError, Facts, Origin, Question, Sourced};
use crate::image::{CropMode, Filter};
use crate::preprocessing::{
    DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, StatedPreprocessing,
};

/// Lists how the tags of timm's begin whose weights Google released as `.npz` (timm/models/vision_transformer.py, `default_cfgs`).
const JAX_TAGS: [&str; 3] = ["augreg_in", "orig_in", "sam_in"];

/// Holds what says something of preprocessing.
pub(super) struct Said<'a> {
    /// Gives the `config.json` next to the weights.
    pub config: Option<&'a TimmConfig<'a>>,
    /// Gives the config of a module that was saved whole.
    pub saved: Option<&'a SavedConfig>,
    /// Gives what a training program recorded.
    pub training: &'a Training,
    /// Gives the published model that the source is said to be like.
    pub like: Option<&'a Like>,
    /// Says whether the image is not square, whatever its size.
    pub is_oblong: bool,
}

/// Returns the preprocessing, with the facts that it is made of: what an option says, else the training arguments, else the
/// config or the saved module's (timm/data/config.py, `resolve_data_config`), else what training programs do, else the registry.
///
/// # Errors
/// Returns [`FactError::Questions`] if several fit or no network was trained with the numbers, [`FactError::Impossible`] for a
/// config whose values are of another kind, [`FactError::Contradiction`] for arguments and a config that disagree.
pub(super) fn choose(
    definition: &TimmDefinition,
    inquiry: &Inquiry<'_>,
    said: &Said<'_>,
    named: Option<&Named>,
    facts: &Facts,
) -> Result<(Preprocessing, Vec<Fact>), FactError> {
    let options = inquiry.options;
    let Said { config, saved, training, like, is_oblong } = *said;
    let size = facts.pair("img_size").unwrap_or_default();
    let mut stated = vec![training.preprocessing.clone()];
    let of_config = Origin::Config("pretrained_cfg".to_owned());
    if let Some(config) = config {
        let values = of_one_or_three(config.pretrained_cfg, facts);
        stated.push(StatedPreprocessing::read(&values, "config.json: pretrained_cfg", &of_config)?);
    }
    if let Some(saved) = saved {
        // A fine-tune keeps the `pretrained_cfg` of the weights that it began with, and its training may say otherwise.
        let values = of_one_or_three(&saved.values, facts);
        let of_module = StatedPreprocessing::read(&values, &saved.place(), &saved.origin(""))?;
        stated.push(of_module.without(&training.preprocessing));
    }
    let is_crop_known = options.crop_mode.is_some() || stated.iter().any(|stated| stated.crop_mode.is_some());
    let crop = (is_oblong && !is_crop_known).then(ask_for_crop);
    stated.extend(like.map(Like::preprocessing));
    let is_stated = |has: fn(&StatedPreprocessing) -> bool| stated.iter().any(has);
    let is_decided = named.is_none_or(|named| named.tag.is_none())
        && (options.mean.is_some() || is_stated(|stated| stated.mean.is_some()))
        && (options.std.is_some() || is_stated(|stated| stated.std.is_some()))
        && (options.crop_pct.is_some() || is_stated(|stated| stated.crop_pct.is_some()))
        && (options.interpolation.is_some() || is_stated(|stated| stated.interpolation.is_some()));
    let known = match (config, &training.transform, saved) {
        (Some(_), ..) => Ok(Sourced::new(timm_default(size), of_config)),
        (None, Some(transform), _) => {
            Ok(Sourced::new(Preprocessing { size, ..transform.value.clone() }, transform.origin.clone()))
        }
        (None, None, Some(saved)) => Ok(Sourced::new(timm_default(size), saved.origin(""))),
        // As in training: what no argument says is the architecture's.
        (None, None, None) if !is_decided || is_trained(named) => {
            of_tags(definition, inquiry, (named, training.takes_defaults), facts, size)
        }
        (None, None, None) => Ok(Sourced::new(timm_default(size), Origin::Definition("timm's default"))),
    };
    let chosen = known.and_then(|Sourced { value: base, origin }| base.overridden(options, &origin, &stated));
    match (chosen, crop) {
        (Ok(_), Some(crop)) => Err(FactError::questions(vec![crop])),
        (Err(FactError::Questions { open, .. }), crop) => {
            Err(FactError::questions(open.into_iter().chain(crop).collect()))
        }
        (chosen, _) => chosen,
    }
}

/// Returns what is said without a mean and standard deviation of other than one or three channels, where that is how many the network
/// has: no image processor takes them.
fn of_one_or_three(values: &Map<String, Value>, facts: &Facts) -> Map<String, Value> {
    let others = facts.number("in_chans").filter(|channels| ![1, 3].contains(channels));
    let is_of_all = |value: &Value| {
        let numbers = value.as_array().filter(|list| list.iter().all(Value::is_number));
        others.is_some() && numbers.map(|list| list.len() as u64) == others
    };
    let is_left_out = |key: &str, value: &Value| ["mean", "std"].contains(&key) && is_of_all(value);
    let kept = values.iter().filter(|(key, value)| !is_left_out(key, value));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Asks what is cut off of an image for a network whose input is not square. timm's own crop keeps the proportions of the input.
fn ask_for_crop() -> Question {
    let what = "the network's image is not square, and no image processor of transformers crops to such an image as timm does; it \
                can squash images to it";
    Question::new("crop_mode", what, "--crop-mode", "MODE").with_candidates(["squash"])
}

/// Returns whether versions of timm prepare images for an architecture differently by default (`data/timm/changed_defaults.py`), so
/// that a run of timm's `train.py`, which does not record its version, leaves it open.
fn has_changed(architecture: &str) -> bool {
    include_str!("../../../data/timm/changed_defaults.txt").lines().any(|name| name == architecture)
}

/// Returns whether it is a training program that names the architecture.
fn is_trained(named: Option<&Named>) -> bool {
    named.is_some_and(|named| matches!(named.origin, Origin::Argument(_)))
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
    (named, takes_defaults): (Option<&Named>, bool),
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
        .flat_map(|architecture| framework::tags_of(architecture.name))
        .filter(comes_so)
        .collect();
    let fits = |tag: &&&Tag| {
        Some(tag.num_classes as u64) == facts.number("num_classes")
            && tag.input_size.map(|n| n as u64)[1..] == size
    };
    let exact: Vec<&'static Tag> = all.iter().filter(fits).copied().collect();
    if let Some(named) = named {
        // A training program takes the default tag's, whatever the number of classes is.
        let by_training = is_trained(Some(named));
        let default = all.iter().find(|tag| tag.tag == named.architecture.default_tag).copied();
        if let Some(default) = default
            && (by_training || exact.is_empty() || exact.iter().any(|tag| tag.tag == default.tag))
        {
            let Architecture { name, .. } = named.architecture;
            let framework = named.architecture.framework();
            let shown = format!("{}, {framework}'s default for {name}", default.full_name());
            let origin = match takes_defaults && !has_changed(name) {
                true => registry::origin(&format!("{shown} in all its versions")),
                false => named.of_default_tag(&shown),
            };
            return Ok(Sourced::new(of_tag(default, size), origin));
        }
    }
    let fitting = if exact.is_empty() { all } else { exact };
    let kinds = kinds_of(fitting.iter().copied(), size);
    match kinds.as_slice() {
        [(only, tags)] => {
            let which = match tags.as_slice() {
                [tag] => tag.full_name(),
                tags => format!("the {} tags that fit", tags.len()),
            };
            Ok(Sourced::new(only.clone(), registry::candidates(&which)))
        }
        [] => {
            let what = "the preprocessing that the model was trained with is not in the file, and no tag of timm's fits; \
                these are the most common";
            let all = definition.modules.iter().flat_map(|module| registry::architectures_of(module));
            let tags = all.flat_map(|architecture| registry::tags_of(architecture.name));
            Err(question(what, &[], of_channels(kinds_of(tags, size), facts), &inquiry.source.stem(), size))
        }
        _ => {
            let what = "the preprocessing that the model was trained with is not in the file";
            let others = if named.is_none() { elsewhere(definition, facts) } else { Vec::new() };
            let kinds = kinds_of(fitting.into_iter().chain(others), size);
            Err(question(what, &architectures, of_channels(kinds, facts), &inquiry.source.stem(), size))
        }
    }
}

/// Returns the published weights of other frameworks whose structure the weights have, those with as many classes if there are any.
fn elsewhere(definition: &TimmDefinition, facts: &Facts) -> Vec<&'static Tag> {
    let is_it = |tag: &&Tag| {
        let found = framework::find(&tag.full_name());
        found.is_some_and(|found| definition.difference(found.architecture, facts, &[]).is_none())
    };
    let all = definition.modules.iter().flat_map(|module| framework::weights_like(module));
    let all: Vec<&'static Tag> = all.filter(is_it).collect();
    let has_classes = |tag: &&Tag| Some(tag.num_classes as u64) == facts.number("num_classes");
    let exact: Vec<&'static Tag> = all.iter().copied().filter(|tag| has_classes(tag)).collect();
    if exact.is_empty() { all } else { exact }
}

/// Describes a way of preprocessing, and the tags that have it.
type PreprocessingKind = (Preprocessing, Vec<&'static Tag>);

/// Returns the ways of preprocessing that tags have.
fn kinds_of(tags: impl IntoIterator<Item = &'static Tag>, size: [u64; 2]) -> Vec<PreprocessingKind> {
    let mut kinds: Vec<PreprocessingKind> = Vec::new();
    for tag in tags {
        let kind = of_tag(tag, size);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, tags)) => tags.push(tag),
            None => kinds.push((kind, vec![tag])),
        }
    }
    kinds
}

/// Leaves out what cannot be meant of images with one channel: a mean and a standard deviation of several.
fn of_channels(mut kinds: Vec<PreprocessingKind>, facts: &Facts) -> Vec<PreprocessingKind> {
    let is_one = |numbers: [f64; 3]| numbers.iter().all(|number| Some(number) == numbers.first());
    if facts.number("in_chans") == Some(1) {
        kinds.retain(|(kind, _)| is_one(kind.mean) && is_one(kind.std));
    }
    kinds
}

/// Asks which of several ways of preprocessing it is, each by its tag whose name is nearest to the file's; those of the image's size
/// and what most tags have come first.
fn question(
    what: &str,
    architectures: &[&Architecture],
    mut kinds: Vec<PreprocessingKind>,
    stem: &str,
    size: [u64; 2],
) -> FactError {
    const MOST: usize = 6;
    // Names that have less in common are not a sign.
    const LEAST_LIKENESS: f64 = 0.75;
    let likeness =
        |tag: &Tag| Some(strsim::jaro_winkler(stem, &tag.full_name())).filter(|near| *near > LEAST_LIKENESS);
    let has_size = |tag: &Tag| tag.input_size.map(|edge| edge as u64)[1..] == size;
    let is_nearer = |one: &Tag, other: &Tag| {
        let rank = |tag: &Tag| (likeness(tag).unwrap_or(0.0), has_size(tag));
        rank(other).partial_cmp(&rank(one)).unwrap_or(Ordering::Equal)
    };
    for (_, tags) in &mut kinds {
        tags.sort_by(|one, other| is_nearer(one, other));
    }
    kinds.sort_by(|(_, one), (_, other)| match (one.first(), other.first()) {
        (Some(first), Some(second)) => is_nearer(first, second).then(other.len().cmp(&one.len())),
        _ => Ordering::Equal,
    });
    let candidates = kinds.iter().take(MOST).filter_map(|(kind, tags)| {
        Some(Candidate { value: tags.first()?.full_name(), note: describe(kind, tags.len()) })
    });
    let its = match architectures {
        [] => "--arch NAME.TAG if it is one of timm's".to_owned(),
        all => {
            let mut names: Vec<&str> = all.iter().map(|architecture| architecture.name).collect();
            let nearness = |name: &str| strsim::jaro_winkler(stem, name);
            names.sort_by(|one, other| nearness(other).total_cmp(&nearness(one)));
            names.truncate(MOST);
            format!("--arch NAME if it is {}", names.join(" or "))
        }
    };
    let others = format!("{its}, or --mean, --std, --interpolation and --crop-pct");
    let question = Question::new("preprocessing", what, "--like", "NAME.TAG").or(others);
    FactError::questions(vec![Question { candidates: candidates.collect(), ..question }])
}

/// Describes one way of preprocessing, which so many tags have.
fn describe(kind: &Preprocessing, tags: usize) -> String {
    let channels = |numbers: [f64; 3]| match numbers {
        [one, two, three] if one == two && two == three => one.to_string(),
        numbers => numbers.map(|number| format!("{number:.3}")).join(","),
    };
    let more = match tags {
        1 => String::new(),
        tags => format!(", as {} more", tags.saturating_sub(1)),
    };
    format!(
        "mean {}, std {}, {}, crop {}{more}",
        channels(kind.mean),
        channels(kind.std),
        kind.interpolation.name(),
        kind.crop_pct
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_differ_in_some_defaults() {
        assert!(has_changed("resnet18") && has_changed("convnext_tiny"));
        assert!(!has_changed("vit_tiny_patch16_224") && !has_changed("resnet50"));
    }
}
