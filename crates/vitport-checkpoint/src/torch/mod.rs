//! PyTorch's files: a zip, a stream of pickles, or a tar, and in each of them a pickle that describes
//! tensors as views of storages; and folders of torch.distributed.checkpoint, which hold many zips.

mod attributes;
pub(crate) mod distributed;
mod module;
mod modules;
pub(crate) mod nested;
mod plain_values;
mod reach;
mod script;
mod script_literals;
pub(crate) mod stream;
pub(crate) mod tar;
mod walk;
pub(crate) mod zip;

use std::borrow::Cow;
use std::sync::Arc;

use crate::contents::Contents;
use crate::error::Fault;
use crate::evidence::FileEvidence;
use crate::pickle::arena::Declared;
use crate::pickle::{self, Arena, PersistentIds, Value};
use crate::source::Stream;
use crate::storage::Storage;

/// Finds where a storage that a pickle declares lies.
type Locate<'a> = dyn FnMut(&Arena, &Declared) -> Result<Storage, Fault> + 'a;

/// Makes contents of an unpickled object: the tensors under their paths, what lies next to them, and the
/// evidence of the pickle.
fn contents(
    arena: Arena,
    root: Value,
    mut evidence: FileEvidence,
    scripts: &script::Classes,
    locate: &mut Locate<'_>,
) -> Result<Contents, Fault> {
    let walked = walk::walk(&arena, root, scripts, locate);
    let mut contents = walked.map_err(|fault| danger_first(&arena, fault))?;
    contents.metadata = plain_values::next_to_weights(&arena, root, &mut contents.evidence);
    contents.modules = modules::modules(&arena, root, scripts, &mut contents.evidence);
    let notes = std::mem::take(&mut contents.evidence.notes);
    evidence.is_cut = contents.evidence.is_cut;
    evidence.pickle_protocol = arena.protocol;
    evidence.dangerous_call = arena.dangerous();
    evidence.globals = arena.globals.into_iter().map(|(global, _)| global).collect();
    arena.notes.into_iter().chain(notes).for_each(|note| evidence.note(note));
    contents.evidence = evidence;
    Ok(contents)
}

/// Returns a refusal of the file, or of what a pickle would have called before the instruction that is refused.
fn danger_first(arena: &Arena, fault: Fault) -> Fault {
    match (fault, arena.dangerous()) {
        (Fault::Refused(_), Some(call)) if !arena.limits.allow_dangerous_pickle => Fault::Dangerous(call),
        (fault, _) => fault,
    }
}

/// Reads the first pickle of a file, or one that belongs to it.
fn load(stream: &mut Stream<'_>, arena: &mut Arena, ids: &PersistentIds) -> Result<Value, Fault> {
    pickle::load(stream, arena, ids).map_err(|fault| danger_first(arena, fault))
}

/// Limits the pickles after the first that are looked into.
const BEHIND: usize = 8;

/// Looks at what lies after the end of the pickle that a loader reads. Nothing of it is taken; but where it is pickles again, what
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

/// Returns where a storage lies that is a part of the pickle itself.
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

/// Returns the device as evidence, where the pickle names one.
fn device(name: &Arc<str>) -> Option<Arc<str>> {
    (!name.is_empty()).then(|| Arc::clone(name))
}

/// Returns a dict's key as part of a path.
fn key(arena: &Arena, key: Value) -> Cow<'_, str> {
    let spelt = match key {
        Value::Int(_) | Value::Long(_) => arena.int(key).unwrap_or_default().to_string(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::None => "None".to_owned(),
        Value::Float(_) => format!("{:?}", arena.float(key).unwrap_or_default()),
        Value::Node(_) => match (arena.text(key), arena.sequence(key)) {
            (Some(text), _) => return Cow::Borrowed(text),
            (None, Some(items)) => {
                let parts = items.iter().take(8).map(|item| match item {
                    Value::Node(_) => arena.text(*item).unwrap_or("?").to_owned(),
                    plain => self::key(arena, *plain).into_owned(),
                });
                parts.collect::<Vec<_>>().join(",")
            }
            _ => "?".to_owned(),
        },
    };
    Cow::Owned(spelt)
}
