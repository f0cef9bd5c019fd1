//! Persistent ids: how a pickle refers to what lies outside of it.

use std::collections::HashMap;

use super::arena::{Arena, Declared, Value};
use super::globals::{Meaning, StorageType};
use super::literals::LINE;
use super::machine::Machine;
use super::nodes::{New, StorageRef, View};
use super::opcode as op;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::tensor::Dims;

/// Describes what the persistent ids of a pickle refer to.
#[derive(Debug)]
pub(crate) enum PersistentIds {
    /// Stands for nothing; a pickle that uses them is refused.
    None,
    /// Stands for the storages, and in legacy streams the classes of modules, as tuples whose first item says which.
    Torch,
    /// Stands for the tensors by number, as in PyTorch's tar format; and classes of modules as tuples.
    Tar(HashMap<i64, TarValue>),
}

/// Describes what a number refers to in PyTorch's tar format.
#[derive(Debug)]
pub(crate) enum TarValue {
    /// Means a tensor.
    Tensor(View),
    /// Means a tensor of a dtype that this reader does not hold: PyTorch's name for it, and the sizes.
    OtherDtype(&'static str, Dims),
    /// Means a storage by itself, which is no tensor.
    Storage,
}

impl Machine<'_, '_> {
    pub(super) fn persistent_id(&mut self, opcode: u8) -> Result<(), Fault> {
        let id = if opcode == op::PERSID {
            let line = self.stream.line(LINE)?;
            let text = String::from_utf8_lossy(&line).into_owned();
            self.arena.charge(text.len())?;
            self.arena.add_text(&text)?
        } else {
            self.pop()?
        };
        let ids = self.ids;
        let value = match ids {
            PersistentIds::None => {
                return refuse(
                    Reason::Unsupported,
                    "the pickle refers to data outside of it, which is not here",
                );
            }
            PersistentIds::Torch => storage(self.arena, id)?,
            PersistentIds::Tar(tensors) => tar_value(self.arena, tensors, id)?,
        };
        self.push(value)
    }
}

/// Makes a storage of `("storage", class, key, location, numel[, view])` or `("module", class, file, source)`.
fn storage(arena: &mut Arena, id: Value) -> Result<Value, Fault> {
    let mut items = [Value::None; 6];
    let given = arena.sequence(id).unwrap_or_default();
    let count = given.len().min(items.len());
    items.iter_mut().zip(given).for_each(|(to, from)| *to = *from);
    let items = items.get(..count).unwrap_or_default();
    let kind = items.first().and_then(|kind| arena.text(*kind));
    if kind == Some("module")
        && let Some(class) = items.get(1)
    {
        return Ok(*class);
    }
    let view = items.get(5).copied().unwrap_or(Value::None);
    let [_, class, key, location, numel, ..] = items else {
        return malformed();
    };
    let Some(numel) = arena.int(*numel) else {
        return malformed();
    };
    let (Some("storage"), Some(Meaning::Storage(class))) = (kind, arena.meaning(*class)) else {
        return malformed();
    };
    let key = match arena.int(*key) {
        Some(number) => arena.add_text(&number.to_string())?,
        None => *key,
    };
    let device = arena.device(*location);
    let Ok(numel) = u64::try_from(numel) else {
        return malformed();
    };
    let Some(bytes) = numel.checked_mul(class.size()) else {
        return refuse(
            Reason::Malformed,
            format!(
                "storage '{}' declares more than 2^64 bytes",
                escape(arena.text(key).unwrap_or_default())
            ),
        );
    };
    let declared = arena.declare(Declared { key, bytes, element_size: class.size(), device, place: None })?;
    let (start, numel) = part(arena, view, numel)?;
    storage_node(arena, declared, class, start, numel)
}

/// Adds a node for a part of a declared storage.
pub(super) fn storage_node(
    arena: &mut Arena,
    declared: u32,
    class: StorageType,
    start: u64,
    numel: u64,
) -> Result<Value, Fault> {
    let (dtype, other) = class.dtype();
    let part = StorageRef { declared, dtype, other, element_size: class.size(), start, numel };
    arena.add(New::Storage(part), 0)
}

/// Returns the view metadata of old files: `(key, offset, size)` makes the storage a part of the one named.
fn part(arena: &Arena, view: Value, numel: u64) -> Result<(u64, u64), Fault> {
    if view == Value::None {
        return Ok((0, numel));
    }
    let Some(&[_, start, len]) = arena.sequence(view) else {
        return malformed();
    };
    let (Some(start), Some(len)) = (arena.int(start), arena.int(len)) else {
        return malformed();
    };
    match (u64::try_from(start), u64::try_from(len)) {
        (Ok(start), Ok(len)) if start.checked_add(len).is_some_and(|end| end <= numel) => Ok((start, len)),
        _ => refuse(Reason::Malformed, "a part of a storage reaches beyond its end"),
    }
}

fn malformed<T>() -> Result<T, Fault> {
    refuse(Reason::Malformed, "the pickle refers to a storage in a way that PyTorch never does")
}

/// Returns a tensor by its number, given as a number or as its digits; a tuple begins with a module's class.
fn tar_value(arena: &mut Arena, tensors: &HashMap<i64, TarValue>, id: Value) -> Result<Value, Fault> {
    if let Some(class) = arena.sequence(id).and_then(<[Value]>::first) {
        return Ok(*class);
    }
    let number = arena.int(id).or_else(|| arena.text(id)?.parse().ok());
    match number.and_then(|number| tensors.get(&number)) {
        Some(TarValue::Tensor(view)) => {
            let view = *view;
            arena.add(New::Tensor(view), 0)
        }
        Some(TarValue::OtherDtype(name, shape)) => arena.add(New::OtherDtype(name, shape), 0),
        Some(TarValue::Storage) => Ok(Value::None),
        None => refuse(Reason::Malformed, "the pickle refers to a tensor that the archive does not hold"),
    }
}
