//! A checkpoint's tensors as float32, for a forward pass: each is read from its file when the network comes to it, some
//! rows at a time, in the layout that it has there.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use crate::nn::{ForwardError, Weights};
use crate::state_dict::StateDict;

/// Elements that are read at a time where they must be converted.
const CONVERTED: usize = 16 << 10;

/// Tensors of a state dict, read from its checkpoint on demand. Nothing is kept, so memory stays that of what each thread
/// is multiplying with.
pub struct CheckpointWeights<'a> {
    checkpoint: &'a Checkpoint,
    state_dict: &'a StateDict,
}

impl<'a> CheckpointWeights<'a> {
    /// The tensors of `state_dict`, which must be `checkpoint`'s.
    pub fn new(checkpoint: &'a Checkpoint, state_dict: &'a StateDict) -> Self {
        Self { checkpoint, state_dict }
    }
}

impl Weights for CheckpointWeights<'_> {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        let tensor = find(self.state_dict, name, shape)?;
        let values = room_for(tensor, &elements, room)?;
        read_f32(self.checkpoint, tensor, elements.start as u64, values)?;
        Ok(values)
    }

    fn contains(&self, name: &str) -> bool {
        self.state_dict.has(name)
    }
}

/// The tensor `name`, which must have the shape `shape`.
pub(super) fn find<'a>(
    state_dict: &'a StateDict,
    name: &str,
    shape: &[usize],
) -> Result<&'a Tensor, ForwardError> {
    let Some(tensor) = state_dict.get(name) else {
        return Err(ForwardError::MissingTensor { name: name.to_owned() });
    };
    let has_shape = tensor.shape.len() == shape.len()
        && tensor.shape.iter().zip(shape).all(|(&found, &expected)| found == expected as u64);
    if !has_shape {
        let found = tensor.shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
        return Err(ForwardError::WrongShape { name: name.to_owned(), expected: shape.to_vec(), found });
    }
    Ok(tensor)
}

/// As much of `room` as `elements` of the tensor need; an error where the tensor has not as many.
pub(super) fn room_for<'a>(
    tensor: &Tensor,
    elements: &Range<usize>,
    room: &'a mut Vec<f32>,
) -> Result<&'a mut [f32], ForwardError> {
    if elements.end as u64 > tensor.elements() {
        return Err(unreadable(tensor, "it has fewer values than were asked for"));
    }
    if room.len() < elements.len() {
        room.resize(elements.len(), 0.0);
    }
    Ok(room.get_mut(..elements.len()).unwrap_or_default())
}

/// Elements `first..` of a float tensor, row-major, as float32. f16 and bf16 are exact in it, f64 is rounded.
pub(super) fn read_f32(
    checkpoint: &Checkpoint,
    tensor: &Tensor,
    first: u64,
    out: &mut [f32],
) -> Result<(), ForwardError> {
    match tensor.dtype {
        Dtype::F32 => checkpoint
            .read(tensor, first, bytemuck::cast_slice_mut(out))
            .map_err(|error| unreadable(tensor, error)),
        Dtype::F16 => converted(checkpoint, tensor, first, out, f16::to_f32),
        Dtype::BF16 => converted(checkpoint, tensor, first, out, bf16::to_f32),
        Dtype::F64 => converted(checkpoint, tensor, first, out, |double: f64| double as f32),
        other => Err(unreadable(tensor, format!("its dtype {other} is none that a network computes in"))),
    }
}

/// The same for elements of another type than float32.
fn converted<T: Pod + Zeroable>(
    checkpoint: &Checkpoint,
    tensor: &Tensor,
    first: u64,
    out: &mut [f32],
    convert: impl Fn(T) -> f32,
) -> Result<(), ForwardError> {
    let mut stored = vec![T::zeroed(); out.len().min(CONVERTED)];
    let mut at = first;
    for out in out.chunks_mut(CONVERTED) {
        let stored = stored.get_mut(..out.len()).unwrap_or_default();
        let bytes = bytemuck::cast_slice_mut(&mut *stored);
        checkpoint.read(tensor, at, bytes).map_err(|error| unreadable(tensor, error))?;
        for (value, stored) in out.iter_mut().zip(stored) {
            *value = convert(*stored);
        }
        at += out.len() as u64;
    }
    Ok(())
}

/// Half-precision numbers, little-endian, as float32.
pub(super) fn widen(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    let halves = bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    match dtype {
        Dtype::BF16 => {
            out.iter_mut().zip(halves).for_each(|(out, half)| *out = bf16::from_bits(half).to_f32())
        }
        _ => out.iter_mut().zip(halves).for_each(|(out, half)| *out = f16::from_bits(half).to_f32()),
    }
}

pub(super) fn unreadable(
    tensor: &Tensor,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ForwardError {
    ForwardError::Unreadable { name: tensor.name.to_string(), source: source.into() }
}
