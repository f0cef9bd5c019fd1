//! PyTorch's zip: a folder with `data.pkl`, the storages `data/0`, `data/1`, …, and some small records.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use foldhash::fast::RandomState;

use super::script::{self, Classes};
use super::{contents, device, inline_storage, load, look_behind, plain_values};
use crate::contents::Contents;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Container, FileEvidence};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::pickle::arena::Declared;
use crate::pickle::{Arena, PersistentIds, Value};
use crate::source::{Origin, Source, Stream};
use crate::storage::Storage;
use crate::zip::{Archive, Entry};

const PICKLE: &str = "data.pkl";

/// Gives the record that makes an archive one of TorchScript.
const CONSTANTS: &str = "constants.pkl";

/// Gives the versions of the format that torch.load opens (caffe2/serialize/versions.h, `kMinSupportedFileFormatVersion` and
/// `kMaxSupportedFileFormatVersion`).
const VERSIONS: RangeInclusive<u64> = 1..=10;

/// Gives the longest of the small records that is read.
const SMALL: u64 = 64;

/// Reads the pickle of the archive and finds its storages.
pub(crate) fn read(
    source: &Source,
    archive: &Archive,
    file: usize,
    limits: &Limits,
) -> Result<Contents, Fault> {
    let folder = folder(&archive.entries)?;
    check_case(&archive.entries)?;
    let Some(unpickled) = unpickle(source, archive, &folder, limits)? else {
        return refuse(Reason::UnknownFormat, "the zip has no 'data.pkl'");
    };
    let Unpickled { arena, root, evidence } = unpickled;
    let scripts = match evidence.container {
        Some(Container::TorchScript) => script::classes(source, archive, &folder, &arena, limits)?,
        _ => Classes::new(),
    };
    let big_endian = evidence.byteorder.as_deref() == Some("big");
    let mut name = folder.clone();
    let mut locate = |arena: &Arena, declared: &Declared| {
        if let Some(storage) = inline_storage(arena, declared, file) {
            return Ok(storage);
        }
        let key = ["data/", arena.key(declared)].concat();
        name.truncate(folder.len());
        name.push_str(&key);
        let storage = match archive.get(&name) {
            Some(entry) if entry.len == declared.bytes => archive.storage(entry, file, key),
            Some(entry) => {
                return refuse(
                    Reason::Contradiction,
                    format!(
                        "record '{}' has {} bytes, but the pickle declares {}",
                        escape(&key),
                        entry.len,
                        declared.bytes
                    ),
                );
            }
            None if declared.bytes == 0 => Storage::stored(file, key, 0, 0),
            None => {
                return refuse(Reason::Truncated, format!("the record '{}' is missing", escape(&key)));
            }
        };
        Ok(Storage { big_endian, device: device(&declared.device), ..storage })
    };
    contents(arena, root, evidence, &scripts, &mut locate)
}

/// Reads the plain values of an archive that holds no tensors, by their paths, which are empty for a value that is not made of others.
pub(crate) fn values(
    source: &Source,
    archive: &Archive,
    limits: &Limits,
) -> Result<(Vec<Metadata>, FileEvidence), Fault> {
    let folder = folder(&archive.entries)?;
    let Some(unpickled) = unpickle(source, archive, &folder, limits)? else {
        return refuse(Reason::UnknownFormat, "the zip has no 'data.pkl'");
    };
    let Unpickled { arena, root, mut evidence } = unpickled;
    let mut found = plain_values::next_to_weights(&arena, root, &mut evidence);
    if found.is_empty() {
        let value = plain_values::Reader::new(&arena).value(root);
        found.push(Metadata { path: String::new(), value });
    }
    evidence.pickle_protocol = arena.protocol;
    evidence.dangerous_call = arena.dangerous();
    evidence.globals = arena.globals.into_iter().map(|(global, _)| global).collect();
    arena.notes.into_iter().for_each(|note| evidence.note(note));
    Ok((found, evidence))
}

/// Describes what the pickle holds.
struct Unpickled {
    arena: Arena,
    root: Value,
    evidence: FileEvidence,
}

/// Reads the pickle and the small records; `None` without a pickle.
fn unpickle(
    source: &Source,
    archive: &Archive,
    folder: &str,
    limits: &Limits,
) -> Result<Option<Unpickled>, Fault> {
    let record = |name: &str| archive.get(&format!("{folder}{name}"));
    let Some(data) = record(PICKLE) else {
        return Ok(None);
    };
    let scripted = record(CONSTANTS).is_some();
    let mut evidence = FileEvidence::of(if scripted { Container::TorchScript } else { Container::TorchZip });
    evidence.writer_version =
        small_text(source, archive, record("version").or(record(".data/version")), limits)?;
    evidence.byteorder = small_text(source, archive, record("byteorder"), limits)?;
    match evidence.byteorder.as_deref() {
        None | Some("little" | "big") => {}
        Some(other) => {
            return refuse(Reason::Unsupported, format!("the byte order '{}' is not known", escape(other)));
        }
    }
    evidence.unlike_torch = unlike_torch(source, archive, folder, &evidence, limits)?;
    if !archive.has_checksums {
        evidence.note("every record's CRC-32 is 0, so none of them is checked");
    }
    let mut arena = Arena::new(limits);
    let decoded;
    let mut stream = if data.deflated {
        arena.charge(usize::try_from(data.len).unwrap_or(usize::MAX))?;
        decoded = archive.load(source, data, limits)?;
        Stream::new(Origin::Memory(&decoded), 0, data.len)
    } else {
        if data.len > limits.max_header_bytes {
            let (len, limit) = (data.len, limits.max_header_bytes);
            return refuse(Reason::Limit, format!("'data.pkl' has {len} bytes, more than {limit}"));
        }
        archive.verify(source, data)?;
        Stream::new(Origin::File(source), data.data_offset, data.len)
    };
    let root = load(&mut stream, &mut arena, &PersistentIds::Torch)?;
    look_behind(&mut stream, &mut arena, &PersistentIds::Torch)?;
    Ok(Some(Unpickled { arena, root, evidence }))
}

