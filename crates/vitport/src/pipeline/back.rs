//! The way back: of a transformers folder, the network of another framework that a mapping makes it of.

use std::path::Path;

use serde_json::{Map, Value, json};
use vitport_checkpoint::{Limits, escape};

use super::back_images::{labels_of, preprocessing_of, with_image_size};
use super::error::ConvertError;
use super::identify::recognise;
use super::lost;
use super::unheld::{in_layout, other_eps};
use super::ways::{Way, class_named, no_way, or_back_to, ways, ways_back};
use crate::facts::{Fact, FactError, Facts, Origin};
use crate::folder::loading::config::is_inert;
use crate::folder::npz;
use crate::folder::reader::Folder;
use crate::frameworks::source::{Described, Unheld, WrittenConfig};
use crate::frameworks::transformers::{
    Labels, TargetDefinition, Task, first_architecture, in_usual_words, is_idle, with_defaults,
};
use crate::frameworks::{SOURCES, SourceDefinition, maker_of};
use crate::mapping::{Mapping, Problem, Problems, Sources, TensorValues, UnmadeKey, WeightFormat, possible};
use crate::plan::{Dropped, Part, Plan, Target};
use crate::state_dict::StateDict;
use crate::verify::in_config;

/// Names the key of a written config with the Python that makes the network.
const PYTHON: &str = "python";

/// Names that with the line after it, for a network whose classifier is taken away.
const PYTHON_AFTER: &str = "python_after";

/// Names the key that says how logits become probabilities in transformers' pipeline: by softmax, by sigmoid or not at all.
const PROBLEM_TYPE: &str = "problem_type";

/// Says what is asked of the way back.
#[derive(Debug, Clone, Default)]
pub struct BackRequest {
    /// Names the framework, as ids of definitions and layouts begin: `timm`, `torchvision`.
    pub framework: String,
    /// Says whether preprocessing is left out.
    pub without_processor: bool,
    /// Says what a file may ask for.
    pub limits: Limits,
}

/// Describes a transformers folder that is known, and the plan for the other framework.
pub struct PreparedBack {
    /// Gives the folder.
    pub folder: Folder,
    /// Names its class.
    pub class: String,
    /// Gives the mapping that makes such a folder of what is written.
    pub mapping: &'static Mapping,
    /// Names the framework that opens what is written.
    pub framework: String,
    /// Gives the definition of what is written.
    pub definition: &'static dyn SourceDefinition,
    /// Gives the layout in which it is written, if that is not the definition's own.
    pub layout: Option<&'static Mapping>,
    /// Gives the facts that it is built from.
    pub facts: Facts,
    /// Says what will be written.
    pub plan: Plan,
    /// Gives its `config.json`.
    pub config: Map<String, Value>,
    /// Lists what the other framework has otherwise.
    pub unheld: Vec<Unheld>,
    /// Lists the lines of Python that open what is written, with `{out}` for the folder.
    pub opened_by: Vec<String>,
    /// Lists the folder's tensors, and a key, that the other network has no place for and no forward pass reads.
    pub left_out: Vec<Dropped>,
    /// Says whether preprocessing is left out.
    pub without_processor: bool,
}

impl PreparedBack {
    /// Returns the tensors that hold zeros where the folder does not say what they held.
    pub fn zeroed(&self) -> impl Iterator<Item = &str> {
        let has_zeros = |target: &&Target| {
            let has = target.parts.iter().any(|part| matches!(part, Part::Zeros { .. }));
            has && ["split", "shift"].contains(&target.operation)
        };
        self.plan.targets.iter().filter(has_zeros).map(|target| &*target.name)
    }

    /// Returns the framework's name of what is written: that of an architecture, the Python that makes the network, or what it is called.
    pub fn made(&self) -> &str {
        let text = |key: &str| self.config.get(key).and_then(Value::as_str);
        let called = || self.definition.description().rsplit("'s ").next();
        text(PYTHON).or_else(|| text("architecture")).or_else(called).unwrap_or_default()
    }

    /// Returns what people call those whose framework it is.
    pub fn maker(&self) -> &str {
        maker_of(&self.framework)
    }

    /// Returns the lines of Python that open what is written in the folder `out`.
    pub fn lines_for(&self, out: &str) -> impl Iterator<Item = String> {
        self.opened_by.iter().map(|line| line.replace("{out}", out))
    }
}

