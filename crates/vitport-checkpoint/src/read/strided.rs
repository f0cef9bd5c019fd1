//! Views whose elements do not lie in row-major order: transposed, sliced, expanded, channels last.
//!
//! A block of such a view touches elements of its storage from a lowest to a highest one. When that span
//! is little longer than the block, it is read and picked apart. When it is long, as in a transposed
//! matrix where every block touches all rows, the tensor's whole span is read once and kept, since the
//! next block will need it again. A span too long to keep is walked in the storage's own order.

use std::sync::{Arc, Mutex, PoisonError};

use super::Bytes;
use crate::error::{Fault, Reason, refuse};
use crate::tensor::{Tensor, extent};

/// The bytes of spans that are kept at one time.
const KEPT: u64 = 32 << 20;

/// Elements that are located at a time when a span is too long to keep.
const BATCH: usize = 32 << 10;

/// Spans that were read because neighbouring blocks will need them, most recent last.
#[derive(Debug, Default)]
pub(super) struct Spans {
    kept: Mutex<Vec<Span>>,
}

#[derive(Debug)]
struct Span {
    storage: usize,
    start: u64,
    bytes: Arc<[u8]>,
}

/// A counter through the indices of a view that knows the element it points at.
struct Walk<'a> {
    shape: &'a [u64],
    strides: &'a [u64],
    index: Vec<u64>,
    element: u64,
}

impl<'a> Walk<'a> {
    /// Points at element number `first` in row-major order.
    fn new(tensor: &'a Tensor, first: u64) -> Self {
        let mut index = vec![0; tensor.shape.len()];
        let mut rest = first;
        let mut element = tensor.offset;
        for ((slot, &size), &stride) in index.iter_mut().zip(&tensor.shape).zip(&tensor.strides).rev() {
            *slot = rest % size.max(1);
            rest /= size.max(1);
            element = element.saturating_add(slot.saturating_mul(stride));
        }
        Self { shape: &tensor.shape, strides: &tensor.strides, index, element }
    }

    fn next(&mut self) -> u64 {
        let found = self.element;
        for ((slot, &size), &stride) in self.index.iter_mut().zip(self.shape).zip(self.strides).rev() {
            *slot += 1;
            if *slot < size {
                self.element = self.element.saturating_add(stride);
                return found;
            }
            self.element = self.element.saturating_sub(stride.saturating_mul(size.saturating_sub(1)));
            *slot = 0;
        }
        found
    }
}

/// The lowest and the highest element that a range of a view touches. Dimensions outside the one that the
/// range's ends differ in are fixed; the ones inside it are taken whole.
fn touched(tensor: &Tensor, first: u64, count: u64) -> (u64, u64) {
    let start = Walk::new(tensor, first);
    let last = Walk::new(tensor, first.saturating_add(count.saturating_sub(1)));
    let mut low = tensor.offset;
    let mut high = tensor.offset;
    let mut apart = false;
    let ends = start.index.iter().zip(&last.index);
    for ((&size, &stride), (&from, &to)) in tensor.shape.iter().zip(&tensor.strides).zip(ends) {
        let (from, to) = if apart { (0, size.saturating_sub(1)) } else { (from, to) };
        apart |= from != to;
        low = low.saturating_add(from.saturating_mul(stride));
        high = high.saturating_add(to.saturating_mul(stride));
    }
    (low, high)
}

impl Bytes {
    /// Collects elements `first..` of a view into `out`, as they are stored.
    pub(super) fn gather(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), Fault> {
        let size = tensor.dtype.size();
        let count = out.len() as u64 / size;
        let (low, high) = touched(tensor, first, count);
        let span = (high - low).saturating_add(1).saturating_mul(size);
        if span <= (out.len() as u64).saturating_mul(4).saturating_add(4096) {
            let mut bytes = vec![0; usize::try_from(span).unwrap_or(0)];
            self.raw(tensor.storage, low.saturating_mul(size), &mut bytes)?;
            return pick(tensor, first, low, &bytes, out);
        }
        let end = extent(&tensor.shape, &tensor.strides, tensor.offset).unwrap_or(u64::MAX);
        let whole = end.saturating_sub(tensor.offset).saturating_mul(size);
        if whole <= KEPT {
            let bytes = self.span(tensor.storage, tensor.offset.saturating_mul(size), whole)?;
            return pick(tensor, first, tensor.offset, &bytes, out);
        }
        let batch = BATCH * usize::try_from(size).unwrap_or(1);
        let mut done = first;
        for block in out.chunks_mut(batch) {
            self.gather_sorted(tensor, done, block)?;
            done += block.len() as u64 / size;
        }
        Ok(())
    }

