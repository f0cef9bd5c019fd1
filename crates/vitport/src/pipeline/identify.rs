//! From an open source to a model that is known: its definition and layout, its facts, and the mapping that holds it.

use glob::Pattern;
use serde_json::{Map, Value, json};
use vitport_checkpoint::{Checkpoint, escape};

use super::channels;
use super::error::ConvertError;
use super::resample;
use super::values::FileValues;
use crate::adapters::{self, Merged};
use crate::facts::{Contradiction, Evidence, Fact, FactError, Facts, Origin, Sourced};
use crate::finding::{Anchors, FoundNetwork, find, sort_out};
use crate::frameworks::transformers::{TargetDefinition, Task};
use crate::frameworks::{
    self, Identity, Inquiry, Preparation, PublishedModel, SOURCES, SavedModules, SourceConfig,
    SourceDefinition, Transform,
};
use crate::labels::{ClassNames, LabelError, LabelSet, Labels, choose_labels, recorded};
use crate::license::{Licensing, choose_license};
use crate::mapping::{self, Mapping, Sources, TargetClass, possible, route};
use crate::model::Model;
use crate::nn::{ForwardError, Network};
use crate::options::FactOptions;
use crate::plan::{Dropped, Plan};
use crate::resampling::Resampled;
use crate::source::{MAX_CONFIG_BYTES, Source};
use crate::state_dict::StateDict;
use crate::training::Records;

/// Limits the classes of a head: with `LABEL_0`, `LABEL_1`, … that many make a `config.json` of just under 16 MiB.
const MOST_CLASSES: u64 = 250_000;

/// Describes a definition, and a layout onto its names if the tensors lie in one.
pub(super) type Found = (&'static dyn SourceDefinition, Option<&'static Mapping>);