/// Opens a transformers folder and plans what another framework's folder is written of it. No tensor byte is read.
///
/// # Errors
/// Returns [`ConvertError::Folder`] for a folder that cannot be read, and [`ConvertError::Facts`] for one that no mapping makes of a
/// network of the framework, with what shows it.
pub fn plan_back(path: &Path, request: &BackRequest) -> Result<PreparedBack, ConvertError> {
    let folder = Folder::open(path, &request.limits)?;
    let stated = folder.config.as_object().cloned().unwrap_or_default();
    let stated: Map<_, _> = stated.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let class = first_architecture(&stated).unwrap_or_default().to_owned();
    let model_type = stated.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(finding) = folder.weights_findings.first() {
        return Err(refused(&class, finding.clone(), None).into());
    }
    if model_type.is_empty() {
        return Err(of_no_type(stated.contains_key("pretrained_cfg")).into());
    }
    let on_ways = |framework: &str| on_any_way(&folder, &stated, &model_type, framework, request);
    let others = || {
        let goes = |other: &&str| *other != request.framework && on_ways(other).is_ok();
        ways_back(&model_type).into_iter().filter(goes).collect::<Vec<_>>()
    };
    match on_ways(&request.framework) {
        Ok((way, known)) => {
            let left_out = unread(way.mapping, &folder, &stated);
            let Known { definition, facts, plan, written } = known;
            let WrittenConfig { config, unheld, opened_by } = written;
            Ok(PreparedBack {
                folder,
                class,
                mapping: way.mapping,
                framework: request.framework.clone(),
                definition,
                layout: way.layout,
                facts,
                plan,
                config,
                unheld,
                opened_by,
                left_out,
                without_processor: request.without_processor,
            })
        }
        Err(None) => Err(no_way(&class, &model_type, &request.framework, &others()).into()),
        Err(Some(ConvertError::Facts(FactError::NoTarget { what, why, tensor, instead }))) => {
            let instead = or_back_to(instead, &others());
            Err(FactError::NoTarget { what, why, tensor, instead }.into())
        }
        Err(Some(error)) => Err(error),
    }
}

/// Returns the first way back to a framework on which something is written of the folder, with what that is; else why nothing is, of the
/// mapping whose config comes nearest.
fn on_any_way(
    folder: &Folder,
    stated: &Map<String, Value>,
    model_type: &str,
    framework: &str,
    request: &BackRequest,
) -> Result<(Way, Known), Option<ConvertError>> {
    let mut nearest: Option<(usize, ConvertError)> = None;
    for way in ways(model_type, framework) {
        match of_mapping(folder, stated, &way, framework, request) {
            Ok(known) => return Ok((way, known)),
            Err((distance, error)) => {
                if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
                    nearest = Some((distance, error));
                }
            }
        }
    }
    Err(nearest.map(|(_, error)| error))
}

/// Stands for tensors that are not there yet.
struct NoValues;

impl TensorValues for NoValues {
    fn largest(&self, _: &str) -> Result<Option<f64>, String> {
        Ok(None)
    }
}

/// Holds what is written of a folder.
struct Known {
    definition: &'static dyn SourceDefinition,
    facts: Facts,
    plan: Plan,
    written: WrittenConfig,
}

/// Returns what is written of the folder on one way, or why nothing is, and how far its config is from one that the mapping makes: 0 for such
/// a config, 1 where a condition refuses its network, else how many keys are other ones, and 1.
fn of_mapping(
    folder: &Folder,
    stated: &Map<String, Value>,
    way: &Way,
    framework: &str,
    request: &BackRequest,
) -> Result<Known, (usize, ConvertError)> {
    let (class, mapping) = (first_architecture(stated).unwrap_or_default(), way.mapping);
    let Some(definition) = SOURCES.into_iter().find(|definition| definition.id() == mapping.from()) else {
        let why = format!("`{}` is not a definition", mapping.from());
        return Err((usize::MAX, refused(class, why, None).into()));
    };
    let has = |ending: &str| folder.checkpoint.tensors().iter().any(|tensor| tensor.name.ends_with(ending));
    let (facts, unheld) = facts_of(stated, way.target, mapping, definition, &has)
        .map_err(|(distance, error)| (distance, error.into()))?;
    let (facts, unlike) = match way.layout {
        None => (facts, Vec::new()),
        Some(layout) => in_layout(layout, facts, class).map_err(|error| (0, error.into()))?,
    };
    let mut known =
        written(folder, stated, way, definition, facts, (framework, request)).map_err(|error| (0, error))?;
    known.written.unheld.extend(unheld.into_iter().chain(unlike));
    Ok(known)
}

