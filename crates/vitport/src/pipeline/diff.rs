//! Two checkpoints or folders, opened for a comparison: through the mapping where one of them is a transformers folder and the other is
//! not, through layouts where both are networks of one definition under different names, else by name.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use smallvec::smallvec;
use vitport_checkpoint::{Checkpoint, Limits, Tensor};

use super::back::facts_of;
use super::error::ConvertError;
use super::identify::{network, recognise};
use super::plan::{Request, plan};
use crate::diff::{TensorRow, View, compare};
use crate::facts::{FactError, Facts};
use crate::folder::FolderError;
use crate::folder::loading::weights::may_be_missing;
use crate::folder::reader::Folder;
use crate::frameworks::transformers::{TargetDefinition, first_architecture};
use crate::frameworks::{SOURCES, TARGETS};
use crate::mapping::{Mapping, Problem, SourceTensor, Sources, mappings};
use crate::options::FactOptions;
use crate::plan::{Dropped, Part, Plan, Target};
use crate::source::{Source, SourceError};
use crate::state_dict::{StateDict, without_wrappers};

/// Says by what the names of two sides are brought together.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Through {
    /// Means that tensors of one name stand opposite each other.
    Names,
    /// Means that the tensors of the side that is not a transformers folder are compared as a mapping makes them.
    Mapping {
        /// Names the mapping's file.
        file: String,
    },
    /// Means that the tensors of both sides are compared under the names of one definition.
    Layouts {
        /// Says what that definition is.
        description: String,
    },
}

/// Holds two sides that are open.
pub struct Diff {
    a: Side,
    b: Side,
    /// Says by what names are brought together.
    pub through: Through,
    /// Lists what the mapping leaves out, on the side that is not a transformers folder.
    pub left_out: Vec<Dropped>,
    /// Lists what the mapping cannot make of that side, a sentence each.
    pub problems: Vec<String>,
}

/// Describes one side.
struct Side {
    checkpoint: Checkpoint,
    tensors: Vec<Target>,
}

impl Side {
    fn view(&self) -> View<'_> {
        View { checkpoint: &self.checkpoint, tensors: &self.tensors }
    }
}

/// Describes a path that is open, and not yet understood.
enum Opened {
    Folder(Box<Folder>),
    Other(Box<Source>),
}

/// Holds what a mapping makes of a side, as far as its tensors are there.
struct Mapped {
    checkpoint: Checkpoint,
    plan: Plan,
    /// Lists the tensors that no rule uses.
    unused: Vec<Target>,
    /// Lists what cannot be made of those that are used.
    problems: Vec<String>,
    file: String,
}

impl Diff {
    /// Opens two checkpoints or folders. No tensor byte is read.
    ///
    /// # Errors
    /// Returns [`ConvertError`] for a path that cannot be read or is refused.
    pub fn open(a: &Path, b: &Path, limits: &Limits) -> Result<Self, ConvertError> {
        match (open(a, limits)?, open(b, limits)?) {
            (Opened::Folder(folder), Opened::Other(source)) => through_mapping(&folder, *source, b, limits)?
                .map_or_else(|| by_names(a, b, limits), |mapped| Ok(mapped.opposite(*folder).exchanged())),
            (Opened::Other(source), Opened::Folder(folder)) => through_mapping(&folder, *source, a, limits)?
                .map_or_else(|| by_names(a, b, limits), |mapped| Ok(mapped.opposite(*folder))),
            (Opened::Other(first), Opened::Other(second)) => match through_layouts(*first, *second)? {
                Some(diff) => Ok(diff),
                None => by_names(a, b, limits),
            },
            (Opened::Folder(_), Opened::Folder(_)) => by_names(a, b, limits),
        }
    }

    /// Returns both checkpoints.
    pub fn checkpoints(&self) -> [&Checkpoint; 2] {
        [&self.a.checkpoint, &self.b.checkpoint]
    }

    /// Compares the tensors, and checks the checksums of both sides.
    ///
    /// # Errors
    /// Returns [`FolderError`] for a file that cannot be read, or does not match its own checksums.
    pub fn compare(&self) -> Result<Vec<TensorRow>, FolderError> {
        compare(self.a.view(), self.b.view())
    }

    fn exchanged(self) -> Self {
        Self { a: self.b, b: self.a, ..self }
    }
}

impl Mapped {
    /// Returns it as A, opposite a folder as B.
    fn opposite(self, folder: Folder) -> Diff {
        let Self { checkpoint, plan, unused, problems, file } = self;
        let has = |name: &str| folder.checkpoint.tensors().iter().any(|tensor| *tensor.name == *name);
        let made = plan.targets.into_iter().filter(|target| !may_be_missing(target) || has(&target.name));
        let tensors = made.chain(unused).collect();
        let of_folder =
            folder.checkpoint.tensors().iter().map(|tensor| whole(&tensor.name, tensor)).collect();
        Diff {
            a: Side { checkpoint, tensors },
            b: Side { checkpoint: folder.checkpoint, tensors: of_folder },
            through: Through::Mapping { file },
            left_out: plan.dropped,
            problems,
        }
    }
}

