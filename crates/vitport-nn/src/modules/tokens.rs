//! Defines small steps between modules that work on whole tokens.

use rayon::prelude::*;

use crate::error::ForwardError;
use crate::matrix::{Matrix, PART};
use crate::network::Context;

/// Returns `leading` and then `tokens`, row after row: a class token or registers before the patches.
///
/// # Errors
/// Returns [`ForwardError`] when `leading` is not a whole number of tokens.
pub fn prepend(leading: &[f32], tokens: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
    let width = tokens.columns();
    let count = leading.len().checked_div(width).unwrap_or(0);
    if count.saturating_mul(width) != leading.len() {
        let detail = format!("{} values before tokens of {width}", leading.len());
        return Err(ForwardError::operands("a concatenation of tokens", detail));
    }
    let rows = tokens.rows().saturating_add(count);
    let mut all = cx.scratch(rows.saturating_mul(width));
    all.resize(rows, width, "the tokens")?;
    let (first, rest) = all.values_mut().split_at_mut_checked(leading.len()).unwrap_or_default();
    first.copy_from_slice(leading);
    rest.copy_from_slice(tokens.values());
    cx.recycle(tokens);
    Ok(all)
}

/// Returns the tokens after the first `count`: the patches without a class token or registers.
///
/// # Errors
/// Returns [`ForwardError::Operands`] when there are not as many.
pub fn without_leading(tokens: &Matrix, count: usize) -> Result<Matrix, ForwardError> {
    let (rows, columns) = (tokens.rows(), tokens.columns());
    let rest = tokens.values().get(count.saturating_mul(columns)..).unwrap_or_default();
    Matrix::from_values(rows.saturating_sub(count), columns, rest.to_vec())
}

/// Returns one token as a matrix of one row.
///
/// # Errors
/// Returns [`ForwardError::Operands`] when there is no such token.
pub fn token(tokens: &Matrix, index: usize) -> Result<Matrix, ForwardError> {
    Matrix::from_values(1, tokens.columns(), tokens.row(index).unwrap_or_default().to_vec())
}

/// Returns the mean over rows, `[columns]`, summed in float64: of one row, the row; of a map, global average pooling.
pub fn mean_of_rows(tokens: &Matrix) -> Vec<f32> {
    means_of_columns(tokens, |value| value).into_iter().map(|mean| mean as f32).collect()
}

/// Returns the mean of `term` over the values of each column. The parts that threads sum up do not depend on how many there
/// are.
pub(super) fn means_of_columns(tokens: &Matrix, term: impl Fn(f64) -> f64 + Sync) -> Vec<f64> {
    let columns = tokens.columns().max(1);
    let part = PART.div_ceil(columns).saturating_mul(columns);
    let add = |mut sums: Vec<f64>, row: &[f32]| {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += term(f64::from(value)));
        sums
    };
    let nothing = || vec![0.0; tokens.columns()];
    let parts = tokens.values().par_chunks(part);
    let parts: Vec<Vec<f64>> = parts.map(|rows| rows.chunks_exact(columns).fold(nothing(), add)).collect();
    let total = |mut sums: Vec<f64>, part: Vec<f64>| {
        sums.iter_mut().zip(part).for_each(|(sum, addend)| *sum += addend);
        sums
    };
    let sums = parts.into_iter().fold(nothing(), total);
    sums.into_iter().map(|sum| sum / tokens.rows() as f64).collect()
}
