//! One tensor: its name, its dtype, its shape, and how its elements lie in a storage.
//!
//! All sizes here come from a file, so every product and sum is checked; a [`Tensor`] that a
//! [`Checkpoint`](crate::Checkpoint) hands out is known to fit into 64 bits and into its storage.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use smallvec::SmallVec;

use crate::dtype::Dtype;

/// Describes the sizes or strides of a tensor, outermost first. Up to four take no memory of their own.
pub type Dims = SmallVec<[u64; 4]>;

/// Describes a tensor of a checkpoint: a strided view into one storage. No element has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tensor {
    /// Holds the name inside the selected root, or the full dotted path in
    /// [`all_tensors`](crate::Checkpoint::all_tensors).
    pub name: Arc<str>,
    /// Holds the type of its elements.
    pub dtype: Dtype,
    /// Holds the size of each dimension, outermost first. Empty for a scalar.
    pub shape: Dims,
    /// Counts the elements from one index to the next in each dimension; 0 where the dimension is expanded.
    pub strides: Dims,
    /// Counts the elements from the storage's beginning to the first element.
    pub offset: u64,
    /// Holds the index into [`Checkpoint::storages`](crate::Checkpoint::storages).
    pub storage: usize,
    /// Says what must be done to the stored elements to get the values.
    #[serde(skip_serializing_if = "LazyBits::is_none")]
    pub lazy_bits: LazyBits,
}

/// Describes operations that PyTorch records instead of doing them: the reader does them while reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LazyBits {
    /// Holds the conjugate bit: the imaginary part of each element is to be negated.
    pub conjugate: bool,
    /// Holds the negative bit: each element is to be negated.
    pub negate: bool,
}

impl LazyBits {
    /// Returns true when the stored elements are the values.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Tensor {
    /// Returns a row-major tensor that begins `offset` elements into its storage.
    #[must_use]
    pub fn contiguous(
        name: impl Into<Arc<str>>,
        dtype: Dtype,
        shape: impl Into<Dims>,
        offset: u64,
        storage: usize,
    ) -> Self {
        let (name, shape) = (name.into(), shape.into());
        let strides = row_major(&shape);
        Self { name, dtype, shape, strides, offset, storage, lazy_bits: LazyBits::default() }
    }

    /// Returns the number of elements; 1 for a scalar.
    #[must_use]
    pub fn elements(&self) -> u64 {
        element_count(&self.shape).unwrap_or(u64::MAX)
    }

    /// Returns the bytes that all elements take when they are written one after the other.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.elements().saturating_mul(self.dtype.size())
    }

    /// Returns true when the elements lie in row-major order without gaps, so that a range of them is a range of
    /// bytes. Dimensions of size 1 have no say, and a tensor without elements is contiguous.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1_u64;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size == 0 {
                return true;
            }
            if size != 1 && stride != expected {
                return self.shape.contains(&0);
            }
            expected = expected.saturating_mul(size);
        }
        true
    }
}

/// Returns the strides of a row-major tensor; those that would not fit into 64 bits saturate.
pub(crate) fn row_major(shape: &[u64]) -> Dims {
    let mut strides: Dims = shape
        .iter()
        .rev()
        .scan(1_u64, |next, &size| {
            let stride = *next;
            *next = next.saturating_mul(size.max(1));
            Some(stride)
        })
        .collect();
    strides.reverse();
    strides
}

/// Returns the product of the sizes, or `None` when it does not fit into 64 bits.
pub(crate) fn element_count(shape: &[u64]) -> Option<u64> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size))
}

/// Returns how many elements a storage must hold for this view: the index of its last element plus one, counted
/// from the storage's beginning. `Some(0)` for a view without elements, `None` on overflow.
pub(crate) fn extent(shape: &[u64], strides: &[u64], offset: u64) -> Option<u64> {
    if element_count(shape)? == 0 {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (&size, &stride)| {
            last.checked_add(size.checked_sub(1)?.checked_mul(stride)?)
        })?
        .checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shape: &[u64], strides: &[u64]) -> Tensor {
        let mut t = Tensor::contiguous("", Dtype::F32, shape.to_vec(), 0, 0);
        t.strides = strides.into();
        t
    }

    #[test]
    fn contiguity_follows_torch() {
        assert!(view(&[], &[]).is_contiguous());
        assert!(view(&[2, 3], &[3, 1]).is_contiguous());
        assert!(!view(&[2, 3], &[1, 2]).is_contiguous());
        assert!(view(&[1, 3], &[77, 1]).is_contiguous());
        assert!(view(&[3, 1], &[1, 9]).is_contiguous());
        assert!(!view(&[3], &[0]).is_contiguous());
        assert!(view(&[0, 3], &[9, 9]).is_contiguous());
        assert!(view(&[3, 0], &[9, 9]).is_contiguous());
        assert!(!view(&[4, 2], &[3, 1]).is_contiguous());
    }

    #[test]
    fn sizes_that_do_not_fit_are_noticed() {
        assert_eq!(element_count(&[u64::MAX, 2]), None);
        assert_eq!(element_count(&[u64::MAX, 2, 0]), Some(0));
        assert_eq!(extent(&[2, 3], &[3, 1], 4), Some(10));
        assert_eq!(extent(&[1 << 40], &[0], 0), Some(1));
        assert_eq!(extent(&[3], &[u64::MAX], 0), None);
        assert_eq!(extent(&[2], &[1], u64::MAX), None);
    }

    #[test]
    fn row_major_strides() {
        assert_eq!(row_major(&[2, 3, 4])[..], [12, 4, 1]);
        assert!(row_major(&[]).is_empty());
    }
}