/// Finds out what a source is. `own` is a mapping to use in place of the built-in ones.
///
/// # Errors
/// Returns [`ConvertError::Facts`] if it is unknown, without a target, undecided or contradictory, [`ConvertError::Labels`] or
/// [`ConvertError::Processor`] for class names or preprocessing that cannot be had.
pub fn identify(
    source: &mut Source,
    options: &FactOptions,
    own: Option<&Mapping>,
) -> Result<Model, ConvertError> {
    let mut found = network(source, &options.drop)?;
    adapters::refuse_apart(source)?;
    let Merged { state_dict, merged, facts: of_adapters, replaced, question } =
        adapters::merge(source, &found.state_dict, &mut found.outside, options)?;
    let mut found = FoundNetwork { state_dict, ..found };
    found.dropped.extend(replaced);
    let source = &*source;
    let config = frameworks::read_config(source)?;
    let config = config.as_deref();
    let Some((definition, layout)) = recognise(&Sources::of_state_dict(&found.state_dict)) else {
        return Err(unknown(source, options, config, &found.state_dict).into());
    };
    adapters::check_alpha(merged, options.lora_alpha)?;
    let (found, classifier) = sort_out(found, definition.heads(), options.without_head)?;
    let FoundNetwork { state_dict, mut dropped, choice, .. } = found;
    let choice: Vec<Fact> = choice.into_iter().chain(classifier).chain(of_adapters).collect();
    let in_file = Sources::of_state_dict(&state_dict);
    let tensors = match layout {
        None => in_file.clone(),
        Some(layout) => in_own_names(layout, &in_file, &source.checkpoint, &mut dropped)?,
    };
    let layout_name = layout.and_then(|layout| layout.from().split('/').next());
    let modules = SavedModules::of(&source.checkpoint, state_dict.prefix())
        .without_those_outside(source.key.as_deref(), state_dict.prefix());
    let inquiry = Inquiry { source, options, modules: &modules, tensors: &tensors, layout: layout_name };
    let mut evidence = Evidence::new();
    question.into_iter().for_each(|question| evidence.ask(question));
    definition.read(&inquiry, &mut evidence)?;
    if let Some(layout) = layout {
        evidence.rename_tensors(|text| layout.in_file_names(&tensors, state_dict.prefix(), text));
        layout.layout_evidence(&in_file, &mut evidence, &definition.fact_names())?;
    }
    let candidates: Vec<&Mapping> = match own {
        Some(own) => vec![own],
        None => mapping::mappings().iter().filter(|mapping| mapping.from() == definition.id()).collect(),
    };
    let values = FileValues { checkpoint: &source.checkpoint, tensors: &tensors };
    let wanted = options.target.as_deref();
    let by_name = frameworks::opened_by_name(options.arch.as_deref(), config);
    // A mapping of the caller's own is asked for by giving it.
    let is_asked_for = |mapping: &&Mapping| wanted.is_some() || own.is_some() || !mapping.is_only_asked_for();
    let choose = |facts: &Facts| {
        let chosen = route(candidates.iter().copied().filter(is_asked_for), facts, &values, wanted);
        chosen.map_err(|refusal| refusal.or_else_by(by_name.as_deref()))
    };
    // What no class holds is refused before anything is asked. Which mapping is the nearest depends on what is usual, too.
    let usual = definition.usual_facts();
    let known = with_head(evidence.facts(), options);
    if let Err(refusal) = choose(&known) {
        choose(&known.with_usual(usual.clone()))?;
        return Err(refusal.into());
    }
    channels::check(&evidence.facts(), options, definition.description())?;
    let Identity { name, published, preparation, read, unread } =
        definition.gather(&inquiry, &mut evidence)?;
    choose(&with_head(evidence.facts(), options).with_usual(usual.clone()))?;
    channels::check(&evidence.facts(), options, definition.description())?;
    let preparation = prepare(preparation, options, &mut evidence)?;
    let processor = preparation.as_ref().map(Preparation::processor).transpose()?;
    let facts = resolve(evidence, preparation.as_ref(), &choice)?;
    let facts = with_head(facts, options).with_usual(usual);
    let (facts, resampled) = resample::resized(definition, &tensors, facts, options.resample_to)?;
    check_classes(&facts)?;
    let Some(mapping) = choose(&facts)?.cloned() else {
        return Err(unknown(source, options, config, &state_dict).into());
    };
    let fitting = possible(candidates.iter().copied(), &facts, &values)?;
    let targets = fitting.into_iter().filter_map(|mapping| mapping.target(&facts)).collect();
    let Some(target) = frameworks::target(mapping.to()) else {
        let reason = format!("`{}` is not a definition that vitport writes", mapping.to());
        return Err(FactError::contradiction(format!("the mapping {}", mapping.file()), reason).into());
    };
    let Some((image_facts, transform)) = of_images(preparation, &facts, options) else {
        return Err(unknown(source, options, config, &state_dict).into());
    };
    finish(Identified {
        source,
        options,
        config,
        definition,
        target,
        mapping,
        targets,
        facts,
        state_dict,
        tensors,
        dropped,
        choice,
        merged,
        resampled,
        name,
        published,
        image_facts,
        transform,
        processor,
        read,
        unread,
    })
}

/// Finds the network of a source among what the file holds, and selects the part that it lies in; tensors whose names match one of
/// `drop` are left out.
///
/// # Errors
/// As [`find`].
pub fn network(source: &mut Source, drop: &[Pattern]) -> Result<FoundNetwork, ConvertError> {
    let is_known = |dict: &StateDict| recognise(&Sources::of_state_dict(dict)).is_some();
    find(source, &anchors(), drop, is_known)
}

/// Returns the tensors of a file under the names of their definition, and adds to `dropped` what the layout leaves out.
fn in_own_names(
    layout: &Mapping,
    in_file: &Sources,
    checkpoint: &Checkpoint,
    dropped: &mut Vec<Dropped>,
) -> Result<Sources, ConvertError> {
    if let Some(refusal) = layout.refused_layout(in_file) {
        return Err(refusal.into());
    }
    let plan = laid_out(layout, in_file)?;
    dropped.extend(plan.dropped.iter().cloned());
    let tensors = Sources::of_plan(&plan);
    match layout.refused_values(&FileValues { checkpoint, tensors: &tensors }) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(tensors),
    }
}

/// Returns the facts of an image's preparation, and what prepares it; none where neither a processor nor pixels made directly do.
fn of_images(
    preparation: Option<Preparation>,
    facts: &Facts,
    options: &FactOptions,
) -> Option<(Vec<Fact>, Transform)> {
    if let Some(Preparation { facts, transform, .. }) = preparation {
        return Some((facts, transform));
    }
    let direct = channels::direct(facts).filter(|_| options.without_processor)?;
    Some((vec![channels::no_processor()], Transform::Direct(direct)))
}

