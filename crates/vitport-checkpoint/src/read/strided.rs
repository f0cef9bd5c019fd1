//! Views whose elements do not lie in row-major order: transposed, sliced, expanded, channels last.
//!
//! A range of such a view is cut into boxes, which are whole in all dimensions but the first. What lies between a box's first
//! and last element is read, and the box's elements are picked out of it. Where that is far more than the box itself, as in
//! a transposed matrix, of which every range touches all rows, the tensor's whole span is read once and kept for the ranges
//! that follow. Where the span is too long to be kept, the box is cut along its longest stride.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Bytes;
use super::audit::Seen;
use crate::error::{Fault, Reason, refuse};
use crate::tensor::{Tensor, extent};

/// Gives the longest span of a tensor that is kept, in bytes.
const KEPT: u64 = 16 << 20;

/// Gives the bytes of a span that are always read at once.
const SHORT: usize = 4096;

/// Gives how many times as long as its box a longer span may be to be read with it.
const DENSE: usize = 4;

/// Gives the columns that are picked together, so that a cache line is used up while it is there.
const TILE: usize = 16;

/// Describes the tensor's span that was read last, in memory that the next one takes over.
#[derive(Debug, Default)]
pub(super) struct Kept(RwLock<Span>);

#[derive(Debug, Default)]
struct Span {
    /// Gives the storage, first byte and length.
    place: Option<(usize, u64, usize)>,
    bytes: Vec<u8>,
}

/// Describes a dimension: its size, and the elements from one index to the next in the storage and in the row-major view.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    size: usize,
    from: usize,
    to: usize,
}

/// Describes some elements of a view: all combinations of its axes' indices, from element `low` of the storage on, to element
/// `place` of what is filled.
#[derive(Debug)]
struct Part {
    low: usize,
    place: usize,
    axes: Vec<Axis>,
}

impl Part {
    /// Returns the number of its elements.
    fn elements(&self) -> usize {
        elements(&self.axes)
    }

    /// Returns the number of elements in the storage between its first and its last, both counted.
    fn span(&self) -> usize {
        self.axes.iter().fold(1, |span, axis| at(span, axis.size.saturating_sub(1), axis.from))
    }

    /// Cuts it along its longest stride.
    fn cut(&self) -> impl Iterator<Item = Part> {
        let longest = self.axes.iter().enumerate().max_by_key(|(_, axis)| axis.from);
        longest.into_iter().flat_map(move |(number, axis)| {
            (0..axis.size).map(move |index| {
                let mut axes = self.axes.clone();
                axes.remove(number);
                Part { low: at(self.low, index, axis.from), place: at(self.place, index, axis.to), axes }
            })
        })
    }

    /// Copies its elements of `size` bytes from `bytes`, which begin with element `begin` of the storage.
    fn pick(&self, size: usize, bytes: &[u8], begin: usize, out: &mut [u8]) -> Result<(), Fault> {
        let picked = match size {
            1 => self.pick_elements::<1>(bytes, begin, out),
            2 => self.pick_elements::<2>(bytes, begin, out),
            4 => self.pick_elements::<4>(bytes, begin, out),
            _ => self.pick_elements::<8>(bytes, begin, out),
        };
        match picked {
            Some(()) => Ok(()),
            None => refuse(Reason::Malformed, "a view reaches outside its storage"),
        }
    }

    fn pick_elements<const SIZE: usize>(&self, bytes: &[u8], begin: usize, out: &mut [u8]) -> Option<()> {
        // What is filled without gaps comes last, before it what lies nearest in the storage: a tile is made of these two.
        let mut axes = self.axes.clone();
        axes.sort_by_key(|axis| (axis.to == 1, std::cmp::Reverse(axis.from)));
        let from = bytes.as_chunks::<SIZE>().0.get(self.low.checked_sub(begin)?..)?;
        pick_box(&axes, from, out.as_chunks_mut::<SIZE>().0.get_mut(self.place..)?)
    }
}

/// Returns element number `index` of a dimension.
fn at(begin: usize, index: usize, step: usize) -> usize {
    begin.saturating_add(index.saturating_mul(step))
}

fn elements(axes: &[Axis]) -> usize {
    axes.iter().fold(1, |count, axis| count.saturating_mul(axis.size))
}

