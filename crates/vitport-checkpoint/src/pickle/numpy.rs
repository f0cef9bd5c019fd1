//! numpy's scalars and arrays inside a pickle.
//!
//! A scalar becomes a plain number. An array becomes a tensor in a plain pickle, where nothing else
//! could be the weights, and otherwise stays opaque: next to a state dict it is a random state or a
//! statistic.

use super::arena::{Declared, Place, Value};
use super::builders;
use super::globals::Meaning;
use super::machine::Machine;
use super::nodes::{ByteString, New, Node, StorageRef};
use crate::dtype::Dtype;
use crate::error::{Fault, Reason, refuse};
use crate::numpy::{ArrayType, column_major};
use crate::tensor::{LazyBits, element_count, row_major};

/// Makes the type of `numpy.dtype('f4', False, True)`.
pub(super) fn array_type(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Option<Value>, Fault> {
    let Some(code) = items.first().and_then(|code| machine.arena.text(*code)) else {
        return Ok(None);
    };
    let array_type = ArrayType::parse(code);
    let payload = array_type.code.len();
    machine.arena.add(New::ArrayType(array_type), payload).map(Some)
}

/// Makes of `numpy.core.multiarray.scalar(dtype, bytes)` a plain number where that is exact.
pub(super) fn scalar(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Option<Value>, Fault> {
    let [array_type, bytes, ..] = items else {
        return Ok(None);
    };
    let Some(Node::ArrayType(array_type)) = machine.arena.node(*array_type) else {
        return Ok(None);
    };
    let stored = match machine.arena.node(*bytes) {
        Some(Node::Bytes(string)) => string.bytes.as_deref(),
        Some(Node::Text(text)) => Some(text.as_bytes()),
        _ => None,
    };
    let (Some(dtype), Some(stored)) = (array_type.dtype(), stored) else {
        return Ok(None);
    };
    let mut eight = [0; 8];
    if stored.len() as u64 != dtype.size() {
        return Ok(None);
    }
    let negative = match if array_type.big_endian { stored.first() } else { stored.last() } {
        Some(high) => high & 0x80 != 0,
        None => false,
    };
    let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64);
    if signed && negative {
        eight = [0xff; 8];
    }
    let little: Vec<u8> =
        if array_type.big_endian { stored.iter().rev().copied().collect() } else { stored.to_vec() };
    for (to, from) in eight.iter_mut().zip(&little) {
        *to = *from;
    }
    let low = |wide: [u8; 8]| -> [u8; 4] { [wide[0], wide[1], wide[2], wide[3]] };
    Ok(match dtype {
        Dtype::F64 => Some(machine.arena.add_float(f64::from_le_bytes(eight))?),
        Dtype::F32 => Some(machine.arena.add_float(f32::from_le_bytes(low(eight)).into())?),
        Dtype::Bool => Some(Value::Bool(eight != [0; 8])),
        Dtype::U64 => match i64::try_from(u64::from_le_bytes(eight)) {
            Ok(number) => Some(machine.arena.add_int(number)?),
            Err(_) => None,
        },
        dtype if signed || matches!(dtype, Dtype::U8 | Dtype::U16 | Dtype::U32) => {
            Some(machine.arena.add_int(i64::from_le_bytes(eight))?)
        }
        _ => None,
    })
}

/// Makes the array of `_frombuffer(buffer, dtype, shape, order)`.
pub(super) fn from_buffer(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Option<Value>, Fault> {
    let [buffer, array_type, shape, order, ..] = items else {
        return Ok(None);
    };
    let fortran = machine.arena.text(*order) == Some("F");
    array(machine, *shape, *array_type, fortran, *buffer)
}

/// Does `BUILD` on a dtype or on an array. True when the state was one of theirs.
pub(super) fn set_state(machine: &mut Machine<'_, '_>, target: Value, state: Value) -> Result<bool, Fault> {
    let items: Vec<Value> = machine
        .arena
        .sequence(state)
        .map(|items| items.iter().copied().take(8).collect())
        .unwrap_or_default();
    if let Some(Node::ArrayType(_)) = machine.arena.node(target) {
        let order = items.get(1).and_then(|order| machine.arena.text(*order)).unwrap_or("").to_owned();
        if let Some(array_type) = machine.arena.array_type_mut(target) {
            array_type.big_endian = order == ">";
        }
        return Ok(true);
    }
    let Some(Node::Object(object)) = machine.arena.node(target) else {
        return Ok(false);
    };
    if machine.arena.meaning(object.callee) != Some(Meaning::NumpyArray) {
        return Ok(false);
    }
    // (version, shape, dtype, is_fortran, contents)
    let [_, shape, array_type, fortran, contents, ..] = items.as_slice() else {
        return Ok(false);
    };
    let made = array(machine, *shape, *array_type, *fortran == Value::Bool(true), *contents)?;
    match made {
        Some(made) => machine.arena.become_tensor(target, made),
        None => Ok(false),
    }
}

/// Returns a tensor over the bytes of an array, where arrays are tensors.
fn array(
    machine: &mut Machine<'_, '_>,
    shape: Value,
    array_type: Value,
    fortran: bool,
    contents: Value,
) -> Result<Option<Value>, Fault> {
    if !machine.arena.arrays_are_tensors {
        return Ok(None);
    }
    let (Some(Node::ArrayType(array_type)), Some(Node::Bytes(string))) =
        (machine.arena.node(array_type), machine.arena.node(contents))
    else {
        return Ok(None);
    };
    let Some(dtype) = array_type.dtype() else {
        return Ok(None);
    };
    let (big_endian, string) = (array_type.big_endian, string.clone());
    let Some(sizes) = machine.arena.numbers(shape)? else {
        return Ok(None);
    };
    let strides = if fortran { column_major(&sizes) } else { row_major(&sizes) };
    if element_count(&sizes).and_then(|count| count.checked_mul(dtype.size())) != Some(string.len) {
        return refuse(
            Reason::Contradiction,
            format!("an array of shape {sizes:?} and dtype {dtype} is given {} bytes", string.len),
        );
    }
    let declared = inline(machine, &string, dtype.size(), big_endian)?;
    let stride = machine.arena.add_numbers(&strides)?;
    let storage = StorageRef {
        declared,
        dtype: Some(dtype),
        other: None,
        element_size: dtype.size(),
        start: 0,
        numel: string.len / dtype.size(),
    };
    builders::tensor(machine, storage, Ok(dtype), [Value::Int(0), shape, stride], LazyBits::default())
        .map(Some)
}

/// Declares the bytes of an array as a storage.
fn inline(
    machine: &mut Machine<'_, '_>,
    string: &ByteString,
    element_size: u64,
    big_endian: bool,
) -> Result<u32, Fault> {
    let number = machine.arena.storages.len();
    let (key, place) = match (string.at, &string.bytes) {
        (Some(at), _) => (format!("pickle@{at}"), Place::File { at, big_endian }),
        (None, Some(bytes)) => (
            format!("pickle#{number}"),
            Place::Memory { bytes: std::sync::Arc::clone(bytes), at: 0, big_endian },
        ),
        (None, None) => return refuse(Reason::Malformed, "an array's bytes are nowhere"),
    };
    machine.arena.charge(key.len())?;
    let key = machine.arena.add_text(&key)?;
    machine.arena.declare(Declared {
        key,
        bytes: string.len,
        element_size,
        device: "".into(),
        place: Some(Box::new(place)),
    })
}
