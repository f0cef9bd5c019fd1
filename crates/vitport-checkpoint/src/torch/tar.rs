//! PyTorch's tar (before 0.1.10): members `storages`, `tensors` and `pickle`.
//!
//! The first two are sequences of small pickles with raw numbers between them; the third is the object,
//! which refers to tensors by number. The layout is that of `legacy_load` in `torch/serialization.py`.

use std::collections::HashMap;

use super::script::Classes;
use super::{contents, inline_storage, load};
use crate::contents::Contents;
use crate::error::{Fault, Reason, refuse};
use crate::evidence::{Container, FileEvidence};
use crate::limits::Limits;
use crate::pickle::arena::{Declared, Place};
use crate::pickle::builders;
use crate::pickle::globals::Meaning;
use crate::pickle::nodes::{StorageRef, View};
use crate::pickle::persistent::TarValue;
use crate::pickle::{Arena, PersistentIds, Value};
use crate::source::{Origin, Source, Stream};
use crate::tar::{self, Member};
use crate::tensor::{Dims, LazyBits};

/// Reads the three members.
pub(crate) fn read(source: &Source, file: usize, limits: &Limits) -> Result<Contents, Fault> {
    let members = tar::members(source, limits)?;
    let member = |name: &str| match members.get(name) {
        Some(Member { offset, len }) => Ok(Stream::new(Origin::File(source), *offset, *len)),
        None => refuse(
            Reason::UnknownFormat,
            format!("this is a tar archive without PyTorch's member '{name}' (unpack it first)"),
        ),
    };
    let (mut storages, mut tensors, mut object) =
        (member("storages")?, member("tensors")?, member("pickle")?);
    let mut arena = Arena::new(limits);
    let storages = read_storages(&mut storages, &mut arena)?;
    let tensors = read_tensors(&mut tensors, &mut arena, &storages)?;
    let root = load(&mut object, &mut arena, &PersistentIds::Tar(tensors))?;
    arena
        .notes
        .push("the format has no checksums, so a damaged file cannot be told from a sound one".to_owned());

    let mut locate = |arena: &Arena, declared: &Declared| match inline_storage(arena, declared, file) {
        Some(storage) => Ok(storage),
        None => refuse(Reason::Malformed, "a tensor names a storage that does not exist"),
    };
    contents(arena, root, FileEvidence::of(Container::TorchTar), &Classes::new(), &mut locate)
}

/// Returns a number that the file gives for "how many".
fn count(arena: &Arena, value: Value) -> Result<u64, Fault> {
    let limit = arena.limits.max_tensors;
    match arena.int(value) {
        Some(number) => match u64::try_from(number) {
            Ok(number) if number <= limit as u64 => Ok(number),
            _ => refuse(Reason::Limit, format!("the archive declares {number} storages or tensors")),
        },
        None => refuse(Reason::Malformed, "the archive does not say how many storages and tensors it has"),
    }
}

/// Returns a key: the number that an object had in the memory of the program that saved it.
fn key(arena: &Arena, value: Value) -> Result<i64, Fault> {
    match arena.int(value).or_else(|| arena.text(value)?.parse().ok()) {
        Some(number) => Ok(number),
        None => refuse(Reason::Malformed, "the archive gives something a key that is not a number"),
    }
}