fn pick_box<T: Copy>(axes: &[Axis], from: &[T], out: &mut [T]) -> Option<()> {
    const ONE: Axis = Axis { size: 1, from: 1, to: 1 };
    match axes {
        [] => pick_plane(ONE, ONE, from, out),
        [columns] => pick_plane(ONE, *columns, from, out),
        [rows, columns] => pick_plane(*rows, *columns, from, out),
        [outer, inner @ ..] => (0..outer.size).try_for_each(|index| {
            pick_box(inner, from.get(at(0, index, outer.from)..)?, out.get_mut(at(0, index, outer.to)..)?)
        }),
    }
}

fn pick_plane<T: Copy>(rows: Axis, columns: Axis, from: &[T], out: &mut [T]) -> Option<()> {
    let is_run = (columns.from, columns.to) == (1, 1);
    let tile = if is_run { columns.size } else { TILE };
    for first in (0..columns.size).step_by(tile.max(1)) {
        let count = tile.min(columns.size - first);
        for row in 0..rows.size {
            let from = from.get(at(at(0, row, rows.from), first, columns.from)..)?;
            let out = out.get_mut(at(at(0, row, rows.to), first, columns.to)..)?;
            if is_run {
                out.get_mut(..count)?.copy_from_slice(from.get(..count)?);
                continue;
            }
            let (mut element, mut slot) = (0_usize, 0_usize);
            for _ in 0..count {
                *out.get_mut(slot)? = *from.get(element)?;
                element = element.saturating_add(columns.from);
                slot = slot.saturating_add(columns.to);
            }
        }
    }
    Some(())
}

/// Returns a view's dimensions, those joined that lie in one another's row-major order.
fn axes(tensor: &Tensor) -> Vec<Axis> {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut axes: Vec<Axis> = Vec::new();
    let mut to = 1_usize;
    for (&size, &stride) in tensor.shape.iter().zip(&tensor.strides).rev().filter(|(size, _)| **size != 1) {
        let (size, from) = (number(size), number(stride));
        match axes.last_mut() {
            Some(inner) if from == inner.size.saturating_mul(inner.from) => {
                inner.size = inner.size.saturating_mul(size);
            }
            _ => axes.push(Axis { size, from, to }),
        }
        to = to.saturating_mul(size);
    }
    axes.reverse();
    axes
}