/// Opens a transformers folder as one, and everything else as a source.
fn open(path: &Path, limits: &Limits) -> Result<Opened, ConvertError> {
    match Source::open(path, None, limits) {
        Ok(source) => Ok(Opened::Other(Box::new(source))),
        Err(SourceError::AlreadyConverted { .. }) => {
            Ok(Opened::Folder(Box::new(Folder::open(path, limits)?)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a side whose tensors have their own names, those of its network without what stands before them; where the network is not
/// one part, the whole file is compared.
fn by_names(a: &Path, b: &Path, limits: &Limits) -> Result<Diff, ConvertError> {
    let side = |path: &Path| -> Result<Side, ConvertError> {
        let checkpoint = Checkpoint::open_undecided(path, limits).map_err(SourceError::from)?;
        let mut source = bare(path, checkpoint);
        let prefix = match network(&mut source, &[]) {
            Ok(found) => found.state_dict.prefix().to_owned(),
            Err(ConvertError::Facts(FactError::Questions { .. })) => {
                source.checkpoint.select("").map_err(SourceError::from)?;
                String::new()
            }
            Err(error) => return Err(error),
        };
        let named = |tensor: &Arc<Tensor>| {
            let bare = tensor.name.strip_prefix(prefix.as_str()).map(without_wrappers);
            whole(bare.as_deref().unwrap_or(&tensor.name), tensor)
        };
        let tensors = source.checkpoint.tensors().iter().map(named).collect();
        Ok(Side { checkpoint: source.checkpoint, tensors })
    };
    let (a, b) = (side(a)?, side(b)?);
    Ok(Diff { a, b, through: Through::Names, left_out: Vec::new(), problems: Vec::new() })
}

/// Returns a checkpoint of which nothing else is known.
fn bare(path: &Path, checkpoint: Checkpoint) -> Source {
    let (path, adapter, key, config) = (path.to_owned(), None, None, None);
    let (card, passed_over, provenance) = (None, Vec::new(), None);
    Source { path, checkpoint, adapter, key, config, card, passed_over, provenance }
}

/// Returns a tensor of a file as one that is compared under a name.
fn whole(name: &str, tensor: &Arc<Tensor>) -> Target {
    Target {
        name: name.into(),
        dtype: tensor.dtype,
        shape: tensor.shape.as_slice().into(),
        parts: smallvec![Part::Slice { tensor: Arc::clone(tensor), first: 0, elements: tensor.elements() }],
        operation: "rename",
    }
}

/// Returns both sides under the names of one definition, if both are networks of it and at least one of them has other names.
fn through_layouts(mut first: Source, mut second: Source) -> Result<Option<Diff>, ConvertError> {
    let known = |source: &mut Source| {
        let in_file = Sources::of_state_dict(&network(source, &[]).ok()?.state_dict);
        let (definition, layout) = recognise(&in_file)?;
        let plan = match layout {
            Some(layout) => layout.plan_of_present(&in_file, &layout.layout_bindings(&in_file)).0,
            None => of_sources(&in_file),
        };
        Some((definition, layout.is_some(), plan))
    };
    let (Some((definition, one, plan_a)), Some((other, another, plan_b))) =
        (known(&mut first), known(&mut second))
    else {
        return Ok(None);
    };
    if definition.id() != other.id() || !one && !another {
        return Ok(None);
    }
    let left_out = plan_a.dropped.into_iter().chain(plan_b.dropped).collect();
    Ok(Some(Diff {
        a: Side { checkpoint: first.checkpoint, tensors: plan_a.targets },
        b: Side { checkpoint: second.checkpoint, tensors: plan_b.targets },
        through: Through::Layouts { description: definition.description().to_owned() },
        left_out,
        problems: Vec::new(),
    }))
}

/// Returns tensors that stay as they are.
fn of_sources(sources: &Sources) -> Plan {
    Plan { targets: sources.iter().map(as_it_is).collect(), ..Plan::default() }
}

fn as_it_is(tensor: &SourceTensor) -> Target {
    Target {
        name: Arc::clone(&tensor.name),
        dtype: tensor.dtype,
        shape: tensor.shape.as_slice().into(),
        parts: tensor.parts.clone(),
        operation: tensor.operation,
    }
}

/// Returns what a mapping to the folder's class makes of a source; none where no mapping has anything in common with both.
///
/// A source that can be identified is planned as a conversion is. Of one that lacks tensors the folder's config says what it is.
fn through_mapping(
    folder: &Folder,
    source: Source,
    path: &Path,
    limits: &Limits,
) -> Result<Option<Mapped>, ConvertError> {
    let stated = folder.config.as_object().cloned().unwrap_or_default();
    let model_type = stated.get("model_type").and_then(Value::as_str).unwrap_or_default();
    let targets = || TARGETS.into_iter().filter(|target| target.model_type() == model_type);
    let known: Vec<(&'static Mapping, Facts)> =
        targets().flat_map(|target| possible_sources(folder, &stated, target)).collect();
    let asked = |facts: FactOptions| -> Result<Option<Mapped>, ConvertError> {
        let source = Source::open(path, None, limits)?;
        let class = first_architecture(&stated).map(str::to_owned);
        let facts = FactOptions { target: class, without_processor: true, ..facts };
        let request = Request { facts, limits: limits.clone(), ..Request::default() };
        let Ok(prepared) = plan(source, &request) else { return Ok(None) };
        let is_its_class = targets().any(|target| target.id() == prepared.model.target.id());
        Ok(is_its_class.then(|| Mapped {
            file: prepared.model.mapping.file().to_owned(),
            checkpoint: prepared.source.checkpoint,
            plan: prepared.plan,
            unused: Vec::new(),
            problems: Vec::new(),
        }))
    };
    if let Some(mapped) = asked(FactOptions::default())? {
        return Ok(Some(mapped));
    }
    for (_, facts) in &known {
        if let Some(mapped) = asked(options_of(facts, folder))? {
            return Ok(Some(mapped));
        }
    }
    Ok(of_incomplete(folder, source, &known))
}

/// Returns the mappings to a class that make such a folder, each with the facts of its source.
fn possible_sources(
    folder: &Folder,
    stated: &Map<String, Value>,
    target: &'static dyn TargetDefinition,
) -> Vec<(&'static Mapping, Facts)> {
    let has = |ending: &str| folder.checkpoint.tensors().iter().any(|tensor| tensor.name.ends_with(ending));
    let of_mapping = |mapping: &'static Mapping| {
        let definition = SOURCES.into_iter().find(|definition| definition.id() == mapping.from())?;
        Some((mapping, facts_of(stated, target, mapping, definition, &has).ok()?.0))
    };
    mappings().iter().filter(|mapping| mapping.to() == target.id()).filter_map(of_mapping).collect()
}

/// Returns what a folder says of a source that does not say it.
fn options_of(facts: &Facts, folder: &Folder) -> FactOptions {
    let of_processor = || {
        let processor = folder.processor.as_ref()?;
        let size = ["crop_size", "size"].into_iter().find_map(|key| processor.get(key))?;
        let edge = |key: &str| size.get(key).or_else(|| size.get("shortest_edge")).and_then(Value::as_u64);
        Some([edge("height")?, edge("width")?])
    };
    let heads = facts.value("num_heads").cloned().map(|heads| match heads {
        Value::Array(list) => Value::Array(list),
        one => json!([one]),
    });
    FactOptions {
        num_heads: heads.and_then(|heads| serde_json::from_value(heads).ok()),
        image_size: facts.pair("img_size").or_else(of_processor),
        ..FactOptions::default()
    }
}

/// Returns what mappings make of a source that lacks tensors: the one that makes most of the folder's, if it makes half of them, or uses
/// half of what is there.
fn of_incomplete(folder: &Folder, mut source: Source, known: &[(&'static Mapping, Facts)]) -> Option<Mapped> {
    let found = network(&mut source, &[]).ok()?;
    let in_file = Sources::of_state_dict(&found.state_dict);
    let own = match recognise(&in_file) {
        Some((_, Some(layout))) => {
            Sources::of_plan(&layout.plan_of_present(&in_file, &layout.layout_bindings(&in_file)).0)
        }
        _ => in_file,
    };
    let in_folder = StateDict::from_entries(
        folder.checkpoint.tensors().iter().map(|tensor| (Arc::clone(&tensor.name), Arc::clone(tensor))),
    );
    let least = own.len().min(in_folder.len()).max(1);
    let made = known.iter().filter_map(|(mapping, facts)| {
        let (plan, problems) = mapping.plan_of_present(&own, &mapping.bindings(facts).ok()?);
        let is_made_of_something = |target: &&Target| {
            in_folder.has(&target.name) && target.parts.iter().any(|part| matches!(part, Part::Slice { .. }))
        };
        let common = plan.targets.iter().filter(is_made_of_something).count();
        Some((common, plan, problems, mapping.file().to_owned()))
    });
    let (_, mut plan, problems, file) =
        made.max_by_key(|(common, ..)| *common).filter(|(common, ..)| common * 2 >= least)?;
    plan.dropped.extend(found.dropped);
    let is_said = |problem: &&Problem| !matches!(problem, Problem::Unmapped { .. } | Problem::Missing { .. });
    let said = problems.iter().filter(is_said).map(ToString::to_string).collect();
    let unmapped = problems.iter().flat_map(|problem| match problem {
        Problem::Unmapped { names, .. } => names.as_slice(),
        _ => &[],
    });
    let unused = unmapped.filter_map(|name| Some(as_it_is(own.entry(name)?.1))).collect();
    Some(Mapped { checkpoint: source.checkpoint, plan, unused, problems: said, file })
}