/// Returns the storages, and the parts of storages, by key.
fn read_storages(stream: &mut Stream<'_>, arena: &mut Arena) -> Result<HashMap<i64, StorageRef>, Fault> {
    let mut found = HashMap::new();
    let total = load(stream, arena, &PersistentIds::None)?;
    for _ in 0..count(arena, total)? {
        let entry = load(stream, arena, &PersistentIds::None)?;
        let Some(&[number, location, class]) = arena.sequence(entry) else {
            return refuse(Reason::Malformed, "a storage is not described by three things");
        };
        let number = key(arena, number)?;
        let Some(Meaning::Storage(class)) = arena.meaning(class) else {
            return refuse(Reason::Malformed, "a storage has a class that is not one");
        };
        let numel = u64::from_le_bytes(stream.array()?);
        let Some(bytes) = numel.checked_mul(class.size()) else {
            return refuse(Reason::Malformed, "a storage declares more than 2^64 bytes");
        };
        let place = Place::File { at: stream.skip(bytes)?, big_endian: false };
        let device = arena.device(location);
        let key = arena.add_text(&number.to_string())?;
        let declared = arena.declare(Declared {
            key,
            bytes,
            element_size: class.size(),
            device,
            place: Some(Box::new(place)),
        })?;
        let (dtype, other) = class.dtype();
        let storage = StorageRef { declared, dtype, other, element_size: class.size(), start: 0, numel };
        if found.insert(number, storage).is_some() {
            return refuse(Reason::Contradiction, format!("storage {number} is written twice"));
        }
    }
    let views = load(stream, arena, &PersistentIds::None)?;
    let views = arena.sequence(views).map(<[Value]>::to_vec).unwrap_or_default();
    for view in views {
        let Some(&[target, root, start, numel]) = arena.sequence(view) else {
            return refuse(Reason::Malformed, "a part of a storage is not described by four numbers");
        };
        let (Some(start), Some(numel)) = (arena.int(start), arena.int(numel)) else {
            return refuse(Reason::Malformed, "a part of a storage is not described by four numbers");
        };
        let (target, root) = (key(arena, target)?, key(arena, root)?);
        let part = found.get(&root).and_then(|whole| {
            let (start, numel) = (u64::try_from(start).ok()?, u64::try_from(numel).ok()?);
            (start.checked_add(numel)? <= whole.numel).then_some(StorageRef {
                start: whole.start.checked_add(start)?,
                numel,
                ..*whole
            })
        });
        match part {
            Some(part) => drop(found.insert(target, part)),
            None => return refuse(Reason::Truncated, "a part of a storage lies outside of it"),
        }
    }
    Ok(found)
}

/// Returns the tensors by key.
fn read_tensors(
    stream: &mut Stream<'_>,
    arena: &mut Arena,
    storages: &HashMap<i64, StorageRef>,
) -> Result<HashMap<i64, TarValue>, Fault> {
    let mut found = HashMap::new();
    let total = load(stream, arena, &PersistentIds::None)?;
    for _ in 0..count(arena, total)? {
        let entry = load(stream, arena, &PersistentIds::None)?;
        let Some(&[number, storage, _class]) = arena.sequence(entry) else {
            return refuse(Reason::Malformed, "a tensor is not described by three things");
        };
        let (number, storage) = (key(arena, number)?, key(arena, storage)?);
        let Some(storage) = storages.get(&storage) else {
            return refuse(
                Reason::Contradiction,
                format!("tensor {number} lies in a storage that is not written"),
            );
        };
        let dims = i32::from_le_bytes(stream.array()?);
        // The number of dimensions was once written with eight bytes.
        stream.skip(4)?;
        let dims = usize::try_from(dims).unwrap_or(usize::MAX);
        if dims > arena.limits.max_dims {
            return refuse(Reason::Limit, format!("tensor {number} has too many dimensions"));
        }
        let mut numbers = || -> Result<Dims, Fault> {
            (0..dims).map(|_| natural(i64::from_le_bytes(stream.array()?))).collect()
        };
        let (shape, strides) = (numbers()?, numbers()?);
        let offset = natural(i64::from_le_bytes(stream.array()?))?;
        arena.charge(size_of::<View>() + 16 * dims)?;
        let view = match storage.dtype {
            Some(dtype) => TarValue::Tensor(View {
                declared: storage.declared,
                dtype,
                offset: builders::place(*storage, dtype, offset, &shape, &strides)?,
                shape: arena.add_numbers(&shape)?,
                strides: arena.add_numbers(&strides)?,
                lazy_bits: LazyBits::default(),
                persistent: true,
            }),
            None => TarValue::OtherDtype(storage.other.unwrap_or("untyped"), shape),
        };
        if found.insert(number, view).is_some() {
            return refuse(Reason::Contradiction, format!("tensor {number} is written twice"));
        }
    }
    // The object may also refer to storages by themselves.
    for number in storages.keys() {
        found.entry(*number).or_insert(TarValue::Storage);
    }
    Ok(found)
}

fn natural(number: i64) -> Result<u64, Fault> {
    match u64::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => refuse(Reason::Malformed, "a tensor has a negative size, stride or offset"),
    }
}
