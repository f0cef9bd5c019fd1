//! Views whose elements do not lie in row-major order: transposed, sliced, expanded, channels last.
//!
//! A range of such a view is cut into boxes, which are whole in all dimensions but the first. A box touches its storage
//! from a lowest to a highest element. When that span is little longer than the box, it is read and picked apart
//! ([`pick`](super::pick)). When it is long, as in a transposed matrix where every box touches all rows, the tensor's
//! whole span is read once and kept ([`kept`](super::kept)), since the next box will need it again. Where that would take
//! too much memory, the box's runs are read one by one.

use vitport_turn::LINES;

use super::Bytes;
use super::audit::Seen;
use super::kept::Span;
use super::pick::{Axis, Step, elements, outside, pick, steps};
use crate::error::Fault;
use crate::tensor::{Tensor, extent};

/// The longest span of a tensor that is kept, in bytes.
const KEPT: u64 = 16 << 20;

/// Bytes of a kept span that are read, and picked apart, at a time.
const PIECE: usize = 256 << 10;

/// Some elements of a view: all combinations of its axes' indices, from element `low` of the storage on.
struct Part {
    low: usize,
    axes: Vec<Axis>,
}

impl Part {
    /// How many elements of the storage lie between its first and its last, both counted.
    fn span(&self) -> usize {
        reach(self.axes.iter())
    }
}

/// A box that is to be picked out of a kept span.
struct Wanted<'a> {
    /// Its first element in the span.
    low: usize,
    steps: Vec<Step>,
    out: &'a mut [u8],
}

impl Wanted<'_> {
    /// Picks the elements whose place on the longest stride lies in a piece, which begins at element `begin` of the span.
    fn pick_from_piece(
        &mut self,
        begin: usize,
        bytes: &[u8],
        size: usize,
        is_whole: bool,
    ) -> Result<(), Fault> {
        let Some((axis, longest)) = self.steps.iter().enumerate().max_by_key(|(_, step)| step.from) else {
            return outside();
        };
        let Step { size: count, from, to } = *longest;
        let end = begin.saturating_add(bytes.len() / size);
        let index = |element: usize| element.saturating_sub(self.low).div_ceil(from.max(1)).min(count);
        let (first, behind) = if is_whole { (0, count) } else { (index(begin), index(end)) };
        if first >= behind {
            return Ok(());
        }
        let mut steps = self.steps.clone();
        if let Some(step) = steps.get_mut(axis) {
            step.size = behind - first;
        }
        let at = self.low.saturating_add(first.saturating_mul(from)).saturating_sub(begin);
        pick(&steps, size, bytes, at, self.out, first.saturating_mul(to))
    }
}

