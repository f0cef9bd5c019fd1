//! The short list: what each tensor builder and plain container makes of its arguments.
//!
//! Argument orders are those of `torch/_utils.py` and `torch/_tensor.py`. A builder that is given
//! something it would not take refuses the file.

use super::arena::{Declared, Value};
use super::globals::Meaning;
use super::machine::Machine;
use super::nodes::{Entries, New, Node, StorageRef, View};
use super::persistent::storage_node;
use super::{literals, numpy, text};
use crate::dtype::Dtype;
use crate::error::{Fault, Reason, refuse};
use crate::tensor::{LazyBits, element_count, extent};

/// Calls that may stand for each other (`_rebuild_from_type_v2` of `_rebuild_from_type_v2` of …).
const NESTED_BUILDERS: usize = 8;

/// Returns what calling a global of this meaning makes; `None` when it makes nothing that is known.
pub(super) fn build(
    machine: &mut Machine<'_, '_>,
    meaning: Meaning,
    args: Value,
) -> Result<Option<Value>, Fault> {
    build_nested(machine, meaning, args, NESTED_BUILDERS)
}

fn build_nested(
    machine: &mut Machine<'_, '_>,
    meaning: Meaning,
    args: Value,
    depth: usize,
) -> Result<Option<Value>, Fault> {
    // Builders look at their first eight arguments at most; containers of any length come as one.
    let mut arguments = [Value::None; 8];
    let Some(items) = machine.arena.sequence(args) else {
        return Ok(None);
    };
    let count = items.len().min(arguments.len());
    arguments.iter_mut().zip(items).for_each(|(to, from)| *to = *from);
    let items = arguments.get(..count).unwrap_or_default();
    let first = items.first().copied();
    let arena = &mut *machine.arena;
    let made = match meaning {
        Meaning::RebuildTensor => rebuild_tensor(machine, items)?,
        Meaning::RebuildTensorV3 => rebuild_tensor_v3(machine, items)?,
        Meaning::RebuildParameter | Meaning::RebuildFromCpu => match first {
            Some(tensor) if is_tensor(machine, tensor) => tensor,
            _ => return malformed("a parameter is made of something that is not a tensor"),
        },
        Meaning::RebuildFromType => {
            let (Some(builder), Some(inner)) = (items.first(), items.get(2)) else {
                return malformed("a tensor subclass is made of nothing");
            };
            let builder = arena.meaning(*builder).unwrap_or(Meaning::Nothing);
            let state = items.get(3).copied().unwrap_or(Value::None);
            let made = match depth.checked_sub(1) {
                Some(depth) => build_nested(machine, builder, *inner, depth)?,
                None => return refuse(Reason::Limit, "tensor builders are nested too deeply"),
            };
            let Some(made) = made else {
                return Ok(None);
            };
            note_buffer(machine, made, state);
            made
        }
        Meaning::Unsupported(kind) => arena.add(New::Unsupported(kind), kind.len())?,
        Meaning::LoadFromBytes => match first {
            Some(bytes) => crate::torch::nested::storage(machine, bytes)?,
            None => return malformed("a storage is made of nothing"),
        },
        Meaning::Dict => {
            let pairs = first.map(|first| pairs(machine, first)).transpose()?.unwrap_or_default();
            machine.arena.add(New::Dict(pairs), 0)?
        }
        Meaning::DefaultDict => arena.add(New::Dict(Entries::new()), 0)?,
        Meaning::Tuple | Meaning::List | Meaning::Set => {
            let contents =
                first.and_then(|first| arena.sequence(first)).map(<[Value]>::to_vec).unwrap_or_default();
            let payload = contents.len().saturating_mul(size_of::<Value>());
            arena.charge(payload)?;
            match meaning {
                Meaning::Tuple => arena.add_tuple(&contents)?,
                Meaning::List => arena.add(New::List(contents), 0)?,
                _ => arena.add(New::Set(contents), 0)?,
            }
        }
        Meaning::Itself => first.unwrap_or(Value::None),
        Meaning::Encode => return encode(machine, items),
        Meaning::ByteArray => match first {
            Some(bytes) if matches!(arena.node(bytes), Some(Node::Bytes(_))) => bytes,
            _ => return Ok(None),
        },
        Meaning::NumpyScalar => return numpy::scalar(machine, items),
        Meaning::NumpyDtype => return numpy::array_type(machine, items),
        Meaning::NumpyFromBuffer => return numpy::from_buffer(machine, items),
        Meaning::TensorClass => match first {
            Some(tensor) if is_tensor(machine, tensor) => tensor,
            _ => return Ok(None),
        },
        Meaning::NumpyArray | Meaning::NewObject => return Ok(None),
        Meaning::Storage(_) | Meaning::Dtype(_) | Meaning::Nothing => return Ok(None),
    };
    Ok(Some(made))
}