/// Lists what torch.load (PyTorchStreamReader, caffe2/serialize/inline_container.cc) takes otherwise than this reader: it refuses other
/// versions than 1 to 10, other words for a byte order, names without a folder and bytes before the zip, and with `mmap=True`, as
/// transformers calls it, takes compressed records for the numbers themselves.
fn unlike_torch(
    source: &Source,
    archive: &Archive,
    folder: &str,
    evidence: &FileEvidence,
    limits: &Limits,
) -> Result<Vec<String>, Fault> {
    let version = evidence.writer_version.as_deref();
    let order = match archive.get(&format!("{folder}byteorder")) {
        Some(entry) => archive.load(source, entry, limits)?,
        None => b"little".to_vec(),
    };
    let first = archive.entries.iter().map(|entry| entry.header_offset).min();
    let found = [
        (
            archive.entries.iter().any(|entry| entry.deflated),
            "its records are compressed, which torch.load does not undo where it maps the file".to_owned(),
        ),
        (
            !version
                .is_some_and(|version| version.parse().is_ok_and(|number: u64| VERSIONS.contains(&number))),
            match version {
                None => {
                    "it has no record of its version, without which torch.load does not open it".to_owned()
                }
                Some(version) => {
                    format!("its version is '{}', which torch.load does not open", escape(version))
                }
            },
        ),
        (
            !matches!(order.as_slice(), b"little" | b"big"),
            "its byte order ends with other characters, with which torch.load does not open it".to_owned(),
        ),
        (
            folder.is_empty(),
            "its records lie in no folder, without which torch.load does not open it".to_owned(),
        ),
        (
            first.is_some_and(|offset| offset > 0),
            "the file begins with other bytes, behind which torch.load finds no zip".to_owned(),
        ),
    ];
    Ok(found.into_iter().filter_map(|(is_so, sentence)| is_so.then_some(sentence)).collect())
}

/// Refuses names that differ in case alone: PyTorch's reader looks for records without regard to case (miniz, `mz_zip_reader_locate_file`), so of two names that
/// differ in nothing else it may take the other one.
fn check_case(entries: &[Entry]) -> Result<(), Fault> {
    // The names differ, so letters of one case alone are enough to differ without regard to it.
    if !entries.iter().any(|entry| entry.name.bytes().any(|byte| byte.is_ascii_uppercase())) {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity_and_hasher(entries.len(), RandomState::default());
    match entries.iter().find(|entry| !seen.insert(entry.name.to_ascii_lowercase())) {
        None => Ok(()),
        Some(entry) => refuse(
            Reason::Contradiction,
            format!(
                "the zip holds two entries called '{}' but for upper and lower case",
                escape(&entry.name)
            ),
        ),
    }
}

/// Returns the folder that holds the pickle, with its slash, as PyTorch finds it: the first part of the first
/// entry's name. Another folder with a pickle of its own is refused.
fn folder(entries: &[Entry]) -> Result<String, Fault> {
    let folder_of = |entry: &Entry| entry.name.strip_suffix(PICKLE).map(str::to_owned);
    let mut folders = entries
        .iter()
        .filter_map(folder_of)
        .filter(|folder| folder.is_empty() || (folder.ends_with('/') && folder.matches('/').count() == 1));
    match (folders.next(), folders.next()) {
        (Some(first), Some(second)) => refuse(
            Reason::Contradiction,
            format!("the zip holds two pickles, in '{}' and in '{}'", escape(&first), escape(&second)),
        ),
        (Some(folder), None) => Ok(folder),
        (None, _) => stranger(entries),
    }
}

/// Names what a zip is that is not PyTorch's.
fn stranger<T>(entries: &[Entry]) -> Result<T, Fault> {
    let has = |ending: &str| entries.iter().any(|entry| entry.name.ends_with(ending));
    let what = if has("/archive_format") || has("serialized_exported_program.json") {
        "a program of torch.export (.pt2), not a state dict"
    } else if has("/model.json") || has("attributes.pkl") {
        "a TorchScript archive of PyTorch 1.2 or earlier, whose layout is not read"
    } else if has("/.data/extern_modules") {
        "a torch.package archive, which holds code rather than weights"
    } else if has("config.json") && has(".h5") {
        "a Keras archive"
    } else if has(".npy") {
        "an archive of numpy arrays with other files among them"
    } else if has(".pth") || has(".pt") || has(".bin") || has(".safetensors") {
        "an archive around weight files (unpack it first)"
    } else {
        "a zip archive without weights"
    };
    refuse(Reason::UnknownFormat, format!("this is {what}"))
}

/// Returns the text of a small record.
fn small_text(
    source: &Source,
    archive: &Archive,
    entry: Option<&Entry>,
    limits: &Limits,
) -> Result<Option<String>, Fault> {
    let Some(entry) = entry else {
        return Ok(None);
    };
    if entry.len > SMALL {
        return refuse(Reason::Malformed, format!("record '{}' is too long", escape(&entry.name)));
    }
    let bytes = archive.load(source, entry, limits)?;
    Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
}
