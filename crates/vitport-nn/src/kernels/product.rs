//! Computes matrix products in float32: the right operand is packed a panel at a time and multiplied with all rows while the
//! panel stays in a core's cache. Everything here is row-major; a weight is used as it lies in the file, [outputs, inputs].

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::activation::Activation;
use super::panel::{PanelBuffer, pack_columns, pack_rows};
use super::tile::{Finish, PanelWidth, Strip};
use super::view::{View, cut};
use crate::error::ForwardError;

/// Gives the most terms of a panel: with the widest panels, of 64 columns, 256 KiB, a part of a core's second
/// cache that leaves space for the rows that go by.
const MOST_TERMS: usize = 1024;
/// Gives the fewest rows that are worth packing a panel for again.
const LEAST_BLOCK_ROWS: usize = 32;
/// Gives the number of blocks for each thread, so that an uneven number costs little.
const BLOCKS_PER_THREAD: usize = 2;

/// Holds the buffers that a thread needs during a product.
#[derive(Debug, Default)]
struct Scratch {
    panel: PanelBuffer,
    rows: Vec<f32>,
}

thread_local! {
    /// Holds memory that is kept from product to product, because fresh memory costs a page fault every four kilobytes.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Gives the right operand of a product, [outputs, inputs], of which some rows at a time are asked for.
pub(super) trait Rows: Sync {
    /// Returns the rows `rows`, one after the other; `buffer` may be filled with them.
    ///
    /// # Errors
    /// When they cannot be read.
    fn rows<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], ForwardError>;

    /// Returns the rows `rows` if they lie in memory, all of them.
    fn in_memory(&self, rows: Range<usize>) -> Option<&[f32]>;
}

/// Computes out = left · rightᵀ, out being [rows of left, outputs] without gaps, in blocks that rayon's threads share out; each
/// sum is finished with `bias`, one for every output, and `activation`. While a block is computed the weights of the one after
/// it are fetched into the cache: threads mostly take blocks one after the other.
///
/// # Errors
/// What `right` returns, and what `misfit` makes of sizes that do not fit.
pub(super) fn times_transposed_in_blocks(
    left: View<'_>,
    right: &dyn Rows,
    out: &mut [f32],
    bias: &[f32],
    activation: Activation,
    misfit: impl Fn() -> ForwardError + Sync,
) -> Result<(), ForwardError> {
    let outputs = bias.len();
    if left.rows().checked_mul(outputs) != Some(out.len()) {
        return Err(misfit());
    }
    let width = PanelWidth::here();
    let wanted = rayon::current_num_threads().saturating_mul(BLOCKS_PER_THREAD);
    let row_blocks = wanted.div_ceil(outputs.div_ceil(width.most).max(1)).max(1);
    let block_rows = left.rows().div_ceil(row_blocks).max(LEAST_BLOCK_ROWS);
    let blocks = cut(out, outputs, block_rows, width.most);
    blocks.into_par_iter().with_max_len(1).try_for_each(|mut block| {
        SCRATCH.with_borrow_mut(|buffer| {
            let inputs = left.columns();
            let columns = block.rows.first().map_or(0, |row| row.len());
            let end = block.first_column + columns;
            let bias = bias.get(block.first_column..end).ok_or_else(&misfit)?;
            let ahead = end..outputs.min(end + width.most);
            let count = ahead.len();
            let ahead = right.in_memory(ahead).and_then(|rows| View::new(rows, 0, count, inputs, inputs));
            let rows = right.rows(block.first_column..end, &mut buffer.rows)?;
            let right = View::new(rows, 0, columns, inputs, inputs).ok_or_else(&misfit)?;
            let finish = Some(Finish { bias, activation });
            let product = Product { left, first_row: block.first_row, right, finish, ahead };
            product.run(&mut buffer.panel, &mut block.rows).ok_or_else(&misfit)
        })
    })
}

/// Computes out = left · rightᵀ on one thread.
#[derive(Debug)]
pub(super) struct Product<'a> {
    /// Holds the left operand.
    pub(super) left: View<'a>,
    /// Gives its first row here; as many follow as the output has.
    pub(super) first_row: usize,
    /// Holds the right operand, [outputs, inputs].
    pub(super) right: View<'a>,
    /// Says what becomes of the sums, with a bias for each output.
    pub(super) finish: Option<Finish<'a>>,
    /// Holds the right operand of what comes next.
    pub(super) ahead: Option<View<'a>>,
}

