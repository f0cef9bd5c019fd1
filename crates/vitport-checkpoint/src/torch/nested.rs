//! Storages inside a plain pickle: `torch.storage._load_from_bytes` of a byte string that is a legacy
//! stream with one storage.

use super::stream;
use crate::error::{Fault, Reason, refuse};
use crate::evidence::FileEvidence;
use crate::pickle::arena::{Declared, Place};
use crate::pickle::machine::Machine;
use crate::pickle::{self, Arena, Node, PersistentIds, Value, builders, globals::StorageType};
use crate::source::{Origin, Stream};

/// Gives what one of these costs besides its bytes; also a bound on how many there may be.
const COST: usize = 2048;

/// Returns the storage in a byte string.
pub(crate) fn storage(machine: &mut Machine<'_, '_>, bytes: Value) -> Result<Value, Fault> {
    let Some(Node::Bytes(string)) = machine.arena.node(bytes) else {
        return refuse(Reason::Malformed, "a storage is made of something that is not a byte string");
    };
    let string = string.clone();
    machine.arena.charge(COST)?;
    let (declared, class) = match (string.at, &string.bytes) {
        (Some(at), _) => {
            let mut stream = Stream::new(machine.stream.origin(), at, string.len);
            let (found, class, begin) = inner(&mut stream, machine.arena)?;
            let place = Place::File { at: begin, big_endian: false };
            let key = machine.arena.add_text(&format!("pickle@{begin}"))?;
            (Declared { key, place: Some(Box::new(place)), ..found }, class)
        }
        (None, Some(bytes)) => {
            let mut stream = Stream::new(Origin::Memory(bytes), 0, string.len);
            let (found, class, begin) = inner(&mut stream, machine.arena)?;
            let place = Place::Memory { bytes: std::sync::Arc::clone(bytes), at: begin, big_endian: false };
            let key = format!("pickle#{}", machine.arena.storages.len());
            let key = machine.arena.add_text(&key)?;
            (Declared { key, place: Some(Box::new(place)), ..found }, class)
        }
        (None, None) => return refuse(Reason::Malformed, "a storage's bytes are nowhere"),
    };
    builders::declare_inline(machine, declared, class)
}

/// Reads the inner stream: its storage, and where the elements begin in the stream's origin.
fn inner(stream: &mut Stream<'_>, outer: &mut Arena) -> Result<(Declared, StorageType, u64), Fault> {
    let mut arena = Arena::new(&outer.limits);
    let found = storage_of(stream, &mut arena);
    outer.adopt_globals(arena)?;
    found
}

fn storage_of(stream: &mut Stream<'_>, arena: &mut Arena) -> Result<(Declared, StorageType, u64), Fault> {
    let magic = pickle::load(stream, arena, &PersistentIds::None)?;
    if !stream::is_magic(arena, magic) {
        return refuse(Reason::Unsupported, "a storage in the pickle is not a legacy stream");
    }
    let (root, places) = stream::legacy(stream, arena, &mut FileEvidence::default())?;
    let Some(Node::Storage(part)) = arena.node(root) else {
        return refuse(Reason::Unsupported, "a storage in the pickle is something else");
    };
    let class = match part.dtype {
        Some(dtype) => StorageType::Of(dtype),
        None if part.element_size == 1 => StorageType::Untyped,
        None => StorageType::Other(part.other.unwrap_or("unknown"), part.element_size),
    };
    let found = arena.storages.get(part.declared as usize).cloned();
    let Some((declared, begin)) =
        found.and_then(|d| places.get(arena.key(&d)).map(|&begin| (d.clone(), begin)))
    else {
        return refuse(Reason::Contradiction, "a storage in the pickle is used but never written");
    };
    if part.start != 0 {
        return refuse(Reason::Unsupported, "a storage in the pickle is a part of another one");
    }
    Ok((declared, class, begin))
}
