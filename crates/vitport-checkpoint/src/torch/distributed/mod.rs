//! Folders of torch.distributed.checkpoint: `.metadata`, which says what lies where, and files in which one archive of
//! `torch.save` after the other holds a chunk of a tensor or a plain value.
//!
//! A tensor in one chunk is a view of its archive, as in any file. One in several, as FSDP saves it, is a view of a storage that is
//! joined of theirs ([`Encoding::Joined`]). Nothing is copied and no tensor is read.

mod description;
mod tree;

use std::path::Path;

use self::description::{Chunk, Description, Place, What};
use self::tree::Leaf;
use crate::contents::Contents;
use crate::detect::{self, Kind};
use crate::error::{CheckpointError, Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::Unsupported;
use crate::index::safe_name;
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::roots::is_training_state;
use crate::source::Source;
use crate::storage::{Encoding, Storage, StoragePart};
use crate::tensor::{Tensor, element_count, row_major};
use crate::zip::{self, Archive};

/// Names the file that describes the others.
pub(crate) const DESCRIPTION: &str = ".metadata";

/// Ends the names of the files that hold the tensors.
pub(crate) const PART: &str = ".distcp";

/// Reads a folder. The first of its files is `.metadata`.
pub(crate) fn read(folder: &Path, limits: &Limits) -> Result<(Vec<Source>, Contents), CheckpointError> {
    read_parts(folder, limits).map_err(|error| match error {
        CheckpointError::Refused { path, mut refusal } if refusal.reason == Reason::InParts => {
            let shown = escape(&folder.display().to_string()).to_string();
            let shown = shlex::try_quote(&shown).map_or_else(|_| shown.clone(), |quoted| quoted.into_owned());
            let program = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch";
            refusal.detail =
                format!("{}; put them together with `{program} {shown} OUT.pth`", refusal.detail);
            CheckpointError::Refused { path, refusal }
        }
        error => error,
    })
}

fn read_parts(folder: &Path, limits: &Limits) -> Result<(Vec<Source>, Contents), CheckpointError> {
    let path = folder.join(DESCRIPTION);
    let source = Source::open(&path, &limits.stop)?;
    let Description { items, files, evidence } =
        description::read(&source, limits).map_err(|fault| fault.in_file(&path))?;
    let mut sources = vec![source];
    for name in &files {
        let name = safe_name(name).map_err(|fault| fault.in_file(&path))?;
        sources.push(Source::open(&folder.join(name), &limits.stop)?);
    }
    let mut out = Contents { evidence, ..Contents::default() };
    let mut values = Vec::new();
    let mut leaves = Vec::new();
    for item in items {
        let name = value_path(&item.path);
        match item.what {
            What::Tensor { size, chunks } => {
                let file = chunks.first().map_or(path.as_path(), |chunk| path_of(&sources, chunk.place));
                let leaf = tensor(&mut out, &sources, &name, &size, &chunks, limits);
                leaves.push((item.path, leaf.map_err(|fault| fault.in_file(file))?));
            }
            What::Value(place) => {
                let found = value(&mut out, &sources, &name, place, limits);
                let found = found.map_err(|fault| fault.in_file(path_of(&sources, place)))?;
                values.push((item.path.first().is_some_and(|first| is_training_state(first)), found));
            }
        }
    }
    // As in any file, what a training run needs to go on comes last.
    values.sort_by_key(|(is_training, _)| *is_training);
    out.metadata =
        values.into_iter().flat_map(|(_, found)| found).take(limits.max_metadata.saturating_add(1)).collect();
    if out.metadata.len() > limits.max_metadata {
        out.metadata.truncate(limits.max_metadata);
        out.evidence.is_cut = true;
        out.evidence.note("there is more next to the weights than is kept as metadata");
    }
    tree::grow(&mut out, leaves);
    match &out.evidence.dangerous_call {
        Some(call) if !limits.allow_dangerous_pickle => Err(Fault::Dangerous(call.clone()).in_file(&path)),
        _ => Ok((sources, out)),
    }
}

/// Returns a path of keys as one name.
fn value_path(path: &[String]) -> String {
    path.join(".")
}

fn path_of(sources: &[Source], place: Place) -> &Path {
    sources.get(place.file.saturating_add(1)).map_or(Path::new(DESCRIPTION), |source| &source.path)
}

/// Refuses a folder that PyTorch's own program puts together and this reader does not.
fn consolidate<T>(why: &str) -> Result<T, Fault> {
    refuse(Reason::InParts, why)
}

/// Returns the archive at a place, as a file of its own.
fn archive(sources: &[Source], place: Place, limits: &Limits) -> Result<(Source, Archive), Fault> {
    let Some(source) = sources.get(place.file.saturating_add(1)) else {
        return refuse(Reason::Malformed, "a value lies in no file");
    };
    let part = source.part(place.offset, place.len, "a value")?;
    match detect::kind(&part) {
        Ok(Kind::Zip) => {}
        Ok(_) | Err(Fault::Refused(_)) => {
            return consolidate("its tensors are not saved as archives of torch.save");
        }
        Err(fault) => return Err(fault),
    }
    let archive = zip::open(&part, limits)?;
    Ok((part, archive))
}

/// Reads what is said of a tensor's chunks, and joins them.
fn tensor(
    out: &mut Contents,
    sources: &[Source],
    name: &str,
    size: &[u64],
    chunks: &[Chunk],
    limits: &Limits,
) -> Result<Leaf, Fault> {
    let mut found: Vec<Tensor> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (part, archive) = archive(sources, chunk.place, limits)?;
        let contents = super::zip::read(&part, &archive, chunk.place.file.saturating_add(1), limits)?;
        out.evidence.absorb(contents.evidence);
        if let Some(unread) = contents.unsupported.into_iter().next() {
            return Ok(Leaf::Unsupported(Unsupported { path: name.to_owned(), ..unread }));
        }
        let [only] = contents.tensors.as_slice() else {
            return misfit(name, "its archive does not hold one tensor");
        };
        if only.shape[..] != chunk.sizes[..] {
            return misfit(name, "a chunk has other sizes than '.metadata' says");
        }
        let base = out.storages.len();
        out.storages.extend(
            contents.storages.into_iter().map(|storage| Storage {
                offset: storage.offset.saturating_add(chunk.place.offset),
                ..storage
            }),
        );
        found.push(Tensor {
            name: name.into(),
            storage: only.storage.saturating_add(base),
            ..Tensor::clone(only)
        });
    }
    let is_whole =
        matches!(chunks, [only] if only.sizes[..] == *size && only.offsets.iter().all(|&at| at == 0));
    match found.pop() {
        Some(only) if is_whole => Ok(Leaf::Tensor(only)),
        Some(last) => {
            found.push(last);
            joined(out, name, size, chunks, &found, limits).map(Leaf::Tensor)
        }
        None => misfit(name, "it has no chunks"),
    }
}

