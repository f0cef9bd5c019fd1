//! Applies a factor and an addend for each column, and an activation after them: what batch normalisation, gates and global
//! response normalisation come to at inference.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::activation::Activation;
use crate::error::ForwardError;
use crate::matrix::{Matrix, PART};

/// Replaces every value of `x` by act(value · factor + addend), with the factor and the addend of its column.
///
/// # Errors
/// Returns [`ForwardError::Operands`] when there are not as many of them as columns.
pub fn affine(
    x: &mut Matrix,
    factors: &[f32],
    addends: &[f32],
    activation: Activation,
) -> Result<(), ForwardError> {
    let columns = x.columns();
    if columns == 0 || (factors.len(), addends.len()) != (columns, columns) {
        let detail = format!("{} factors and {} addends for {columns} columns", factors.len(), addends.len());
        return Err(ForwardError::operands("an affine map", detail));
    }
    let part = PART.div_ceil(columns).saturating_mul(columns);
    let parts = x.values_mut().par_chunks_mut(part);
    parts.for_each(|rows| pulp::Arch::new().dispatch(Rows { rows, factors, addends, activation }));
    Ok(())
}

struct Rows<'a> {
    rows: &'a mut [f32],
    factors: &'a [f32],
    addends: &'a [f32],
    activation: Activation,
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.rows.chunks_exact_mut(self.factors.len()) {
            for (value, factor) in row.iter_mut().zip(self.factors) {
                *value *= factor;
            }
            self.activation.of_sums(simd, row, self.addends);
        }
    }
}
