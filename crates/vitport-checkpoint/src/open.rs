//! From a path to contents: a file, a folder that holds weights, or an index and its shards.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::contents::Contents;
use crate::detect::{self, Kind};
use crate::error::{CheckpointError, Fault, Reason, refuse};
use crate::escape::escape;
use crate::expansion;
use crate::index::{self, Index};
use crate::limits::Limits;
use crate::regular::is_no_file;
use crate::roots;
use crate::source::Source;
use crate::{numpy, safetensors, torch, training_folder, zip};

/// Names that a folder is searched for, most wanted first.
const IN_FOLDER: [&str; 6] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    // Of peft: next to a training run's other files, which are no weights.
    "adapter_model.safetensors",
    "adapter_model.bin",
];

/// Lists the endings of files that may hold weights, for folders with none of the names above.
const ENDINGS: [&str; 9] = ["safetensors", "pth", "pt", "bin", "npz", "ckpt", "pkl", "th", "tar"];

/// Opens whatever `path` is and reads everything but the tensors.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<(Vec<Source>, Contents), CheckpointError> {
    let (sources, contents) =
        if path.is_dir() { read_file(&weight_file(path)?, limits) } else { read_file(path, limits) }?;
    expansion::check(&sources, &contents, limits).map_err(|fault| fault.in_file(path))?;
    Ok((sources, contents))
}

fn read_file(path: &Path, limits: &Limits) -> Result<(Vec<Source>, Contents), CheckpointError> {
    if let Some(folder) = training_folder::folder_of(path) {
        return torch::distributed::read(folder, limits);
    }
    let source = Source::open(path, &limits.stop)?;
    let kind = detect::kind(&source).map_err(|fault| fault.in_file(path))?;
    if kind == Kind::Json {
        let index = index::read(&source, limits).map_err(|fault| fault.in_file(path))?;
        return read_shards(path, &index, limits);
    }
    let contents = read_kind(kind, &source, 0, limits).map_err(|fault| fault.in_file(path))?;
    Ok((vec![source], contents))
}

fn read_kind(kind: Kind, source: &Source, file: usize, limits: &Limits) -> Result<Contents, Fault> {
    let contents = match kind {
        Kind::Safetensors => safetensors::read(source, file, limits),
        Kind::Zip => zip_contents(source, file, limits),
        Kind::Tar => torch::tar::read(source, file, limits),
        Kind::Pickle => torch::stream::read(source, file, limits),
        Kind::Json => refuse(Reason::UnknownFormat, "a shard of an index is itself a JSON document"),
    }?;
    match &contents.evidence.dangerous_call {
        Some(call) if !limits.allow_dangerous_pickle => Err(Fault::Dangerous(call.clone())),
        _ => Ok(contents),
    }
}

/// Reads a zip, which is PyTorch's or numpy's as its entries say.
fn zip_contents(source: &Source, file: usize, limits: &Limits) -> Result<Contents, Fault> {
    let archive = zip::open(source, limits)?;
    if numpy::npz::looks_like(&archive.entries) {
        return numpy::npz::read(source, &archive, file, limits);
    }
    torch::zip::read(source, &archive, file, limits)
}

/// Returns the one file of a folder that holds the weights. What has the name of such a file and is not a file is not passed over.
fn weight_file(folder: &Path) -> Result<PathBuf, CheckpointError> {
    let is_there = |path: &PathBuf| path.is_file() || is_no_file(path).is_some();
    let named = IN_FOLDER.iter().map(|name| folder.join(name)).find(is_there);
    if let Some(path) = named {
        return Ok(path);
    }
    if let Some(path) = training_folder::weight_file(folder).map_err(|fault| fault.in_file(folder))? {
        return Ok(path);
    }
    let failed = |source| CheckpointError::Io { path: folder.to_path_buf(), source };
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if (ENDINGS.contains(&ending) || name.ends_with(".index.json")) && is_there(&path) {
            found.push(path);
        }
    }
    found.sort_unstable();
    let shown =
        |path: &PathBuf| format!("'{}'", escape(&path.file_name().unwrap_or_default().to_string_lossy()));
    let runs = if found.is_empty() { training_folder::checkpoints(folder) } else { Vec::new() };
    let question: Result<(), Fault> = match found.as_slice() {
        [only] => return Ok(only.clone()),
        [] if runs.len() == 1 => {
            return runs.first().map_or(Ok(folder.to_path_buf()), |run| weight_file(&folder.join(run)));
        }
        [] if !runs.is_empty() => {
            let names: Vec<String> = runs.iter().take(12).map(|name| format!("'{}'", escape(name))).collect();
            let what = "the folder holds no weight file, and folders of a training run that may hold one";
            refuse(Reason::Ambiguous, format!("{what}: {}", names.join(", ")))
        }
        [] => {
            refuse(Reason::NoTensors, "the folder holds no weight file (.safetensors, .pth, .pt, .bin, .npz)")
        }
        several => {
            let names: Vec<String> = several.iter().take(12).map(shown).collect();
            refuse(Reason::Ambiguous, format!("the folder holds several weight files: {}", names.join(", ")))
        }
    };
    question.map_err(|fault| fault.in_file(folder))?;
    Ok(folder.to_path_buf())
}

