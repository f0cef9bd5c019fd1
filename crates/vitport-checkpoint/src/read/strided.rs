//! Views whose elements do not lie in row-major order: transposed, sliced, expanded, channels last.
//!
//! A range of such a view is cut into boxes, which are whole in all dimensions but the first. A box touches its storage
//! from a lowest to a highest element. When that span is little longer than the box, it is read and picked apart. When it
//! is long, as in a transposed matrix where every box touches all rows, the tensor's whole span is read once and kept,
//! since the next box will need it again. Where that would take too much memory, the box's runs are read one by one.

use std::sync::{Arc, Mutex, PoisonError};

use super::Bytes;
use super::audit::Seen;
use crate::error::{Fault, Reason, refuse};
use crate::tensor::{Tensor, extent};

/// The longest span of a tensor that is kept, in bytes.
const KEPT: u64 = 16 << 20;

/// Columns that are picked at a time: one cache line of each is at hand while all rows go by.
const COLUMNS: usize = 16;

/// The last span that was read because neighbouring boxes will need it. There is one, so that memory stays bounded
/// however many threads read.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Span>);

#[derive(Debug, Default)]
struct Span {
    storage: usize,
    start: u64,
    len: u64,
    /// At least `len` bytes; memory is used again for the next span.
    bytes: Arc<Vec<u8>>,
}

/// A dimension: its size, and the elements from one index to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    size: usize,
    stride: usize,
}

/// Some elements of a view: all combinations of its axes' indices, from element `low` of the storage on.
struct Part {
    low: usize,
    axes: Vec<Axis>,
}

impl Part {
    /// How many elements of the storage lie between its first and its last, both counted.
    fn span(&self) -> usize {
        self.axes.iter().fold(1, |span, axis| {
            span.saturating_add(axis.size.saturating_sub(1).saturating_mul(axis.stride))
        })
    }
}

/// A view's dimensions, those that lie in one another's row-major order joined.
fn axes(tensor: &Tensor) -> Vec<Axis> {
    let mut axes: Vec<Axis> = Vec::new();
    for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides).filter(|(size, _)| **size != 1) {
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let inner = Axis { size: number(size), stride: number(stride) };
        match axes.last_mut() {
            Some(outer) if outer.stride == inner.size.saturating_mul(inner.stride) => {
                *outer = Axis { size: outer.size.saturating_mul(inner.size), stride: inner.stride };
            }
            _ => axes.push(inner),
        }
    }
    axes
}

/// Elements of an index of the axis before these.
fn elements(axes: &[Axis]) -> usize {
    axes.iter().fold(1, |count, axis| count.saturating_mul(axis.size))
}

/// Cuts `count` elements from number `first` on into boxes, in order.
fn parts(axes: &[Axis], low: usize, first: usize, count: usize, found: &mut Vec<Part>) {
    let Some((axis, inner)) = axes.split_first().filter(|_| count > 0) else {
        if count > 0 {
            found.push(Part { low, axes: Vec::new() });
        }
        return;
    };
    let row = elements(inner).max(1);
    let at = |index: usize| low.saturating_add(index.saturating_mul(axis.stride));
    let (mut index, skipped) = (first / row, first % row);
    let mut left = count;
    if skipped > 0 {
        let here = left.min(row - skipped);
        parts(inner, at(index), skipped, here, found);
        (index, left) = (index.saturating_add(1), left - here);
    }
    let whole = left / row;
    if whole > 0 {
        let axes = std::iter::once(Axis { size: whole, ..*axis }).chain(inner.iter().copied()).collect();
        found.push(Part { low: at(index), axes });
    }
    parts(inner, at(index.saturating_add(whole)), 0, left % row, found);
}

impl Bytes {
    /// Collects elements `first..` of a view into `out`, as they are stored.
    pub(super) fn gather(
        &self,
        tensor: &Tensor,
        first: u64,
        out: &mut [u8],
        seen: Option<&Seen>,
    ) -> Result<(), Fault> {
        let size = usize::try_from(tensor.dtype.size()).unwrap_or(1);
        let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        parts(&axes(tensor), number(tensor.offset), number(first), out.len() / size, &mut found);
        let mut rest = out;
        for part in &found {
            let (here, after) = rest.split_at_mut(elements(&part.axes).saturating_mul(size).min(rest.len()));
            self.gather_part(tensor, part, here, seen)?;
            rest = after;
        }
        Ok(())
    }