/// Cuts `count` elements of a box of these axes, from number `first` on, into boxes that fill what begins at `place`.
fn parts(axes: &[Axis], low: usize, first: usize, count: usize, place: usize, found: &mut Vec<Part>) {
    if count == 0 {
        return;
    }
    let Some((axis, inner)) = axes.split_first() else {
        found.push(Part { low, place, axes: Vec::new() });
        return;
    };
    let row = elements(inner).max(1);
    let (index, skipped) = (first / row, first % row);
    let head = if skipped > 0 { count.min(row - skipped) } else { 0 };
    parts(inner, at(low, index, axis.from), skipped, head, place, found);
    let (index, place, left) = (index + usize::from(head > 0), place + head, count - head);
    let whole = left / row;
    if whole > 0 {
        let axes = std::iter::once(Axis { size: whole, ..*axis }).chain(inner.iter().copied()).collect();
        found.push(Part { low: at(low, index, axis.from), place, axes });
    }
    parts(inner, at(low, index + whole, axis.from), 0, left % row, place + whole * row, found);
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
        parts(&axes(tensor), number(tensor.offset), number(first), out.len() / size, 0, &mut found);
        found.iter().try_for_each(|part| self.gather_box(tensor, part, out, seen))
    }

    fn gather_box(
        &self,
        tensor: &Tensor,
        part: &Part,
        out: &mut [u8],
        seen: Option<&Seen>,
    ) -> Result<(), Fault> {
        let size = usize::try_from(tensor.dtype.size()).unwrap_or(1);
        let span = part.span().saturating_mul(size);
        if span <= at(SHORT, part.elements().saturating_mul(size), DENSE) {
            let mut bytes = vec![0; span];
            self.raw(tensor.storage, (part.low as u64).saturating_mul(size as u64), &mut bytes, seen)?;
            return part.pick(size, &bytes, part.low, out);
        }
        match self.span(tensor, seen)? {
            Some(span) => {
                let begin = usize::try_from(tensor.offset).unwrap_or(usize::MAX);
                part.pick(size, &span.bytes, begin, out)
            }
            // Too many pieces for their checksums to be kept.
            None => part.cut().try_for_each(|part| self.gather_box(tensor, &part, out, None)),
        }
    }

    /// Returns a tensor's whole span, if it is short enough to be kept.
    fn span(&self, tensor: &Tensor, seen: Option<&Seen>) -> Result<Option<RwLockReadGuard<'_, Span>>, Fault> {
        let (storage, size) = (tensor.storage, tensor.dtype.size());
        let end = extent(&tensor.shape, &tensor.strides, tensor.offset).unwrap_or(u64::MAX);
        let start = tensor.offset.saturating_mul(size);
        let len = end.saturating_sub(tensor.offset).saturating_mul(size);
        let Some(len) = usize::try_from(len).ok().filter(|_| len <= KEPT) else { return Ok(None) };
        let place = Some((storage, start, len));
        let Kept(kept) = &self.kept;
        let span = kept.read().unwrap_or_else(PoisonError::into_inner);
        if span.place == place {
            return Ok(Some(span));
        }
        drop(span);
        let mut span = kept.write().unwrap_or_else(PoisonError::into_inner);
        if span.place != place {
            span.place = None;
            span.bytes.resize(len, 0);
            self.raw(storage, start, &mut span.bytes, seen)?;
            span.place = place;
        }
        Ok(Some(RwLockWriteGuard::downgrade(span)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;

    fn view(shape: &[u64], strides: &[u64], offset: u64) -> Tensor {
        let mut t = Tensor::contiguous("", Dtype::F32, shape.to_vec(), offset, 0);
        t.strides = strides.into();
        t
    }

    /// Returns every element of a view, by its definition.
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
        let axis = |size, from, to| Axis { size, from, to };
        assert_eq!(axes(&view(&[2, 3, 4], &[12, 4, 1], 0)), [axis(24, 1, 1)]);
        // Channels last: height and width are one axis.
        let channels_last = [axis(5, 12, 12), axis(3, 1, 4), axis(4, 3, 1)];
        assert_eq!(axes(&view(&[5, 3, 2, 2], &[12, 1, 6, 3], 0)), channels_last);
        assert_eq!(axes(&view(&[1, 7, 1], &[99, 1, 5], 0)), [axis(7, 1, 1)]);
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
        let storage: Vec<u8> = (0..2000_u32).flat_map(u32::to_le_bytes).collect();
        for t in views {
            let truth = every_element(&t);
            for first in (0..truth.len()).step_by(truth.len() / 50 + 1) {
                for count in (1..=truth.len() - first).step_by(truth.len() / 50 + 1) {
                    let mut found = Vec::new();
                    parts(&axes(&t), usize::try_from(t.offset).unwrap(), first, count, 0, &mut found);
                    let (mut whole, mut in_pieces) = (vec![0; count * 4], vec![0; count * 4]);
                    for part in found {
                        part.pick(4, &storage, 0, &mut whole).unwrap();
                        assert!(
                            part.pick(4, &storage[..4 * (part.low + part.span() - 1)], 0, &mut whole)
                                .is_err()
                        );
                        let mut pieces: Vec<Part> = part.cut().collect();
                        if pieces.is_empty() {
                            pieces.push(part);
                        }
                        for piece in pieces {
                            piece.pick(4, &storage, 0, &mut in_pieces).unwrap();
                        }
                    }
                    let expected: Vec<u8> =
                        truth[first..first + count].iter().flat_map(|e| (*e as u32).to_le_bytes()).collect();
                    assert_eq!(whole, expected, "{t:?} {first} {count}");
                    assert_eq!(in_pieces, expected, "{t:?} {first} {count}");
                }
            }
        }
    }

    #[test]
    fn elements_of_every_size_are_picked() {
        for size in [1, 2, 4, 8] {
            let element = |number: usize| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            let bytes: Vec<u8> = (0..1000).flat_map(|n| element(n).into_iter().take(size)).collect();
            let t = view(&[21, 37], &[1, 21], 3);
            let mut found = Vec::new();
            parts(&axes(&t), 3, 0, 21 * 37, 0, &mut found);
            let mut out = vec![0; 21 * 37 * size];
            found.iter().for_each(|part| part.pick(size, &bytes, 0, &mut out).unwrap());
            for (found, number) in out.chunks_exact(size).zip(every_element(&t)) {
                assert_eq!(*found, element(number)[..size], "{size} bytes: {number}");
            }
        }
    }
}
