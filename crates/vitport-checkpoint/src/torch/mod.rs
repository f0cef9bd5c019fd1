//! PyTorch's files: a zip, a stream of pickles, or a tar, and in each of them a pickle that describes
//! tensors as views of storages.

mod beside;
mod module;
pub(crate) mod nested;
mod reach;
mod script;
pub(crate) mod stream;
pub(crate) mod tar;
mod walk;
pub(crate) mod zip;

use std::sync::Arc;

use crate::contents::Contents;
use crate::error::Fault;
use crate::evidence::Evidence;
use crate::pickle::arena::Declared;
use crate::pickle::{self, Arena, PersistentIds, Value};
use crate::source::Stream;
use crate::storage::Storage;

/// Finds where a storage that a pickle declares lies.
type Locate<'a> = dyn FnMut(&Arena, &Declared) -> Result<Storage, Fault> + 'a;

/// From an unpickled object to contents: the tensors under their paths, what lies next to them, and the
/// evidence of the pickle.
fn contents(
    arena: Arena,
    root: Value,
    mut evidence: Evidence,
    scripts: &script::Classes,
    locate: &mut Locate<'_>,
) -> Result<Contents, Fault> {
    let mut contents = walk::walk(&arena, root, scripts, locate)?;
    contents.metadata = beside::scalars(&arena, root, &mut contents.evidence);
    let notes = std::mem::take(&mut contents.evidence.notes);
    evidence.pickle_protocol = arena.protocol;
    evidence.globals = arena.globals.into_iter().map(|(global, _)| global).collect();
    arena.notes.into_iter().chain(notes).for_each(|note| evidence.note(note));
    contents.evidence = evidence;
    Ok(contents)
}

/// Pickles after the first that are looked into.
const BEHIND: usize = 8;

/// What lies after the end of the pickle that a loader reads. Nothing of it is taken; but where it is pickles again, what
/// they name is evidence, since a loader may be made to go on. More bytes than a pickle of a zip may have are only counted.
fn look_behind(stream: &mut Stream<'_>, arena: &mut Arena, ids: &PersistentIds) -> Result<(), Fault> {
    let bytes = stream.remaining();
    if bytes == 0 {
        return Ok(());
    }
    let protocol = arena.protocol;
    let mut pickles = 0;
    let most = if bytes <= arena.limits.max_header_bytes { BEHIND } else { 0 };
    while pickles < most && stream.remaining() > 0 {
        match pickle::load(stream, arena, ids) {
            Ok(_) => pickles += 1,
            Err(Fault::Refused(_)) => break,
            Err(fault) => return Err(fault),
        }
    }
    arena.protocol = protocol;
    let among = match pickles {
        0 => "",
        _ => ", other pickles among them: what those name is listed, and nothing else is taken of them",
    };
    arena.notes.push(format!("{bytes} bytes follow the end of the pickle{among}"));
    Ok(())
}

/// Where a storage lies that is a part of the pickle itself.
fn inline_storage(arena: &Arena, declared: &Declared, file: usize) -> Option<Storage> {
    use crate::pickle::arena::Place;
    use crate::storage::Encoding;
    let (offset, origin, encoding, big_endian) = match declared.place.as_deref() {
        None => return None,
        Some(Place::File { at, big_endian }) => (*at, 0, Encoding::Stored, *big_endian),
        Some(Place::Memory { bytes, at, big_endian }) => {
            (0, *at, Encoding::Inline { bytes: Arc::clone(bytes) }, *big_endian)
        }
    };
    let len = declared.bytes.saturating_add(origin);
    let storage = Storage::stored(file, arena.key(declared).to_owned(), offset, len);
    Some(Storage { origin, encoding, big_endian, ..storage })
}

/// The device as evidence, where the pickle names one.
fn device(name: &Arc<str>) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| Arc::clone(name))
}