    fn gather_part(
        &self,
        tensor: &Tensor,
        part: &Part,
        out: &mut [u8],
        seen: Option<&Seen>,
    ) -> Result<(), Fault> {
        let size = usize::try_from(tensor.dtype.size()).unwrap_or(1);
        let span = part.span().saturating_mul(size);
        if span <= out.len().saturating_mul(4).saturating_add(4096) {
            let mut bytes = vec![0; span];
            self.raw(tensor.storage, (part.low as u64).saturating_mul(size as u64), &mut bytes, seen)?;
            return pick(&part.axes, size, &bytes, 0, out);
        }
        if let Some(kept) = self.kept(tensor, seen)? {
            let low = part.low.saturating_sub(usize::try_from(tensor.offset).unwrap_or(usize::MAX));
            return pick(&part.axes, size, &kept, low, out);
        }
        let mut steps = Vec::with_capacity(part.axes.len());
        let mut step = 1_usize;
        for &axis in part.axes.iter().rev() {
            steps.push((axis, step));
            step = step.saturating_mul(axis.size);
        }
        let run = steps.iter().position(|(axis, _)| axis.stride == 1).map(|place| steps.remove(place));
        let (run, step) = run.unwrap_or((Axis { size: 1, stride: 1 }, 1));
        // Innermost last again.
        steps.reverse();
        let mut near = vec![0; run.size.saturating_mul(size)];
        visit(&steps, part.low, 0, &mut |low, place| {
            self.raw(tensor.storage, (low as u64).saturating_mul(size as u64), &mut near, None)?;
            for (element, at) in near.chunks_exact(size).zip((place..).step_by(step.max(1))) {
                let slot = at.checked_mul(size).and_then(|begin| out.get_mut(begin..)?.get_mut(..size));
                match slot {
                    Some(slot) => slot.copy_from_slice(element),
                    None => return outside(),
                }
            }
            Ok(())
        })
    }

    /// A tensor's whole span, from memory if it was the last one read; `None` if it is too long, or while another
    /// tensor's is in use.
    fn kept(&self, tensor: &Tensor, seen: Option<&Seen>) -> Result<Option<Arc<Vec<u8>>>, Fault> {
        let size = tensor.dtype.size();
        let end = extent(&tensor.shape, &tensor.strides, tensor.offset).unwrap_or(u64::MAX);
        let start = tensor.offset.saturating_mul(size);
        let len = end.saturating_sub(tensor.offset).saturating_mul(size);
        if len > KEPT {
            return Ok(None);
        }
        let mut span = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (span.storage, span.start, span.len) != (tensor.storage, start, len) {
            span.len = 0;
            let Some(bytes) = Arc::get_mut(&mut span.bytes) else { return Ok(None) };
            let wanted = usize::try_from(len).unwrap_or(usize::MAX);
            if bytes.len() < wanted {
                // Not both at one time.
                bytes.clear();
                bytes.shrink_to_fit();
                bytes.resize(wanted, 0);
            }
            self.raw(tensor.storage, start, bytes.get_mut(..wanted).unwrap_or_default(), seen)?;
            (span.storage, span.start, span.len) = (tensor.storage, start, len);
        }
        Ok(Some(Arc::clone(&span.bytes)))
    }
}