impl Product<'_> {
    /// Fills `out`; none when the sizes do not fit.
    pub(super) fn run(&self, buffer: &mut PanelBuffer, out: &mut [&mut [f32]]) -> Option<()> {
        let inputs = self.left.columns();
        if self.right.columns() != inputs {
            return None;
        }
        let parts = inputs.div_ceil(MOST_TERMS).max(1);
        let terms_of_part = inputs.div_ceil(parts);
        let terms = |part: usize| part * terms_of_part..inputs.min((part + 1) * terms_of_part);
        for columns in panels(self.right.rows()) {
            let width = PanelWidth::here().of(columns.len());
            for part in 0..parts {
                let panel = buffer.take(terms(part).len(), width);
                pack_rows(self.right, columns.clone(), terms(part), width, panel)?;
                let last = part + 1 == parts;
                let finish = match self.finish {
                    Some(Finish { bias, activation }) if last => {
                        Some(Finish { bias: bias.get(columns.clone())?, activation })
                    }
                    _ => None,
                };
                let (next, terms_ahead) =
                    if last { (self.ahead, terms(0)) } else { (Some(self.right), terms(part + 1)) };
                let ahead = next.and_then(|next| next.columns_in(terms_ahead));
                pulp::Arch::new().dispatch(Strip {
                    left: self.left,
                    first_row: self.first_row,
                    first_term: terms(part).start,
                    panel,
                    width,
                    out: &mut *out,
                    first_column: columns.start,
                    accumulate: part > 0,
                    finish,
                    ahead,
                })?;
            }
        }
        Some(())
    }
}

/// Computes out = left · right on this thread, for as many rows of `left` as `out` has; none when the sizes do not fit.
pub(super) fn times(
    left: View<'_>,
    right: View<'_>,
    buffer: &mut PanelBuffer,
    out: &mut [&mut [f32]],
) -> Option<()> {
    let terms = left.columns();
    if right.rows() != terms {
        return None;
    }
    for columns in panels(right.columns()) {
        let width = PanelWidth::here().of(columns.len());
        let panel = buffer.take(terms, width);
        pack_columns(right, columns.clone(), width, panel)?;
        pulp::Arch::new().dispatch(Strip {
            left,
            first_row: 0,
            first_term: 0,
            panel,
            width,
            out: &mut *out,
            first_column: columns.start,
            accumulate: false,
            finish: None,
            ahead: None,
        })?;
    }
    Some(())
}

/// Returns the columns of each panel.
fn panels(columns: usize) -> impl Iterator<Item = Range<usize>> {
    let most = PanelWidth::here().most;
    (0..columns).step_by(most).map(move |first| first..columns.min(first + most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(seed: usize) -> f32 {
        ((seed * 7919 + 13) % 101) as f32 - 50.0
    }

    /// Tests sizes round the widths of panels and the number of their terms.
    #[test]
    fn products_of_strided_matrices() {
        for (rows, terms, columns) in
            [(1, 1, 1), (5, 3, 2), (13, 70, 67), (7, 1025, 65), (3, 2500, 1), (50, 8, 130)]
        {
            let left: Vec<f32> = (0..1 + rows * (terms + 2)).map(value).collect();
            let right: Vec<f32> = (0..columns * (terms + 1)).map(|seed| value(seed + 3)).collect();
            let l = View::new(&left, 1, rows, terms, terms + 2).unwrap();
            let at = |row: usize, term: usize| left[1 + row * (terms + 2) + term];
            let mut buffer = PanelBuffer::default();

            let mut out = vec![0.0; rows * columns];
            let mut slots: Vec<&mut [f32]> = out.chunks_mut(columns).skip(rows / 2).collect();
            let r = View::new(&right, 0, columns, terms, terms + 1).unwrap();
            let bias: Vec<f32> = (0..columns).map(|column| value(column) * 1000.0).collect();
            let finish = Some(Finish { bias: &bias, activation: Activation::Relu });
            let product = Product { left: l, first_row: rows / 2, right: r, finish, ahead: Some(r) };
            product.run(&mut buffer, &mut slots).unwrap();
            for (row, column) in (rows / 2..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                let sum: f32 =
                    (0..terms).map(|term| at(row, term) * right[column * (terms + 1) + term]).sum();
                let expected = (sum + bias[column]).max(0.0);
                assert_eq!(
                    out[row * columns + column],
                    expected,
                    "{rows} × {terms} × {columns}: {row}, {column}"
                );
            }

            let right: Vec<f32> = (0..terms * (columns + 1)).map(value).collect();
            let r = View::new(&right, 0, terms, columns, columns + 1).unwrap();
            let mut slots: Vec<&mut [f32]> = out.chunks_mut(columns).collect();
            times(l, r, &mut buffer, &mut slots).unwrap();
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                let sum: f32 =
                    (0..terms).map(|term| at(row, term) * right[term * (columns + 1) + column]).sum();
                assert_eq!(out[row * columns + column], sum, "{rows} × {terms} × {columns}: {row}, {column}");
            }
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_none() {
        let values = [0.0; 40];
        let view = |rows, columns| View::new(&values, 0, rows, columns, columns).unwrap();
        let (mut buffer, mut out) = (PanelBuffer::default(), [0.0; 12]);
        let mut slots: Vec<&mut [f32]> = out.chunks_mut(4).collect();
        let mut transposed = |first_row, right| {
            Product { left: view(3, 5), first_row, right, finish: None, ahead: None }
                .run(&mut buffer, &mut slots)
        };
        assert!(transposed(0, view(4, 5)).is_some());
        assert!(transposed(0, view(4, 6)).is_none());
        assert!(transposed(1, view(4, 5)).is_none());
        assert!(times(view(3, 5), view(5, 4), &mut buffer, &mut slots).is_some());
        assert!(times(view(3, 5), view(4, 5), &mut buffer, &mut slots).is_none());
        assert!(times(view(2, 5), view(5, 4), &mut buffer, &mut slots).is_none());
    }
}