/// Returns the tensors of a folder that no forward pass reads, as the mapping says, and what else of it changes no output of the network.
fn unread(mapping: &Mapping, folder: &Folder, stated: &Map<String, Value>) -> Vec<Dropped> {
    let found = folder.checkpoint.tensors().iter().filter_map(|tensor| {
        let (_, reason) = mapping.unread().find(|(ending, _)| tensor.name.ends_with(ending))?;
        let (name, reason) = (tensor.name.to_string(), reason.to_owned());
        Some(Dropped { name, tensors: 1, bytes: tensor.bytes(), reason })
    });
    let problem = stated.get(PROBLEM_TYPE).filter(|problem| *problem != "single_label_classification");
    let problem = problem.map(|problem| {
        let reason = format!(
            "is {} there, for the loss and for transformers' pipeline, and changes no logit",
            escape(&problem.to_string())
        );
        Dropped { name: in_config(PROBLEM_TYPE), tensors: 0, bytes: 0, reason }
    });
    found.chain(problem).collect()
}

/// Returns whether all that is wrong are tensors without a rule that the mapping leaves unread.
fn are_unread(mapping: &Mapping, problems: &Problems) -> bool {
    let is_unread = |name: &String| mapping.unread().any(|(ending, _)| name.ends_with(ending));
    problems.list.iter().all(|problem| match problem {
        Problem::Unmapped { names, .. } => names.iter().all(is_unread),
        _ => false,
    })
}

/// Returns what is written of the folder as a network of these facts.
fn written(
    folder: &Folder,
    stated: &Map<String, Value>,
    &Way { target, mapping, layout }: &Way,
    definition: &'static dyn SourceDefinition,
    facts: Facts,
    (framework, request): (&str, &BackRequest),
) -> Result<Known, ConvertError> {
    let class = first_architecture(stated).unwrap_or_default();
    let unbuildable = |error: &dyn std::fmt::Display| {
        refused(class, format!("{} of its sizes cannot be built: {error}", definition.description()), None)
    };
    let preprocessing = preprocessing_of(folder, target, class, &facts, request)?;
    let facts = with_image_size(definition, facts, preprocessing.as_ref());
    let network = definition.build(&facts.to_config()).map_err(|error| unbuildable(&error))?;
    let bindings = mapping.bindings(&facts).map_err(|error| unbuildable(&error))?;
    let tensors = folder.checkpoint.tensors().iter().map(|tensor| (tensor.name.clone(), tensor.clone()));
    let made = Sources::of_state_dict(&StateDict::from_entries(tensors));
    let unaccounted = |problems: Problems| {
        let lost = |problem: &Problem| match problem {
            Problem::Unfit { name, reason } => Some((name.clone(), reason.clone())),
            _ => None,
        };
        // What a conversion has lost is no fault of the folder.
        let all_lost: Option<Vec<(String, String)>> = problems.list.iter().map(lost).collect();
        match all_lost.and_then(|lost| lost.into_iter().next()) {
            Some((tensor, reason)) => refused(class, reason, Some(tensor)).into(),
            None => ConvertError::Unaccounted { file: folder.path.display().to_string(), problems },
        }
    };
    let plan = match mapping.plan_back(&network, &bindings, &made) {
        // What the mapping leaves unread may have no rule.
        Err(problems) if are_unread(mapping, &problems) => {
            let is_read = |name: &str| !mapping.unread().any(|(ending, _)| name.ends_with(ending));
            let tensors = folder.checkpoint.tensors().iter().filter(|tensor| is_read(&tensor.name));
            let tensors = tensors.map(|tensor| (tensor.name.clone(), tensor.clone()));
            let made = Sources::of_state_dict(&StateDict::from_entries(tensors));
            mapping.plan_back(&network, &bindings, &made).map_err(unaccounted)?
        }
        plan => plan.map_err(unaccounted)?,
    };
    if let Some(tensor) = lost::values(&plan, &folder.checkpoint)? {
        let why = format!(
            "{} has no place for some of its numbers, which a conversion writes as zeros",
            definition.description()
        );
        return Err(refused(class, why, Some(tensor)).into());
    }
    let plan = match layout {
        None => plan,
        Some(layout) => layout.plan_written(&Sources::of_plan(&plan), &facts).map_err(unaccounted)?,
    };
    if layout.is_some_and(|layout| layout.container() == WeightFormat::Npz)
        && let Some(target) = plan.targets.iter().find(|target| npz::type_string(target.dtype).is_none())
    {
        let why = format!("numpy has no numbers of the dtype {}", target.dtype);
        return Err(refused(class, why, Some(target.name.to_string())).into());
    }
    let is_known_again =
        recognise(&Sources::of_plan(&plan)).is_some_and(|(it, _)| it.id() == definition.id());
    if !is_known_again {
        let why = format!(
            "{} of these parts has the tensors of other networks, and vitport would not know it again",
            definition.description()
        );
        return Err(refused(class, why, None).into());
    }
    let labels = match target.task(stated) {
        Task::Classification => Some(labels_of(stated, facts.number("num_classes").unwrap_or(0))),
        Task::Features { .. } => None,
    };
    let described = Described {
        framework,
        facts: &facts,
        preprocessing: preprocessing.as_ref(),
        labels: labels.as_deref(),
    };
    let Some(written) = definition.write_config(&described) else {
        let why = format!("vitport writes no files for {} yet", definition.description());
        return Err(refused(class, why, None).into());
    };
    let mut written = written?;
    if let Some(layout) = layout {
        let name = written.config.get("architecture").and_then(Value::as_str);
        let name = name.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
        let Some(python) = layout.python(&facts, name.as_deref()) else {
            let maker = maker_of(framework);
            let why = format!("what {maker}'s code needs to make the network is not known");
            return Err(refused(class, why, None).into());
        };
        let made = format!("model = {python}");
        let headless = layout.headless(&facts);
        if let Some(line) = headless {
            written.config.insert(PYTHON_AFTER.to_owned(), json!(line));
        }
        let lines = [made].into_iter().chain(headless.map(str::to_owned));
        written.opened_by = lines.chain([layout.python_load()]).collect();
        written.config.insert(PYTHON.to_owned(), json!(python));
    }
    Ok(Known { definition, facts, plan, written })
}