/// Calls `each` with the element and the place in row-major order of every combination of indices.
fn visit(
    steps: &[(Axis, usize)],
    low: usize,
    place: usize,
    each: &mut impl FnMut(usize, usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some(((axis, step), inner)) = steps.split_first() else { return each(low, place) };
    (0..axis.size).try_for_each(|index| {
        let low = low.saturating_add(index.saturating_mul(axis.stride));
        visit(inner, low, place.saturating_add(index.saturating_mul(*step)), each)
    })
}

/// Picks a box out of bytes, its first element being number `low` there.
fn pick(axes: &[Axis], size: usize, bytes: &[u8], low: usize, out: &mut [u8]) -> Result<(), Fault> {
    let picked = match size {
        1 => pick_elements::<1>(axes, bytes, low, out),
        2 => pick_elements::<2>(axes, bytes, low, out),
        4 => pick_elements::<4>(axes, bytes, low, out),
        _ => pick_elements::<8>(axes, bytes, low, out),
    };
    picked.map_or_else(outside, Ok)
}

fn pick_elements<const SIZE: usize>(axes: &[Axis], bytes: &[u8], low: usize, out: &mut [u8]) -> Option<()> {
    pick_box(axes, bytes.as_chunks::<SIZE>().0, low, out.as_chunks_mut::<SIZE>().0)
}

/// `None` when the bytes end too early.
fn pick_box<T: Copy>(axes: &[Axis], from: &[T], low: usize, out: &mut [T]) -> Option<()> {
    const ONE: Axis = Axis { size: 1, stride: 0 };
    let (rows, columns) = match axes {
        [] => (ONE, ONE),
        [columns] => (ONE, *columns),
        [rows, columns] => (*rows, *columns),
        [outer, inner @ ..] => {
            let mut parts = out.chunks_exact_mut(elements(inner).max(1)).enumerate();
            return parts.try_for_each(|(index, part)| {
                pick_box(inner, from, low.saturating_add(index.saturating_mul(outer.stride)), part)
            });
        }
    };
    for column in (0..columns.size).step_by(COLUMNS) {
        let mut row_begins = low.saturating_add(column.saturating_mul(columns.stride));
        for row in out.chunks_exact_mut(columns.size.max(1)) {
            let mut at = row_begins;
            for slot in row.iter_mut().skip(column).take(COLUMNS) {
                *slot = *from.get(at)?;
                at = at.saturating_add(columns.stride);
            }
            row_begins = row_begins.saturating_add(rows.stride);
        }
    }
    Some(())
}

fn outside<T>() -> Result<T, Fault> {
    refuse(Reason::Malformed, "a view reaches outside its storage")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;

    fn view(shape: &[u64], strides: &[u64], offset: u64) -> Tensor {
        let mut t = Tensor::contiguous(String::new(), Dtype::F32, shape.to_vec(), offset, 0);
        t.strides = strides.to_vec();
        t
    }

    /// Every element of a view, by its definition.
    fn every_element(t: &Tensor) -> Vec<usize> {
        (0..t.elements())
            .map(|number| {
                let mut rest = number;
                let mut element = t.offset;
                for (&size, &stride) in t.shape.iter().zip(&t.strides).rev() {
                    element += rest % size * stride;
                    rest /= size;
                }
                usize::try_from(element).unwrap()
            })
            .collect()
    }

    #[test]
    fn axes_in_row_major_order_are_joined() {
        let axis = |size, stride| Axis { size, stride };
        assert_eq!(axes(&view(&[2, 3, 4], &[12, 4, 1], 0)), [axis(24, 1)]);
        // Channels last: height and width are one axis.
        assert_eq!(axes(&view(&[5, 3, 2, 2], &[12, 1, 6, 3], 0)), [axis(5, 12), axis(3, 1), axis(4, 3)]);
        assert_eq!(axes(&view(&[1, 7, 1], &[99, 1, 5], 0)), [axis(7, 1)]);
    }

    #[test]
    fn boxes_hold_every_element_of_a_range_in_order() {
        let views = [
            view(&[3, 4, 5], &[1, 15, 3], 7),
            view(&[3, 4, 5], &[40, 10, 2], 0),
            view(&[5, 3, 2, 2], &[12, 1, 6, 3], 2),
            view(&[4, 6], &[0, 1], 1),
            view(&[7], &[3], 4),
            view(&[40, 37], &[1, 40], 0),
        ];
        for t in views {
            let truth = every_element(&t);
            let storage: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
            for first in (0..truth.len()).step_by(truth.len() / 50 + 1) {
                for count in (1..=truth.len() - first).step_by(truth.len() / 50 + 1) {
                    let mut found = Vec::new();
                    parts(&axes(&t), usize::try_from(t.offset).unwrap(), first, count, &mut found);
                    let mut elements_found = Vec::new();
                    for part in found {
                        let mut out = vec![0; elements(&part.axes) * 4];
                        pick(&part.axes, 4, &storage, part.low, &mut out).unwrap();
                        let ends = out.as_chunks().0.iter().map(|&e| u32::from_le_bytes(e) as usize);
                        elements_found.extend(ends);
                        let last = elements_found.iter().rev().take(elements(&part.axes)).max().unwrap();
                        assert_eq!(*last, part.low + part.span() - 1);
                    }
                    assert_eq!(elements_found, truth[first..first + count], "{t:?} {first} {count}");
                }
            }
        }
    }

    #[test]
    fn bytes_that_end_too_early_are_refused() {
        let part = [Axis { size: 3, stride: 2 }];
        assert!(pick(&part, 4, &[0; 20], 0, &mut [0; 12]).is_ok());
        assert!(pick(&part, 4, &[0; 19], 0, &mut [0; 12]).is_err());
    }
}