/// Returns how images of the source's channels are prepared; none while that is a question, and where no processor is wanted.
fn prepare(
    preparation: Option<Preparation>,
    options: &FactOptions,
    evidence: &mut Evidence,
) -> Result<Option<Preparation>, FactError> {
    if options.without_processor {
        evidence.withdraw(&channels::OF_PREPROCESSING);
        return Ok(None);
    }
    let Some(preparation) = preparation else { return Ok(None) };
    let count = evidence.facts().number("in_chans").unwrap_or(3);
    match channels::of_channels(preparation, count) {
        Ok(preparation) => Ok(Some(preparation)),
        Err(FactError::Questions { open, .. }) => {
            open.into_iter().for_each(|question| evidence.ask(question));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns the facts; where questions are open, what is known of preprocessing and of the parts that were taken is among what the
/// error knows.
fn resolve(
    evidence: Evidence,
    preparation: Option<&Preparation>,
    choice: &[Fact],
) -> Result<Facts, FactError> {
    evidence.resolve().map_err(|error| match error {
        FactError::Questions { open, mut known } => {
            let prepared = preparation.into_iter().flat_map(|preparation| &preparation.facts);
            prepared.chain(choice).cloned().for_each(|fact| known.set(fact));
            FactError::Questions { open, known }
        }
        error => error,
    })
}

/// Holds what is known before the two networks are built.
struct Identified<'a> {
    source: &'a Source,
    options: &'a FactOptions,
    config: Option<&'a dyn SourceConfig>,
    definition: &'static dyn SourceDefinition,
    target: &'static dyn TargetDefinition,
    mapping: Mapping,
    targets: Vec<TargetClass>,
    facts: Facts,
    state_dict: StateDict,
    tensors: Sources,
    dropped: Vec<Dropped>,
    /// Says which parts of the file were taken, where there was a choice.
    choice: Vec<Fact>,
    merged: usize,
    resampled: Option<Resampled>,
    name: String,
    published: Option<PublishedModel>,
    image_facts: Vec<Fact>,
    transform: Transform,
    processor: Option<Value>,
    read: Vec<String>,
    unread: Vec<String>,
}

/// Builds both networks from the facts, and makes the folder's documents.
fn finish(identified: Identified<'_>) -> Result<Model, ConvertError> {
    let Identified { source, options, definition, target, mapping, mut facts, .. } = identified;
    let stated = identified.config;
    let classes = facts.number("num_classes").unwrap_or(0);
    let config = mapping.target_config(&facts)?;
    let unbuildable = |side: &str, error: ForwardError| FactError::Misshapen {
        tensor: "the whole".to_owned(),
        family: "network",
        reason: format!("the {side} network cannot be built: {error}"),
    };
    let network = definition.build(&facts.to_config()).map_err(|error| unbuildable("source", error))?;
    let target_network =
        target_network(target, &config, classes).map_err(|error| unbuildable("target", error))?;
    let bindings =
        mapping.bindings(&facts).map_err(|reason| FactError::contradiction(mapping.file(), reason))?;

    let records = Records::of(source);
    let mut read = identified.read;
    let labels = match target.task(&config) {
        Task::Classification => {
            let classes = usize::try_from(classes).unwrap_or(usize::MAX);
            let choice = options.labels.as_ref();
            let of_source = labels_of_source(&records, stated, choice.is_some(), classes)?;
            if let Some(Origin::Argument(path)) = of_source.as_ref().map(|names| &names.origin) {
                read.push(path.clone());
            }
            let trained_on = trained_on(source, identified.published.as_ref(), classes);
            Some(choose_labels(classes, choice, of_source, trained_on)?)
        }
        Task::Features { .. } => None,
    };
    check_names(labels.as_ref().map_or(&[], |labels| &labels.names.value))?;
    identified.image_facts.into_iter().for_each(|fact| facts.set(fact));
    if let Some(labels) = &labels {
        facts.set(labels_fact(labels));
    }
    identified.choice.into_iter().for_each(|fact| facts.set(fact));
    let prefix = identified.state_dict.prefix();
    if !prefix.is_empty() {
        let origin = Origin::Weights("the network's names begin with it".to_owned());
        facts.set(Fact::new("prefix taken off", escape(prefix).to_string(), origin));
    }
    let Licensing { license, of_base } =
        choose_license(source, stated.and_then(SourceConfig::license), identified.published.as_ref());
    if let Some(license) = &license {
        facts.set(Fact::new("license", license.value.to_string(), license.origin.clone()));
    }
    Ok(Model {
        definition,
        target,
        mapping,
        targets: identified.targets,
        name: identified.name,
        published: identified.published,
        facts,
        unread_arguments: records.unread(&read).into_iter().chain(identified.unread).collect(),
        state_dict: identified.state_dict,
        tensors: identified.tensors,
        dropped: identified.dropped,
        merged: identified.merged,
        resampled: identified.resampled,
        bindings,
        config,
        labels: labels.map(|labels| labels.names),
        processor: identified.processor,
        transform: identified.transform,
        network,
        target_network,
        license,
        license_of_base: of_base,
    })
}

/// Builds the network of a target's config for so many classes.
///
/// # Errors
/// Returns [`ForwardError`] for a config that the target's class cannot be built from.
pub(super) fn target_network(
    target: &dyn TargetDefinition,
    config: &Map<String, Value>,
    classes: u64,
) -> Result<Network, ForwardError> {
    let mut whole = config.clone();
    whole.insert("num_labels".to_owned(), json!(classes));
    target.build(&whole)
}

/// Returns the names of the classes that a source has: those of its config, or those that its checkpoint records. If others are
/// chosen, what is wrong with them does not matter.
///
/// # Errors
/// Returns [`ConvertError::Labels`] for names that do not fit, [`ConvertError::Facts`] for a config and a checkpoint that give
/// different ones.
fn labels_of_source(
    records: &Records,
    stated: Option<&dyn SourceConfig>,
    is_chosen: bool,
    classes: usize,
) -> Result<Option<Sourced<ClassNames>>, ConvertError> {
    let usable = |names: Result<Option<Sourced<ClassNames>>, LabelError>| match names {
        Err(_) if is_chosen => Ok(None),
        names => names,
    };
    let of_config = usable(stated.map_or(Ok(None), |stated| stated.labels(classes)))?;
    let of_checkpoint = usable(recorded(records, classes))?;
    let (Some(config), Some(checkpoint)) = (&of_config, &of_checkpoint) else {
        return Ok(of_config.or(of_checkpoint));
    };
    if is_chosen || config.value.names() == checkpoint.value.names() {
        return Ok(of_config);
    }
    let fact = |names: &Sourced<ClassNames>| {
        let shown = names.value.names().iter().take(3).map(String::as_str).collect::<Vec<_>>();
        Fact::new("labels", format!("{}, …", shown.join(", ")), names.origin.clone())
    };
    Err(FactError::from(Contradiction::between(&fact(config), &fact(checkpoint))).into())
}

/// Returns what says that a head of so many classes was trained on ImageNet: the source's card, or the registry's entry of the
/// published model.
fn trained_on(source: &Source, published: Option<&PublishedModel>, classes: usize) -> Option<Origin> {
    let set = LabelSet::by_class_count(classes)?;
    let is_in_card = source.card.iter().flat_map(|card| &card.datasets).any(|dataset| set.is_of(dataset));
    match is_in_card {
        true => Some(Origin::Card("datasets")),
        false => {
            published.filter(|published| published.label_set(classes).is_some()).map(|it| it.origin.clone())
        }
    }
}

/// Returns how many names there are, and where from.
fn labels_fact(labels: &Labels) -> Fact {
    let counted = |names: &[String]| format!("{} names", names.len());
    let names = &labels.names;
    let shown = match (&names.origin, names.value.as_slice()) {
        (Origin::Placeholder(_), [first, .., last]) => format!("{first} to {last}"),
        _ => counted(&names.value),
    };
    let fact = Fact::new("labels", shown, names.origin.clone());
    let overrides = labels.overridden.as_ref().map(|known| {
        let first = known.value.first().map_or("", String::as_str);
        Sourced::new(json!(format!("{} from {first:?} on", counted(&known.value))), known.origin.clone())
    });
    Fact { overrides, ..fact }
}

/// Refuses a head before memory is set aside for the names of its classes.
fn check_classes(facts: &Facts) -> Result<(), FactError> {
    match facts.number("num_classes") {
        Some(classes) if classes > MOST_CLASSES => {
            let what = format!(
                "the head has {classes} classes, more than {MOST_CLASSES}, whose names no config.json holds; \
                 leave the head out with --no-head"
            );
            Err(FactError::Limit { what })
        }
        _ => Ok(()),
    }
}

/// Refuses names that come to a `config.json` that would not be read again.
fn check_names(names: &[String]) -> Result<(), FactError> {
    // Each name stands there twice, with its number, on a line of its own.
    let line = |name: &String| (name.len() as u64).saturating_add(20);
    let bytes = names.iter().map(line).fold(0, u64::saturating_add).saturating_mul(2);
    if bytes <= MAX_CONFIG_BYTES {
        return Ok(());
    }
    let what = format!(
        "config.json with the names of {} classes would have {bytes} bytes, more than {MAX_CONFIG_BYTES}; give shorter \
         ones with --labels FILE",
        names.len()
    );
    Err(FactError::Limit { what })
}

/// Returns the definition whose tensors these are, through a layout if they lie in one.
pub(super) fn recognise(tensors: &Sources) -> Option<Found> {
    let definition = |id: &str| SOURCES.into_iter().find(|definition| definition.id() == id);
    let by_layout = mapping::layouts().iter().find(|layout| layout.is_layout_of(tensors));
    if let Some(layout) = by_layout {
        return Some((definition(layout.to())?, Some(layout)));
    }
    let plain = SOURCES.into_iter().find(|definition| definition.recognises(tensors))?;
    Some((plain, None))
}

/// Returns the beginnings of names by which every layout and definition is found.
fn anchors() -> Vec<Anchors> {
    let layouts = mapping::layouts().iter().map(Mapping::anchors).filter(|anchors| !anchors.is_empty());
    let definitions = SOURCES
        .iter()
        .map(|definition| definition.anchors().iter().map(|group| group.to_vec()).collect::<Anchors>());
    layouts.chain(definitions).collect()
}

/// Returns the tensors under the definition's names and with its axes.
fn laid_out(layout: &Mapping, in_file: &Sources) -> Result<Plan, FactError> {
    layout.lay_out(in_file).map_err(|problems| FactError::Misshapen {
        tensor: in_file.iter().next().map_or_else(String::new, |tensor| tensor.name.to_string()),
        family: "network of this layout",
        reason: problems.to_string(),
    })
}

/// Returns the facts with the head that is asked for: none with `--no-head`.
fn with_head(mut facts: Facts, options: &FactOptions) -> Facts {
    let Some(classes) = facts.number("num_classes") else { return facts };
    if options.without_head && classes > 0 {
        facts.set(Fact::new("num_classes", 0, Origin::Request("--no-head")));
    }
    if let Some(known) = facts.get("num_classes") {
        let has_head = known.value != json!(0);
        facts.set(Fact::new("head", has_head, known.origin.clone()));
    }
    facts
}

/// Returns the error for tensors that no definition has.
fn unknown(
    source: &Source,
    options: &FactOptions,
    config: Option<&dyn SourceConfig>,
    state_dict: &StateDict,
) -> FactError {
    let named = options.arch.as_deref().or_else(|| config.and_then(SourceConfig::architecture));
    if let Some(refusal) = named.and_then(frameworks::refuse_by_name) {
        return refusal;
    }
    if let (None, Some(refusal)) = (named, frameworks::refuse_by_name(&source.stem())) {
        return refusal.detected_by("the file's name");
    }
    if let Err(refusal) = adapters::refuse_alone(source, state_dict) {
        return refusal;
    }
    let names: Vec<&str> = state_dict.iter().map(|(name, _)| name).take(3).collect();
    let known = SOURCES.iter().map(|definition| definition.description()).collect::<Vec<_>>().join(" and ");
    let sample =
        if names.is_empty() { "none at all".to_owned() } else { format!("{}, …", names.join(", ")) };
    FactError::Unknown { file: source.display_name(), sample, known }
}
