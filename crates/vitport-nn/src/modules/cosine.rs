//! Defines the scores of SwinV2's attention: cosines of queries and keys, times a learned factor for each head (Liu et al. 2021,
//! arXiv:2111.09883, section 3.2).

use rayon::prelude::*;

use crate::error::ForwardError;
use crate::kernels::attention::Heads;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Is the largest factor.
const LARGEST: f64 = 100.0;
/// Is the least length by which a query or key is divided (`torch.nn.functional.normalize`).
const LEAST_LENGTH: f32 = 1e-12;

/// Holds the logarithms of the factors.
#[derive(Debug, Clone)]
pub struct CosineScale(Parameter);

impl CosineScale {
    /// Registers `logit_scale` [heads, 1, 1].
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, heads: usize) -> Result<Self, ForwardError> {
        Ok(Self(scope.parameter("logit_scale", &[heads, 1, 1])?))
    }

    /// Reads the factors, none above 100.
    pub(super) fn factors(&self, cx: &Context<'_>) -> Result<Vec<f32>, ForwardError> {
        let logarithms = self.0.read(cx.weights())?;
        Ok(logarithms.into_iter().map(|scale| f64::from(scale).min(LARGEST.ln()).exp() as f32).collect())
    }
}

/// Makes each head of each row that begins at `first_column` a vector of length 1, or as long as its factor.
///
/// # Errors
/// Returns [`ForwardError::Operands`] when the rows are shorter.
pub(super) fn normalize(
    x: &mut Matrix,
    first_column: usize,
    heads: Heads,
    factors: Option<&[f32]>,
) -> Result<(), ForwardError> {
    let columns = x.columns();
    let end = first_column.saturating_add(heads.count.saturating_mul(heads.dim));
    if end > columns || columns == 0 || heads.dim == 0 {
        let detail =
            format!("{} heads of {} from column {first_column} of {columns} on", heads.count, heads.dim);
        return Err(ForwardError::operands("cosine attention", detail));
    }
    x.values_mut().par_chunks_mut(columns).for_each(|row| {
        let row = row.get_mut(first_column..end).unwrap_or_default();
        for (head, vector) in row.chunks_exact_mut(heads.dim).enumerate() {
            let squares: f32 = vector.iter().map(|value| value * value).sum();
            let factor = factors.and_then(|factors| factors.get(head)).copied().unwrap_or(1.0);
            let scale = factor / squares.sqrt().max(LEAST_LENGTH);
            vector.iter_mut().for_each(|value| *value *= scale);
        }
    });
    Ok(())
}