/// Returns a tensor whose chunks lie in several archives, as a view of a storage that is joined of theirs.
fn joined(
    out: &mut Contents,
    name: &str,
    size: &[u64],
    chunks: &[Chunk],
    found: &[Tensor],
    limits: &Limits,
) -> Result<Tensor, Fault> {
    let storages = |tensor: &Tensor| out.storages.get(tensor.storage);
    let Some(first) = found.first() else { return misfit(name, "it has no chunks") };
    let (dtype, unit) = (first.dtype, first.dtype.size());
    let Some(bytes) = element_count(size).and_then(|elements| elements.checked_mul(unit)) else {
        return misfit(name, "its size does not fit into 64 bits");
    };
    let big_endian = storages(first).is_some_and(|storage| storage.big_endian);
    let strides = row_major(size);
    // Each is where a run of bytes begins, how long it is, and where it lies.
    let mut runs: Vec<(u64, u64, StoragePart)> = Vec::new();
    let most = limits.max_pickle_memory / size_of::<(u64, u64, StoragePart)>();
    for (chunk, tensor) in chunks.iter().zip(found) {
        let is_inside = chunk.offsets.len() == size.len()
            && chunk.sizes.len() == size.len()
            && chunk
                .offsets
                .iter()
                .zip(&chunk.sizes)
                .zip(size)
                .all(|((at, len), size)| at.checked_add(*len).is_some_and(|end| end <= *size));
        if !is_inside || tensor.dtype != dtype {
            return misfit(name, "a chunk lies outside of it, or has another dtype");
        }
        if !tensor.is_contiguous() || !tensor.lazy_bits.is_none() {
            return consolidate("the chunks of a tensor do not lie row by row");
        }
        let storage = storages(tensor);
        if storage.is_some_and(|storage| storage.big_endian) != big_endian {
            return consolidate("the chunks of a tensor have two byte orders");
        }
        let mut at =
            tensor.offset.saturating_mul(unit).saturating_add(storage.map_or(0, |storage| storage.origin));
        // The axes behind the last one that is cut lie in one run.
        let cut = chunk.sizes.iter().zip(size).rposition(|(len, size)| len != size).unwrap_or(0);
        let (outer, inner) = chunk.sizes.split_at_checked(cut).unwrap_or_default();
        let (Some(count), Some(len)) = (element_count(outer), element_count(inner)) else {
            return misfit(name, "its size does not fit into 64 bits");
        };
        let (count, len) = if len == 0 { (0, 0) } else { (count, len.saturating_mul(unit)) };
        if (runs.len() as u64).saturating_add(count) > most as u64 {
            return consolidate("the tensors are cut into too many runs of bytes");
        }
        for number in 0..count {
            let start = begin(number, outer, &chunk.offsets, &strides).saturating_mul(unit);
            runs.push((start, len, StoragePart { start, storage: tensor.storage, at }));
            at = at.saturating_add(len);
        }
    }
    runs.sort_unstable_by_key(|(start, ..)| *start);
    let mut end = 0_u64;
    for (start, len, _) in &runs {
        if *start != end {
            return misfit(name, "its chunks overlap, or leave a gap");
        }
        end = end.saturating_add(*len);
    }
    if end != bytes {
        return misfit(name, "its chunks overlap, or leave a gap");
    }
    let file = storages(first).map_or(0, |storage| storage.file);
    let parts = runs.into_iter().map(|(.., part)| part).collect();
    let storage = Storage {
        encoding: Encoding::Joined { parts },
        big_endian,
        ..Storage::stored(file, name.to_owned(), 0, bytes)
    };
    out.storages.push(storage);
    Ok(Tensor::contiguous(name, dtype, size.to_vec(), 0, out.storages.len().saturating_sub(1)))
}

