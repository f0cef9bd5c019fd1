//! Says how far apart the values of two tensors of one shape are.

use serde::Serialize;
use vitport_checkpoint::{Audit, Dtype};

use crate::folder::{FolderError, TargetContents, to_f64};
use crate::plan::Target;

/// Gives the elements compared at a time.
const BLOCK: u64 = 32 << 10;

/// Says how far apart the values of two tensors are. Sums are taken in float64, over the numbers that are finite on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ValueDifference {
    /// Counts the elements.
    pub elements: u64,
    /// Counts the elements that differ: in a bit, or in value where the dtypes differ.
    pub differing: u64,
    /// Gives the index of the first that differs.
    pub first: Option<Vec<u64>>,
    /// Gives the largest absolute difference; none of complex numbers.
    pub max_abs: Option<f64>,
    /// Gives `max_abs` relative to the root mean square of A's numbers; none where that is 0.
    pub relative: Option<f64>,
    /// Gives the cosine of the angle between the two lists of numbers; none where one of them is all zeros.
    pub cosine: Option<f64>,
    /// Counts the elements that are NaN or infinite on a side.
    pub not_finite: u64,
}

/// Compares two tensors of one shape; none if all bits are the same.
pub(super) fn between(
    (a, read_a): (&Target, &Audit<'_>),
    (b, read_b): (&Target, &Audit<'_>),
) -> Result<Option<ValueDifference>, FolderError> {
    let (mut of_a, mut of_b) = (Numbers::new(a, read_a)?, Numbers::new(b, read_b)?);
    if a.dtype == b.dtype {
        let mut is_equal = true;
        for first in (0..a.elements()).step_by(BLOCK as usize) {
            of_a.read(first)?;
            of_b.read(first)?;
            is_equal = is_equal && of_a.bytes == of_b.bytes;
        }
        if is_equal {
            return Ok(None);
        }
    }
    let mut sums = Sums::default();
    for first in (0..a.elements()).step_by(BLOCK as usize) {
        of_a.read(first)?;
        of_b.read(first)?;
        sums.add(first, &of_a, &of_b);
    }
    Ok(Some(sums.finish(a)))
}

/// Reads a tensor block by block.
struct Numbers<'a> {
    tensor: &'a Target,
    contents: TargetContents<'a>,
    bytes: Vec<u8>,
}

impl<'a> Numbers<'a> {
    fn new(tensor: &'a Target, audit: &'a Audit<'_>) -> Result<Self, FolderError> {
        Ok(Self { tensor, contents: TargetContents::new(tensor, audit)?, bytes: Vec::new() })
    }

    /// Reads the block that begins at element `first`.
    fn read(&mut self, first: u64) -> Result<(), FolderError> {
        let size = self.tensor.dtype.size();
        let count = BLOCK.min(self.tensor.elements().saturating_sub(first));
        self.bytes.resize(usize::try_from(count.saturating_mul(size)).unwrap_or(0), 0);
        self.contents.read(first.saturating_mul(size), &mut self.bytes)
    }

    /// Returns the bytes of each element of the block.
    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(usize::try_from(self.tensor.dtype.size()).unwrap_or(1).max(1))
    }

    /// Returns the numbers of the block; none of complex ones.
    fn numbers(&self) -> Vec<f64> {
        fn decoded<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
        }
        let bytes = self.bytes.as_slice();
        match self.tensor.dtype {
            Dtype::C64 => Vec::new(),
            Dtype::I64 => decoded(bytes, |number| i64::from_le_bytes(number) as f64),
            Dtype::U64 => decoded(bytes, |number| u64::from_le_bytes(number) as f64),
            Dtype::I32 => decoded(bytes, |number| f64::from(i32::from_le_bytes(number))),
            Dtype::U32 => decoded(bytes, |number| f64::from(u32::from_le_bytes(number))),
            Dtype::I16 => decoded(bytes, |number| f64::from(i16::from_le_bytes(number))),
            Dtype::U16 => decoded(bytes, |number| f64::from(u16::from_le_bytes(number))),
            Dtype::I8 => decoded(bytes, |number| f64::from(i8::from_le_bytes(number))),
            Dtype::U8 | Dtype::Bool => decoded(bytes, |[number]| f64::from(number)),
            dtype => {
                let mut numbers = vec![0.0; self.elements().count()];
                to_f64(dtype, bytes, &mut numbers);
                numbers
            }
        }
    }
}

/// Holds what is known of the blocks so far.
#[derive(Default)]
struct Sums {
    differing: u64,
    first: Option<u64>,
    max_abs: f64,
    of_a: f64,
    of_b: f64,
    product: f64,
    counted: u64,
    not_finite: u64,
}

impl Sums {
    fn add(&mut self, first: u64, a: &Numbers<'_>, b: &Numbers<'_>) {
        let (numbers_a, numbers_b) = (a.numbers(), b.numbers());
        if a.tensor.dtype == b.tensor.dtype {
            let differs = a.elements().zip(b.elements()).map(|(a, b)| a != b);
            self.count(first, differs);
        } else {
            let is_nan = |a: &f64, b: &f64| a.is_nan() && b.is_nan();
            self.count(first, numbers_a.iter().zip(&numbers_b).map(|(a, b)| a != b && !is_nan(a, b)));
        }
        for (&a, &b) in numbers_a.iter().zip(&numbers_b) {
            if !a.is_finite() || !b.is_finite() {
                self.not_finite += 1;
                continue;
            }
            self.max_abs = self.max_abs.max((a - b).abs());
            self.of_a += a * a;
            self.of_b += b * b;
            self.product += a * b;
            self.counted += 1;
        }
    }

    fn count(&mut self, first: u64, differs: impl Iterator<Item = bool>) {
        for (element, _) in (first..).zip(differs).filter(|(_, differs)| *differs) {
            self.differing += 1;
            self.first.get_or_insert(element);
        }
    }

    fn finish(self, tensor: &Target) -> ValueDifference {
        let size = (self.of_a / self.counted.max(1) as f64).sqrt();
        let lengths = self.of_a.sqrt() * self.of_b.sqrt();
        let has_numbers = self.counted > 0;
        ValueDifference {
            elements: tensor.elements(),
            differing: self.differing,
            first: self.first.map(|element| index(element, &tensor.shape)),
            max_abs: has_numbers.then_some(self.max_abs),
            relative: (size > 0.0).then(|| self.max_abs / size),
            cosine: (lengths > 0.0).then(|| (self.product / lengths).clamp(-1.0, 1.0)),
            not_finite: self.not_finite,
        }
    }
}

/// Returns the index of an element that is counted row by row.
fn index(mut element: u64, shape: &[u64]) -> Vec<u64> {
    let mut index: Vec<u64> = Vec::with_capacity(shape.len());
    for &size in shape.iter().rev() {
        index.push(element % size.max(1));
        element /= size.max(1);
    }
    index.reverse();
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_row_by_row() {
        assert_eq!(index(0, &[2, 3]), [0, 0]);
        assert_eq!(index(5, &[2, 3]), [1, 2]);
        assert_eq!(index(4, &[2, 1, 3]), [1, 0, 1]);
        assert!(index(0, &[]).is_empty());
    }
}