/// How many elements lie between the first and the last of a box with these axes, both counted.
fn reach<'a>(axes: impl Iterator<Item = &'a Axis>) -> usize {
    axes.fold(1, |span, axis| span.saturating_add(axis.size.saturating_sub(1).saturating_mul(axis.stride)))
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

/// Elements of a piece of a view's span: some rows along its longest stride, where the other axes' elements lie between
/// one row and the next, so that no element lies in two pieces. As many as are turned at a time, or several times as many, so
/// that few are left over.
fn piece_of(axes: &[Axis], size: usize) -> Option<usize> {
    let (place, longest) = axes.iter().enumerate().max_by_key(|(_, axis)| axis.stride)?;
    let row = reach(axes.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, axis)| axis));
    let rows = (PIECE / longest.stride.saturating_mul(size).max(1)).max(1);
    let rows = if rows < LINES { rows } else { rows - rows % LINES };
    (row <= longest.stride).then(|| rows.saturating_mul(longest.stride))
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
        let axes = axes(tensor);
        parts(&axes, number(tensor.offset), number(first), out.len() / size, &mut found);
        let kept = self.span(tensor, &axes);
        let mut from_kept = Vec::new();
        let mut rest = out;
        for part in &found {
            let (here, after) = rest.split_at_mut(elements(&part.axes).saturating_mul(size).min(rest.len()));
            let span = part.span().saturating_mul(size);
            if span <= here.len().saturating_mul(4).saturating_add(4096) {
                let mut room = self.kept.room(span);
                let bytes = room.first(span);
                self.raw(tensor.storage, (part.low as u64).saturating_mul(size as u64), bytes, seen)?;
                pick(&steps(&part.axes), size, bytes, 0, here, 0)?;
            } else if kept.is_some() {
                let low = part.low.saturating_sub(number(tensor.offset));
                from_kept.push(Wanted { low, steps: steps(&part.axes), out: here });
            } else {
                self.pick_runs(tensor, part, here)?;
            }
            rest = after;
        }
        match kept.filter(|_| !from_kept.is_empty()) {
            Some(kept) => self.pick_from_kept(tensor, from_kept, &kept, seen),
            None => Ok(()),
        }
    }

    /// A tensor's whole span, if it is short enough to be kept.
    fn span(&self, tensor: &Tensor, axes: &[Axis]) -> Option<Span<'_>> {
        let size = tensor.dtype.size();
        let end = extent(&tensor.shape, &tensor.strides, tensor.offset).unwrap_or(u64::MAX);
        let start = tensor.offset.saturating_mul(size);
        let len = end.saturating_sub(tensor.offset).saturating_mul(size);
        let whole = usize::try_from(len).ok().filter(|_| len <= KEPT)?;
        let size = usize::try_from(size).unwrap_or(1);
        let piece = piece_of(axes, size).map_or(whole, |elements| elements.saturating_mul(size));
        Some(self.kept.span(tensor.storage, start, whole, piece.clamp(1, whole.max(1))))
    }

    /// Picks boxes out of a kept span, piece by piece: those that no other thread is busy with first. Rows of which a range
    /// holds a part lie in the same cache lines as the whole ones, so all boxes are picked from a piece before the next.
    fn pick_from_kept(
        &self,
        tensor: &Tensor,
        mut boxes: Vec<Wanted<'_>>,
        kept: &Span<'_>,
        seen: Option<&Seen>,
    ) -> Result<(), Fault> {
        let size = usize::try_from(tensor.dtype.size()).unwrap_or(1);
        let is_whole = kept.is_whole();
        let read = |start: u64, bytes: &mut [u8]| self.raw(tensor.storage, start, bytes, seen);
        kept.visit(read, |begin, bytes| {
            boxes
                .iter_mut()
                .try_for_each(|wanted| wanted.pick_from_piece(begin / size, bytes, size, is_whole))
        })
    }

    /// Reads the runs of a box one by one.
    fn pick_runs(&self, tensor: &Tensor, part: &Part, out: &mut [u8]) -> Result<(), Fault> {
        let size = usize::try_from(tensor.dtype.size()).unwrap_or(1);
        let mut steps = steps(&part.axes);
        let run = steps.iter().position(|step| step.from == 1).map(|place| steps.remove(place));
        let run = run.unwrap_or(Step { size: 1, from: 1, to: 1 });
        let mut near = vec![0; run.size.saturating_mul(size)];
        visit(&steps, part.low, 0, &mut |low, place| {
            self.raw(tensor.storage, (low as u64).saturating_mul(size as u64), &mut near, None)?;
            for (element, at) in near.chunks_exact(size).zip((place..).step_by(run.to.max(1))) {
                let slot = at.checked_mul(size).and_then(|begin| out.get_mut(begin..)?.get_mut(..size));
                match slot {
                    Some(slot) => slot.copy_from_slice(element),
                    None => return outside(),
                }
            }
            Ok(())
        })
    }
}

/// Calls `each` with the element and the place in row-major order of every combination of indices.
fn visit(
    steps: &[Step],
    low: usize,
    place: usize,
    each: &mut impl FnMut(usize, usize) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let Some((step, inner)) = steps.split_first() else { return each(low, place) };
    (0..step.size).try_for_each(|index| {
        let low = low.saturating_add(index.saturating_mul(step.from));
        visit(inner, low, place.saturating_add(index.saturating_mul(step.to)), each)
    })
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
                        pick(&steps(&part.axes), 4, &storage, part.low, &mut out, 0).unwrap();
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
    fn pieces_hold_whole_rows_where_rows_do_not_overlap() {
        let piece = |t: &Tensor| piece_of(&axes(t), 4);
        // Transposed: 85 rows of 768 elements are the most that fit, 80 are five times sixteen.
        assert_eq!(piece(&view(&[768, 3072], &[1, 768], 0)), Some(80 * 768));
        assert_eq!(piece(&view(&[768, 5000], &[1, 5000], 0)), Some(13 * 5000));
        assert_eq!(piece(&view(&[3, 100_000], &[1, 100_000], 0)), Some(100_000));
        assert_eq!(piece(&view(&[3, 5], &[100_000, 1], 0)), Some(100_000));
        // Windows that overlap.
        assert_eq!(piece(&view(&[8, 4, 5], &[2, 1, 100], 0)), Some(640 * 100));
        assert_eq!(piece(&view(&[8, 120, 5], &[2, 1, 100], 0)), None);
        assert_eq!(piece(&view(&[4, 6], &[0, 1], 0)), Some(65_536));
    }
}