    /// A span of a storage, from memory if it was read before.
    fn span(&self, storage: usize, start: u64, len: u64) -> Result<Arc<[u8]>, Fault> {
        let mut kept = self.spans.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same =
            |span: &Span| span.storage == storage && span.start == start && span.bytes.len() as u64 == len;
        if let Some(at) = kept.iter().position(same) {
            let span = kept.remove(at);
            let bytes = Arc::clone(&span.bytes);
            kept.push(span);
            return Ok(bytes);
        }
        while kept.iter().map(|span| span.bytes.len() as u64).sum::<u64>().saturating_add(len) > KEPT {
            kept.remove(0);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        self.raw(storage, start, &mut bytes)?;
        let bytes: Arc<[u8]> = bytes.into();
        kept.push(Span { storage, start, bytes: Arc::clone(&bytes) });
        Ok(bytes)
    }

    /// Reads the elements of one block in the order of the storage, neighbours together.
    fn gather_sorted(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), Fault> {
        let size = tensor.dtype.size();
        let width = usize::try_from(size).unwrap_or(1);
        let mut walk = Walk::new(tensor, first);
        let mut wanted: Vec<(u64, usize)> = (0..out.len() / width).map(|slot| (walk.next(), slot)).collect();
        wanted.sort_unstable();
        let mut near: Vec<u8> = Vec::new();
        for group in wanted.chunk_by(|a, b| (b.0 - a.0).saturating_mul(size) <= 512) {
            let (Some(&(low, _)), Some(&(high, _))) = (group.first(), group.last()) else {
                continue;
            };
            let len = (high - low).saturating_add(1).saturating_mul(size);
            near.resize(usize::try_from(len).unwrap_or(0), 0);
            self.raw(tensor.storage, low.saturating_mul(size), &mut near)?;
            for &(element, slot) in group {
                let at = usize::try_from((element - low).saturating_mul(size)).unwrap_or(usize::MAX);
                copy(&near, at, out, slot.saturating_mul(width), width)?;
            }
        }
        Ok(())
    }
}

/// Picks the elements of a range out of bytes that begin at element `low` of the storage.
fn pick(tensor: &Tensor, first: u64, low: u64, bytes: &[u8], out: &mut [u8]) -> Result<(), Fault> {
    let size = tensor.dtype.size();
    let width = usize::try_from(size).unwrap_or(1);
    let mut walk = Walk::new(tensor, first);
    for slot in out.chunks_exact_mut(width) {
        let at = usize::try_from((walk.next() - low).saturating_mul(size)).unwrap_or(usize::MAX);
        copy(bytes, at, slot, 0, width)?;
    }
    Ok(())
}

fn copy(from: &[u8], at: usize, to: &mut [u8], slot: usize, width: usize) -> Result<(), Fault> {
    let source = from.get(at..).and_then(|rest| rest.get(..width));
    let target = to.get_mut(slot..).and_then(|rest| rest.get_mut(..width));
    match (source, target) {
        (Some(source), Some(target)) => target.copy_from_slice(source),
        _ => return refuse(Reason::Malformed, "a view reaches outside its storage"),
    }
    Ok(())
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

    #[test]
    fn a_walk_visits_elements_in_row_major_order() {
        let t = view(&[2, 3], &[1, 2], 5);
        let mut walk = Walk::new(&t, 0);
        let all: Vec<u64> = (0..6).map(|_| walk.next()).collect();
        assert_eq!(all, [5, 7, 9, 6, 8, 10]);
        for first in 0..6 {
            assert_eq!(Walk::new(&t, first).next(), all[first as usize]);
        }
    }

    #[test]
    fn the_touched_span_holds_every_element_of_the_range() {
        for t in [
            view(&[3, 4, 5], &[1, 15, 3], 7),
            view(&[3, 4, 5], &[40, 10, 2], 0),
            view(&[4, 0, 2], &[1, 1, 1], 0),
        ] {
            let n = t.elements();
            for first in 0..n {
                for count in 1..=n - first {
                    let (low, high) = touched(&t, first, count);
                    let mut walk = Walk::new(&t, first);
                    assert!((0..count).all(|_| (low..=high).contains(&walk.next())));
                }
            }
        }
    }
}