/// Returns the element at which run number `number` of a chunk begins. `outer` holds the chunk's sizes in the axes before the run's.
fn begin(mut number: u64, outer: &[u64], offsets: &[u64], strides: &[u64]) -> u64 {
    let own = offsets.iter().zip(strides).map(|(at, stride)| at.saturating_mul(*stride));
    let mut begin = own.fold(0_u64, u64::saturating_add);
    for (size, stride) in outer.iter().zip(strides).rev() {
        let size = (*size).max(1);
        begin = begin.saturating_add((number % size).saturating_mul(*stride));
        number /= size;
    }
    begin
}

/// Reads a plain value, and what it is made of if it is a namespace.
fn value(
    out: &mut Contents,
    sources: &[Source],
    name: &str,
    place: Place,
    limits: &Limits,
) -> Result<Vec<Metadata>, Fault> {
    let (part, archive) = archive(sources, place, limits)?;
    let (found, evidence) = super::zip::values(&part, &archive, limits)?;
    out.evidence.absorb(evidence);
    let named = |entry: Metadata| match entry.path.is_empty() {
        true => Metadata { path: name.to_owned(), ..entry },
        false => Metadata { path: format!("{name}.{}", entry.path), ..entry },
    };
    Ok(found.into_iter().map(named).collect())
}

fn misfit<T>(name: &str, why: &str) -> Result<T, Fault> {
    refuse(
        Reason::Contradiction,
        format!("the tensor '{}' is not what '.metadata' says: {why}", escape(name)),
    )
}