/// Returns the facts of the network that the mapping makes such a config of, and what of it the framework cannot have.
///
/// # Errors
/// Returns the refusal, and how far the config is from one that the mapping makes.
pub(super) fn facts_of(
    stated: &Map<String, Value>,
    target: &dyn TargetDefinition,
    mapping: &Mapping,
    definition: &dyn SourceDefinition,
    has: &dyn Fn(&str) -> bool,
) -> Result<(Facts, Option<Unheld>), (usize, FactError)> {
    let defaults = target.defaults(stated);
    let whole = in_usual_words(&with_defaults(stated, &defaults), &defaults);
    let decides = |key: &str| {
        let is_of_no_network = ["model_type", "transformers_version"].contains(&key);
        !is_of_no_network && !is_inert(key) && !target.ignored_keys().contains(&key) && !is_idle(key, &whole)
    };
    let mut known =
        mapping.facts_of_config(&whole, decides, has).map_err(|UnmadeKey { key, value, keys }| {
            let class = first_architecture(stated).unwrap_or_default();
            let why = format!(
                "a conversion of {} writes no {key} {}, and only what a conversion writes goes back",
                definition.description(),
                escape(&value)
            );
            (keys.saturating_add(1), refused(class, why, Some(in_config(&key))))
        })?;
    let unheld = other_eps(mapping, &mut known);
    let classes = match (target.task(stated), known.get("head")) {
        (_, Some(Value::Bool(false))) => json!(0),
        (Task::Classification, _) => {
            let labels: Labels = serde_json::from_value(Value::Object(stated.clone())).unwrap_or_default();
            json!(labels.count())
        }
        // A projection is not a classifier, and has its size in the config.
        (Task::Features { .. }, Some(_)) => known.get("num_classes").cloned().unwrap_or(json!(0)),
        (Task::Features { .. }, None) => json!(0),
    };
    known.insert("head".to_owned(), json!(classes != json!(0)));
    known.insert("num_classes".to_owned(), classes);
    let origin = || Origin::Config("config.json of the folder".to_owned());
    let facts: Facts = definition
        .fact_names()
        .into_iter()
        .chain(["head"])
        .filter_map(|name| Some(Fact::new(name, known.get(name)?.clone(), origin())))
        .collect();
    let facts = definition.completed(facts);
    possible([mapping], &facts, &NoValues).map_err(|error| (1, error))?;
    Ok((facts, unheld))
}

/// Returns the refusal of a class.
pub(super) fn refused(class: &str, why: String, tensor: Option<String>) -> FactError {
    FactError::NoTarget {
        what: class_named(class),
        why,
        tensor,
        instead: "`vitport models` lists what is converted, and back".to_owned(),
    }
}

/// Returns the refusal of a folder whose `config.json` names no class of transformers.
fn of_no_type(is_of_timm: bool) -> FactError {
    let what = match is_of_timm {
        true => "a folder that timm opens",
        false => "a folder whose config.json names no model_type",
    };
    let instead = match is_of_timm {
        true => "leave out --to, and vitport makes one for transformers of it",
        false => "give a folder for transformers",
    };
    FactError::NoTarget {
        what: what.to_owned(),
        why: "the way back begins with one for transformers".to_owned(),
        tensor: Some("model_type in config.json".to_owned()),
        instead: instead.to_owned(),
    }
}
