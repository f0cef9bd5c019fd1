//! Reads a checkpoint's tensors as float32, for a forward pass: each is read from its file when the network comes to it, some
//! rows at a time, in the layout that it has there.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use crate::mapping::{SourceTensor, Sources};
use crate::nn::{ForwardError, Weights};
use crate::plan::Part;

/// Gives the elements that are read at a time where they must be converted.
const CONVERTED: usize = 16 << 10;

/// Reads a network's tensors from a checkpoint on demand, through the layout that they lie in. Nothing is kept but the
/// last tensor whose axes are in another order than the file's, because a product asks for it part by part; so memory stays
/// that of what each thread is multiplying with.
pub struct SourceWeights<'a> {
    checkpoint: &'a Checkpoint,
    tensors: &'a Sources,
    reordered: Mutex<Option<(String, Vec<f32>)>>,
}

impl<'a> SourceWeights<'a> {
    /// Returns the weights of `tensors`, which must be `checkpoint`'s.
    pub fn new(checkpoint: &'a Checkpoint, tensors: &'a Sources) -> Self {
        Self { checkpoint, tensors, reordered: Mutex::default() }
    }
}

impl Weights for SourceWeights<'_> {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        let tensor = find(self.tensors, name, shape)?;
        let values = scratch_for(tensor, &elements, scratch)?;
        if is_in_order(tensor) {
            read_parts(self.checkpoint, tensor, elements.start as u64, values)?;
            return Ok(values);
        }
        let mut last = self.reordered.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|(known, _)| known != name) {
            let mut whole = vec![0.0; usize::try_from(tensor.elements()).unwrap_or(usize::MAX)];
            read_parts(self.checkpoint, tensor, 0, &mut whole)?;
            *last = Some((name.to_owned(), whole));
        }
        let known = last.as_ref().and_then(|(_, whole)| whole.get(elements)).unwrap_or_default();
        values.copy_from_slice(known);
        Ok(values)
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.has(name)
    }
}

/// Returns whether any range of its elements is a few ranges of bytes, or it is so small that it does not matter.
fn is_in_order(tensor: &SourceTensor) -> bool {
    const SMALL: u64 = 1 << 12;
    let is_plain = |part: &Part| match part {
        Part::Slice { tensor, .. } => tensor.is_contiguous(),
        _ => true,
    };
    tensor.elements() <= SMALL || tensor.parts.iter().all(is_plain)
}

/// Returns the tensor `name`, which must have the shape `shape`.
pub(super) fn find<'a>(
    tensors: &'a Sources,
    name: &str,
    shape: &[usize],
) -> Result<&'a SourceTensor, ForwardError> {
    let Some((_, tensor)) = tensors.entry(name) else {
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

/// Returns as much of `scratch` as `elements` of the tensor need; an error where the tensor has fewer.
pub(super) fn scratch_for<'a>(
    tensor: &SourceTensor,
    elements: &Range<usize>,
    scratch: &'a mut Vec<f32>,
) -> Result<&'a mut [f32], ForwardError> {
    if elements.end as u64 > tensor.elements() {
        return Err(unreadable(&tensor.name, "it has fewer values than were asked for"));
    }
    if scratch.len() < elements.len() {
        scratch.resize(elements.len(), 0.0);
    }
    Ok(scratch.get_mut(..elements.len()).unwrap_or_default())
}

/// Reads elements `first..` of a tensor, row-major, from the parts that it is made of.
fn read_parts(
    checkpoint: &Checkpoint,
    tensor: &SourceTensor,
    first: u64,
    out: &mut [f32],
) -> Result<(), ForwardError> {
    let (mut position, mut rest, mut start) = (first, out, 0_u64);
    for part in &tensor.parts {
        let end = start.saturating_add(part.elements());
        if rest.is_empty() || position >= end {
            start = end;
            continue;
        }
        let count = usize::try_from(end - position).unwrap_or(usize::MAX).min(rest.len());
        let (now, later) = rest.split_at_mut(count);
        match part {
            Part::Slice { tensor, first, .. } => {
                read_f32(checkpoint, tensor, first.saturating_add(position - start), now)?;
            }
            Part::Zeros { .. } => now.fill(0.0),
            Part::Repeated { number, .. } => now.fill(f32::from(*number)),
            Part::Scaled { .. }
            | Part::ScaledRows { .. }
            | Part::ShiftedColumns { .. }
            | Part::DistanceTable(_)
            | Part::Identity { .. }
            | Part::WindowDistances { .. } => {
                return Err(unreadable(&tensor.name, "it is computed, and only written tensors can be"));
            }
        }
        position = position.saturating_add(count as u64);
        (rest, start) = (later, end);
    }
    Ok(())
}

/// Reads elements `first..` of a float tensor, row-major, as float32. f16 and bf16 are exact in it, f64 is rounded.
pub(super) fn read_f32(
    checkpoint: &Checkpoint,
    tensor: &Tensor,
    first: u64,
    out: &mut [f32],
) -> Result<(), ForwardError> {
    match tensor.dtype {
        Dtype::F32 => checkpoint
            .read(tensor, first, bytemuck::cast_slice_mut(out))
            .map_err(|error| unreadable(&tensor.name, error)),
        Dtype::F16 => converted(checkpoint, tensor, first, out, f16::to_f32),
        Dtype::BF16 => converted(checkpoint, tensor, first, out, bf16::to_f32),
        Dtype::F64 => converted(checkpoint, tensor, first, out, |double: f64| double as f32),
        other => {
            Err(unreadable(&tensor.name, format!("its dtype {other} is not one that a network computes in")))
        }
    }
}

/// Does the same for elements of another type than float32.
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
        checkpoint.read(tensor, at, bytes).map_err(|error| unreadable(&tensor.name, error))?;
        for (value, stored) in out.iter_mut().zip(stored) {
            *value = convert(*stored);
        }
        at += out.len() as u64;
    }
    Ok(())
}

/// Converts half-precision numbers, little-endian, to float32.
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
    name: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ForwardError {
    ForwardError::Unreadable { name: name.to_owned(), source: source.into() }
}