/// Opens every shard and joins what they hold.
fn read_shards(
    path: &Path,
    index: &Index,
    limits: &Limits,
) -> Result<(Vec<Source>, Contents), CheckpointError> {
    let mut sources = Vec::new();
    let mut joined = Contents::default();
    let mut owners = HashMap::new();
    for (number, shard) in index.shards.iter().enumerate() {
        let source = Source::open(&shard.path, &limits.stop).map_err(|error| match error {
            CheckpointError::NotFound { .. } => missing_shard(path, &shard.name),
            other => other,
        })?;
        let in_shard = |fault: Fault| fault.in_file(&shard.path);
        let kind = detect::kind(&source).map_err(in_shard)?;
        let contents = read_kind(kind, &source, number, limits).map_err(in_shard)?;
        sources.push(source);
        join(&mut joined, contents, number, index, &mut owners, limits).map_err(in_shard)?;
    }
    let absent = index.weight_map.iter().filter(|(name, _)| !owners.contains_key(name.as_str())).min();
    if let Some((name, &number)) = absent {
        let shard = index.shards.get(number).map_or("", |shard| shard.name.as_str());
        let fault: Result<(), Fault> = refuse(
            Reason::Shard,
            format!(
                "the index puts the tensor '{}' into '{}', which does not hold it",
                escape(name),
                escape(shard)
            ),
        );
        fault.map_err(|fault| fault.in_file(path))?;
    }
    joined.evidence.shards = Some(index.shards.len());
    let tensors = std::mem::take(&mut joined.tensors);
    let storages = std::mem::take(&mut joined.storages);
    let metadata = std::mem::take(&mut joined.metadata);
    let mut contents = Contents::flat(tensors, storages, joined.evidence);
    contents.metadata = metadata;
    Ok((sources, contents))
}

fn missing_shard(index: &Path, name: &str) -> CheckpointError {
    let fault = crate::error::Refusal::new(Reason::Shard, format!("the shard '{}' is missing", escape(name)));
    Fault::from(fault).in_file(index)
}

/// Adds one shard's tensors. A tensor that the index puts into another shard is left out, and noted.
fn join(
    joined: &mut Contents,
    shard: Contents,
    number: usize,
    index: &Index,
    owners: &mut HashMap<Arc<str>, usize>,
    limits: &Limits,
) -> Result<(), Fault> {
    let (root, _) = roots::choose(&shard)?;
    let Some(branch) = shard.branches.get(root) else {
        return Ok(());
    };
    if let Some(first) = shard.unsupported.get(branch.unsupported.clone()).and_then(<[_]>::first) {
        let name = escape(&first.path).to_string();
        return refuse(Reason::Unsupported, format!("tensor '{name}' {}", first.in_words()));
    }
    let (range, prefix) = (branch.tensors.clone(), branch.prefix_len());
    let base = joined.storages.len();
    for tensor in shard.tensors.into_iter().skip(range.start).take(range.len()) {
        let mut tensor = Arc::unwrap_or_clone(tensor);
        tensor.name = tensor.name.get(prefix..).unwrap_or_default().into();
        tensor.storage += base;
        if index.weight_map.get(&*tensor.name).is_some_and(|&owner| owner != number) {
            joined.evidence.note(format!(
                "'{}' lies in two shards; the one that the index names is taken",
                escape(&tensor.name)
            ));
            continue;
        }
        if owners.insert(tensor.name.clone(), number).is_some() {
            return refuse(
                Reason::Contradiction,
                format!("two tensors are both called '{}'", escape(&tensor.name)),
            );
        }
        if owners.len() > limits.max_tensors {
            return refuse(
                Reason::Limit,
                format!("the shards hold more than {} tensors", limits.max_tensors),
            );
        }
        joined.tensors.push(Arc::new(tensor));
    }
    joined.storages.extend(shard.storages);
    let space = limits.max_metadata.saturating_sub(joined.metadata.len());
    joined.evidence.is_cut |= shard.metadata.len() > space;
    let known: HashSet<String> = joined.metadata.iter().map(|entry| entry.path.clone()).collect();
    joined
        .metadata
        .extend(shard.metadata.into_iter().filter(|entry| !known.contains(&entry.path)).take(space));
    joined.evidence.absorb(shard.evidence);
    Ok(())
}
