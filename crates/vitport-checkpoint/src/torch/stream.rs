//! PyTorch's legacy stream (0.1.10 to 1.5), and plain pickles.
//!
//! A legacy file is five pickles, a magic number, a protocol version, facts about the machine, the object
//! and the list of storage keys, and then for each key the number of elements and the elements. A plain
//! pickle is just the object; its tensors hold their storages as byte strings, each of them a legacy
//! file of its own ([`nested`](super::nested)).

use std::collections::HashMap;

use super::script::Classes;
use super::{contents, danger_first, device, inline_storage, load, look_behind};
use crate::contents::Contents;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Container, FileEvidence};
use crate::limits::Limits;
use crate::pickle::arena::Declared;
use crate::pickle::{self, Arena, Node, PersistentIds, Value};
use crate::source::{Origin, Source, Stream};
use crate::storage::Storage;

/// Is `MAGIC_NUMBER` of `torch/serialization.py`, 0x1950a86a20f9469cfc6c, as the pickle machine shows numbers
/// of that size: in the digits that the protocol wrote.
const MAGIC: [&str; 2] = ["0x1950a86a20f9469cfc6c", "119547037146038801333356"];

/// Returns true for the object that a legacy stream begins with.
pub(super) fn is_magic(arena: &Arena, value: Value) -> bool {
    arena.text(value).is_some_and(|text| MAGIC.contains(&text))
}

/// Is `PROTOCOL_VERSION` of `torch/serialization.py`.
const VERSION: i64 = 1001;

/// Reads a file that begins with a pickle.
pub(crate) fn read(source: &Source, file: usize, limits: &Limits) -> Result<Contents, Fault> {
    let mut stream = Stream::new(Origin::File(source), 0, source.len);
    let mut arena = Arena::new(limits);
    arena.arrays_are_tensors = true;
    let first = match pickle::load(&mut stream, &mut arena, &PersistentIds::None) {
        // What fails is only where the elements of the first array begin.
        Err(Fault::Refused(_)) if is_joblib(&arena) => {
            return refuse(
                Reason::Unsupported,
                "this is a dump of joblib, whose arrays lie between the pickle's instructions",
            );
        }
        first => first.map_err(|fault| danger_first(&arena, fault))?,
    };
    if !is_magic(&arena, first) {
        return plain(arena, first, &mut stream, file);
    }
    arena.arrays_are_tensors = false;
    let mut evidence = FileEvidence::of(Container::TorchLegacy);
    let (root, places) = legacy(&mut stream, &mut arena, &mut evidence)?;
    if stream.remaining() > 0 {
        arena.notes.push(format!("{} bytes follow the last storage", stream.remaining()));
    }
    arena
        .notes
        .push("the format has no checksums, so a damaged file cannot be told from a sound one".to_owned());
    let mut locate = |arena: &Arena, declared: &Declared| {
        let key = arena.key(declared);
        let Some(&offset) = places.get(key) else {
            return refuse(
                Reason::Contradiction,
                format!("storage '{}' is used but never written, its values would be arbitrary", escape(key)),
            );
        };
        let storage = Storage::stored(file, key.to_owned(), offset, declared.bytes);
        Ok(Storage { device: device(&declared.device), ..storage })
    };
    contents(arena, root, evidence, &Classes::new(), &mut locate)
}

/// Returns true when the pickle is joblib's (joblib/numpy_pickle.py).
fn is_joblib(arena: &Arena) -> bool {
    let wrapper =
        |module: &str, name: &str| module.ends_with("joblib.numpy_pickle") && name == "NumpyArrayWrapper";
    arena.globals.iter().any(|(global, _)| wrapper(&global.module, &global.name))
}

/// Returns a file that is one pickle.
fn plain(mut arena: Arena, root: Value, stream: &mut Stream<'_>, file: usize) -> Result<Contents, Fault> {
    look_behind(stream, &mut arena, &PersistentIds::None)?;
    let mut locate = |arena: &Arena, declared: &Declared| match inline_storage(arena, declared, file) {
        Some(storage) => Ok(storage),
        None => refuse(Reason::Malformed, "a tensor of a plain pickle lies outside of it"),
    };
    contents(arena, root, FileEvidence::of(Container::Pickle), &Classes::new(), &mut locate)
}

/// Returns what follows the magic number: the object, and where each storage's bytes begin in the origin.
pub(super) fn legacy(
    stream: &mut Stream<'_>,
    arena: &mut Arena,
    evidence: &mut FileEvidence,
) -> Result<(Value, HashMap<String, u64>), Fault> {
    let version = load(stream, arena, &PersistentIds::None)?;
    if arena.int(version) != Some(VERSION) {
        return refuse(Reason::Unsupported, "the legacy stream has a protocol version other than 1001");
    }
    let machine = load(stream, arena, &PersistentIds::None)?;
    note_byte_order(arena, machine, evidence);
    let root = load(stream, arena, &PersistentIds::Torch)?;
    let keys = load(stream, arena, &PersistentIds::None)?;
    let Some(keys) = arena.sequence(keys).map(<[Value]>::to_vec) else {
        return refuse(Reason::Malformed, "the legacy stream has no list of storages");
    };
    let sizes: HashMap<&str, (u64, u64)> =
        arena.storages.iter().map(|s| (arena.key(s), (s.bytes, s.element_size))).collect();
    let mut places = HashMap::with_capacity(keys.len().min(sizes.len()));
    for key in keys {
        let key = match arena.int(key) {
            Some(number) => number.to_string(),
            None => arena.text(key).unwrap_or_default().to_owned(),
        };
        let Some(&(bytes, element_size)) = sizes.get(key.as_str()) else {
            return refuse(
                Reason::Contradiction,
                format!("storage '{}' is written but never used", escape(&key)),
            );
        };
        let count = u64::from_le_bytes(stream.array()?);
        if count.checked_mul(element_size) != Some(bytes) {
            return refuse(
                Reason::Contradiction,
                format!(
                    "storage '{}' is written with {count} elements, but declared with {bytes} bytes",
                    escape(&key)
                ),
            );
        }
        let offset = stream.skip(bytes)?;
        if places.insert(key.clone(), offset).is_some() {
            return refuse(Reason::Contradiction, format!("storage '{}' is written twice", escape(&key)));
        }
    }
    Ok((root, places))
}

/// Notes the byte order that the facts about the machine say; elements are little-endian in any case, since
/// PyTorch's writer of this format converted them.
fn note_byte_order(arena: &Arena, machine: Value, evidence: &mut FileEvidence) {
    let Some(Node::Dict(facts)) = arena.node(machine) else {
        return;
    };
    let little = facts.iter().find(|(key, _)| arena.text(*key) == Some("little_endian"));
    match little {
        Some((_, Value::Bool(true))) => evidence.byteorder = Some("little".to_owned()),
        Some((_, Value::Bool(false))) => {
            evidence.byteorder = Some("big".to_owned());
            evidence.note("written on a big-endian machine; legacy streams are little-endian even so");
        }
        _ => {}
    }
}