fn malformed<T>(why: &str) -> Result<T, Fault> {
    refuse(Reason::Malformed, format!("the pickle does what PyTorch never does: {why}"))
}

fn is_tensor(machine: &Machine<'_, '_>, value: Value) -> bool {
    matches!(machine.arena.node(value), Some(Node::Tensor(_) | Node::Unsupported(_)))
}

/// Rebuilds `_rebuild_tensor(storage, offset, size, stride)`, version 2 with `requires_grad, backward_hooks[,
/// metadata]` after it.
fn rebuild_tensor(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Value, Fault> {
    let [storage, offset, size, stride, ..] = items else {
        return malformed("a tensor is made of less than four things");
    };
    let metadata = items.get(6).copied().unwrap_or(Value::None);
    let lazy_bits = lazy_bits(machine, metadata)?;
    let storage = storage_of(machine, *storage)?;
    tensor(machine, storage, storage.held_dtype(), [*offset, *size, *stride], lazy_bits)
}

/// Rebuilds `_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, backward_hooks, dtype[, metadata])`.
fn rebuild_tensor_v3(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Value, Fault> {
    let [storage, offset, size, stride, _, _, dtype, ..] = items else {
        return malformed("a tensor is made of less than seven things");
    };
    let metadata = items.get(7).copied().unwrap_or(Value::None);
    let lazy_bits = lazy_bits(machine, metadata)?;
    let storage = storage_of(machine, *storage)?;
    let name = match machine.arena.node(*dtype) {
        Some(Node::Global(number)) => {
            machine.arena.globals.get(number).map(|(global, _)| global.name.clone())
        }
        _ => None,
    };
    let (Some(Meaning::Dtype(dtype)), Some(name)) = (machine.arena.meaning(*dtype), name) else {
        return malformed("a tensor has a dtype that is not one");
    };
    let dtype = dtype.ok_or(name.as_str());
    tensor(machine, storage, dtype, [*offset, *size, *stride], lazy_bits)
}

fn storage_of(machine: &Machine<'_, '_>, value: Value) -> Result<StorageRef, Fault> {
    match machine.arena.node(value) {
        Some(Node::Storage(storage)) => Ok(*storage),
        _ => malformed("a tensor is made of something that is not a storage"),
    }
}

/// Makes a view, checking that all of it lies in its storage.
pub(super) fn tensor(
    machine: &mut Machine<'_, '_>,
    storage: StorageRef,
    dtype: Result<Dtype, &str>,
    [offset, size, stride]: [Value; 3],
    lazy_bits: LazyBits,
) -> Result<Value, Fault> {
    let Some(offset) = machine.arena.int(offset) else {
        return malformed("a tensor begins at something that is not a number");
    };
    let arena = &mut *machine.arena;
    let (Ok(offset), Some(shape), Some(strides)) =
        (u64::try_from(offset), arena.numbers(size)?, arena.numbers(stride)?)
    else {
        return malformed("a tensor has a size, stride or offset that is not a natural number");
    };
    if shape.len() != strides.len() {
        return malformed("a tensor has another number of strides than of sizes");
    }
    let dtype = match dtype {
        Ok(dtype) => dtype,
        Err(name) => return arena.add(New::OtherDtype(name, &shape), 0),
    };
    let offset = place(storage, dtype, offset, &shape, &strides)?;
    let (shape, strides) = (arena.tuple_like(size)?, arena.tuple_like(stride)?);
    let declared = storage.declared;
    let view = View { declared, dtype, shape, strides, offset, lazy_bits, persistent: true };
    arena.add(New::Tensor(view), 0)
}

/// Returns where the first element of a view lies in the whole storage, in elements; the view is checked to lie inside its part of it.
pub(crate) fn place(
    storage: StorageRef,
    dtype: Dtype,
    offset: u64,
    shape: &[u64],
    strides: &[u64],
) -> Result<u64, Fault> {
    let begin = storage.start.checked_mul(storage.element_size);
    let available = storage.numel.checked_mul(storage.element_size);
    let needed = extent(shape, strides, offset).and_then(|elements| elements.checked_mul(dtype.size()));
    let bytes = element_count(shape).and_then(|elements| elements.checked_mul(dtype.size()));
    let (Some(begin), Some(available), Some(needed), Some(_)) = (begin, available, needed, bytes) else {
        return malformed("a tensor is larger than 2^64 bytes");
    };
    let offset = (begin / dtype.size()).checked_add(offset);
    let (Some(offset), true) = (offset, begin % dtype.size() == 0) else {
        return malformed("a tensor begins between two elements");
    };
    if needed > available {
        return refuse(
            Reason::Truncated,
            format!("a tensor of shape {shape:?} needs {needed} bytes of a storage of {available} bytes"),
        );
    }
    Ok(offset)
}

/// Returns the conjugate and negative bits; anything else that a later PyTorch may add is refused, since it
/// would change the values.
fn lazy_bits(machine: &Machine<'_, '_>, metadata: Value) -> Result<LazyBits, Fault> {
    let mut lazy_bits = LazyBits::default();
    if metadata == Value::None {
        return Ok(lazy_bits);
    }
    let Some(Node::Dict(entries)) = machine.arena.node(metadata) else {
        return malformed("a tensor has metadata that is not a dict");
    };
    for (key, value) in entries {
        let slot = match machine.arena.text(*key) {
            Some("conj") => &mut lazy_bits.conjugate,
            Some("neg") => &mut lazy_bits.negate,
            _ => return refuse(Reason::Unsupported, "a tensor has metadata that this reader does not know"),
        };
        match value {
            Value::Bool(set) => *slot = *set,
            _ => return malformed("a tensor has metadata that is not a truth value"),
        }
    }
    Ok(lazy_bits)
}

/// Notes that `torch.nn.Buffer(persistent=False)` is saved with its values, but is not part of a state dict.
fn note_buffer(machine: &mut Machine<'_, '_>, tensor: Value, state: Value) {
    let Some(Node::Dict(entries)) = machine.arena.node(state) else {
        return;
    };
    let transient = entries
        .iter()
        .any(|(key, value)| machine.arena.text(*key) == Some("persistent") && *value == Value::Bool(false));
    if transient && let Some(view) = machine.arena.view_mut(tensor) {
        view.persistent = false;
    }
}

/// Returns the pairs of a dict's only argument: a list of pairs, or a dict.
fn pairs(machine: &mut Machine<'_, '_>, from: Value) -> Result<Entries, Fault> {
    let pairs: Option<Entries> = match machine.arena.node(from) {
        Some(Node::Dict(entries)) => Some(entries.into()),
        _ => machine.arena.sequence(from).and_then(|items| {
            let pair = |item: &Value| match machine.arena.sequence(*item) {
                Some(&[key, value]) => Some((key, value)),
                _ => None,
            };
            items.iter().map(pair).collect()
        }),
    };
    let Some(pairs) = pairs else {
        return malformed("a dict is made of something that holds no pairs");
    };
    machine.arena.charge(pairs.len().saturating_mul(2 * size_of::<Value>()))?;
    Ok(pairs)
}

/// Makes the byte string of `_codecs.encode(text, 'latin1')`.
fn encode(machine: &mut Machine<'_, '_>, items: &[Value]) -> Result<Option<Value>, Fault> {
    let [source_value, encoding, ..] = items else {
        return Ok(None);
    };
    let encoding = machine.arena.text(*encoding).map(str::to_ascii_lowercase);
    let bytes = match (machine.arena.node(*source_value), encoding.as_deref()) {
        (Some(Node::Text(source)), Some("latin1" | "latin-1" | "iso-8859-1")) => {
            // The text was paid for; its bytes are paid for before they are made.
            let len = source.len();
            machine.arena.charge(len)?;
            machine.arena.text(*source_value).and_then(text::latin1_bytes)
        }
        _ => None,
    };
    bytes.map(|bytes| literals::bytes_value(machine.arena, bytes)).transpose()
}

/// Does `BUILD` on an object of a tensor class: `(storage, offset, size, stride)`, as PyTorch 0.1 saved
/// tensors, or the tensor first, as it saved variables.
pub(super) fn set_tensor_state(
    machine: &mut Machine<'_, '_>,
    target: Value,
    state: Value,
) -> Result<bool, Fault> {
    let Some(Node::Object(object)) = machine.arena.node(target) else {
        return Ok(false);
    };
    if machine.arena.meaning(object.callee) != Some(Meaning::TensorClass) {
        return Ok(false);
    }
    let argument = machine.arena.sequence(object.args).and_then(<[Value]>::first).copied();
    let items = machine.arena.sequence(state).map(<[Value]>::to_vec).unwrap_or_default();
    let made = match items.as_slice() {
        [storage, offset, size, stride] if matches!(machine.arena.node(*storage), Some(Node::Storage(_))) => {
            let storage = storage_of(machine, *storage)?;
            tensor(machine, storage, storage.held_dtype(), [*offset, *size, *stride], LazyBits::default())?
        }
        [first, ..] if is_tensor(machine, *first) => *first,
        _ => match argument {
            Some(argument) if is_tensor(machine, argument) => argument,
            _ => return Ok(false),
        },
    };
    machine.arena.become_tensor(target, made)
}

/// Returns a storage whose bytes lie in the pickle itself, as a value.
pub(crate) fn declare_inline(
    machine: &mut Machine<'_, '_>,
    declared: Declared,
    class: super::globals::StorageType,
) -> Result<Value, Fault> {
    let numel = declared.bytes / class.size();
    let number = machine.arena.declare(declared)?;
    storage_node(machine.arena, number, class, 0, numel)
}
