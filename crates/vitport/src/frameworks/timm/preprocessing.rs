//! Which preprocessing a model was trained for: what training arguments, the `config.json` and the
//! saved module say, else what timm's registry says of its tag, else what
//! all tags that fit the weights agree on. Several that disagree are a question.

use super::super::source::Inquiry;
use super::TimmDefinition;
use super::hub_config::TimmConfig;
use super::named::Named;
use super::registry::{self, Tag};
use super::saved_module::SavedConfig;
use super::training::Training;
use crate::facts::{Fact, FactError, Facts, Origin, Question, Sourced};
use crate::image::{CropMode, Filter};
use crate::preprocessing::{
    DEFAULT_CROP_PCT, IMAGENET_MEAN, IMAGENET_STD, Preprocessing, StatedPreprocessing,
};

/// Lists how the tags of timm's begin whose weights Google released as `.npz` (timm/models/vision_transformer.py, `default_cfgs`).
const JAX_TAGS: [&str; 3] = ["augreg_in", "orig_in", "sam_in"];

/// Returns the preprocessing, with the facts that it is made of: what an option says, else the training arguments, else the
/// config or the saved module's (timm/data/config.py, `resolve_data_config`), else what training programs do, else the registry.
///
/// # Errors
/// Returns [`FactError::Questions`] if several fit or no network was trained with the numbers, [`FactError::Impossible`] for a
/// config whose values are of another kind, [`FactError::Contradiction`] for arguments and a config that disagree.
pub(super) fn choose(
    definition: &TimmDefinition,
    inquiry: &Inquiry<'_>,
    (config, saved): (Option<&TimmConfig<'_>>, Option<&SavedConfig>),
    training: &Training,
    named: Option<&Named>,
    facts: &Facts,
) -> Result<(Preprocessing, Vec<Fact>), FactError> {
    let options = inquiry.options;
    let size = facts.pair("img_size").unwrap_or_default();
    let mut stated = vec![training.preprocessing.clone()];
    let of_config = Origin::Config("pretrained_cfg".to_owned());
    if let Some(config) = config {
        stated.push(StatedPreprocessing::read(
            config.pretrained_cfg,
            "config.json: pretrained_cfg",
            &of_config,
        )?);
    }
    if let Some(saved) = saved {
        // A fine-tune keeps the `pretrained_cfg` of the weights that it began with, and its training may say otherwise.
        let of_module = StatedPreprocessing::read(&saved.values, &saved.place(), &saved.origin(""))?;
        stated.push(of_module.without(&training.preprocessing));
    }
    let is_stated = |has: fn(&StatedPreprocessing) -> bool| stated.iter().any(has);
    let is_decided = named.is_none_or(|named| named.tag.is_none())
        && (options.mean.is_some() || is_stated(|stated| stated.mean.is_some()))
        && (options.std.is_some() || is_stated(|stated| stated.std.is_some()))
        && (options.crop_pct.is_some() || is_stated(|stated| stated.crop_pct.is_some()))
        && (options.interpolation.is_some() || is_stated(|stated| stated.interpolation.is_some()));
    let Sourced { value: base, origin } = match (config, &training.transform, saved) {
        (Some(_), ..) => Sourced::new(timm_default(size), of_config),
        (None, Some(transform), _) => {
            Sourced::new(Preprocessing { size, ..transform.value.clone() }, transform.origin.clone())
        }
        (None, None, Some(saved)) => Sourced::new(timm_default(size), saved.origin("")),
        // As in training: what no argument says is the architecture's.
        (None, None, None) if !is_decided || is_trained(named) => {
            of_tags(definition, inquiry, named, facts, size)?
        }
        (None, None, None) => Sourced::new(timm_default(size), Origin::Definition("timm's default")),
    };
    base.overridden(options, &origin, &stated)
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
        // A training program takes the default tag's, whatever the number of classes is.
        let by_training = is_trained(Some(named));
        let default = all.iter().find(|tag| tag.tag == named.architecture.default_tag).copied();
        if let Some(default) = default
            && (by_training || exact.is_empty() || exact.iter().any(|tag| tag.tag == default.tag))
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
