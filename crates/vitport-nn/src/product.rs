//! Matrix products in float32, by faer, which packs and multiplies at the speed of the machine with
//! instructions chosen at run time. Everything here is row-major; a weight is used as it lies in the
//! file, [outputs, inputs].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// A row-major matrix inside a slice, whose rows may lie further apart than they are long.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    matrix: MatRef<'a, f32>,
}

impl<'a> View<'a> {
    /// `rows` × `columns` values that start at `offset`, one row every `stride` values; none when
    /// they do not lie within `values`.
    pub(super) fn new(
        values: &'a [f32],
        offset: usize,
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Option<Self> {
        let values = values.get(offset..)?.get(..span(rows, columns, stride)?)?;
        Some(Self { matrix: MatRef::from_row_major_slice_with_stride(values, rows, columns, stride) })
    }
}

/// A [`View`] that is written to.
#[derive(Debug)]
pub(super) struct ViewMut<'a> {
    matrix: MatMut<'a, f32>,
}

impl<'a> ViewMut<'a> {
    /// As [`View::new`].
    pub(super) fn new(
        values: &'a mut [f32],
        offset: usize,
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Option<Self> {
        let values = values.get_mut(offset..)?.get_mut(..span(rows, columns, stride)?)?;
        // faer 0.24.4's from_row_major_slice_with_stride_mut exchanges the two strides and reaches
        // outside the slice; the column-major constructor is right.
        let transposed = MatMut::from_column_major_slice_with_stride_mut(values, columns, rows, stride);
        Some(Self { matrix: transposed.transpose_mut() })
    }
}

/// How many values a strided matrix reaches over.
fn span(rows: usize, columns: usize, stride: usize) -> Option<usize> {
    if columns > stride {
        return None;
    }
    match rows.checked_sub(1) {
        None => Some(0),
        Some(before_last) => before_last.checked_mul(stride)?.checked_add(columns),
    }
}

/// out = left · rightᵀ × factor on this thread; none when the sizes do not fit.
pub(super) fn times_transposed(out: ViewMut<'_>, left: View<'_>, right: View<'_>, factor: f32) -> Option<()> {
    product(out.matrix, left.matrix, right.matrix.transpose(), factor)
}

/// out = left · right on this thread; none when the sizes do not fit.
pub(super) fn times(out: ViewMut<'_>, left: View<'_>, right: View<'_>) -> Option<()> {
    product(out.matrix, left.matrix, right.matrix, 1.0)
}

/// Columns of a block of a large product: a whole number of the widest rows that faer's kernels
/// compute at once (96 with AVX-512, 24 with AVX2), and few enough that the block's packed weights and
/// its results stay in a core's cache.
const BLOCK_COLUMNS: usize = 96;
/// Fewest rows that are worth packing a block's weights for again.
const LEAST_BLOCK_ROWS: usize = 32;
/// Blocks for each thread, so that an uneven number costs little.
const BLOCKS_PER_THREAD: usize = 2;

/// out = left · rightᵀ in blocks that rayon's threads share out, each block on one thread; `finish`
/// is then given every part of a row of the block, with the number of its first column, while the
/// block is in cache. None when the sizes do not fit.
pub(super) fn times_transposed_in_blocks(
    out: ViewMut<'_>,
    left: View<'_>,
    right: View<'_>,
    finish: impl Fn(usize, &mut [f32]) + Sync,
) -> Option<()> {
    let (rows, columns) = (out.matrix.nrows(), out.matrix.ncols());
    if rows != left.matrix.nrows() || columns != right.matrix.nrows() {
        return None;
    }
    let wanted = rayon::current_num_threads().saturating_mul(BLOCKS_PER_THREAD);
    let row_blocks = wanted.div_ceil(columns.div_ceil(BLOCK_COLUMNS).max(1));
    let block_rows = rows.div_ceil(row_blocks.max(1)).max(LEAST_BLOCK_ROWS);
    out.matrix
        .par_row_chunks_mut(block_rows)
        .zip(left.matrix.par_row_chunks(block_rows))
        .flat_map(|(out, left)| {
            out.par_col_chunks_mut(BLOCK_COLUMNS)
                .zip(right.matrix.par_row_chunks(BLOCK_COLUMNS))
                .enumerate()
                .map(move |(block, (out, right))| (block, out, left, right))
        })
        .map(|(block, mut out, left, right)| {
            product(out.as_mut(), left, right.transpose(), 1.0)?;
            out.row_iter_mut().try_for_each(|row| {
                finish(block.saturating_mul(BLOCK_COLUMNS), row.try_as_row_major_mut()?.as_slice_mut());
                Some(())
            })
        })
        .collect()
}

fn product(out: MatMut<'_, f32>, left: MatRef<'_, f32>, right: MatRef<'_, f32>, factor: f32) -> Option<()> {
    if out.nrows() != left.nrows() || out.ncols() != right.ncols() || left.ncols() != right.nrows() {
        return None;
    }
    matmul(out, Accum::Replace, left, right, factor, Par::Seq);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_strided_matrices() {
        let left: Vec<f32> = (0..10).map(|value| value as f32).collect();
        let right: Vec<f32> = (0..12).map(|value| (value * value) as f32).collect();
        let mut out = vec![-1.0; 8];
        // left: rows [1 2 3] and [6 7 8]; right: rows [0 1 4], [9 16 25], [36 49 64].
        let x = View::new(&left, 1, 2, 3, 5).unwrap();
        let w = View::new(&right, 0, 3, 3, 3).unwrap();
        times_transposed(ViewMut::new(&mut out, 1, 2, 3, 4).unwrap(), x, w, 2.0).unwrap();
        assert_eq!(out, [-1.0, 28.0, 232.0, 652.0, -1.0, 78.0, 732.0, 2142.0]);
        times(ViewMut::new(&mut out, 1, 2, 3, 4).unwrap(), x, w).unwrap();
        assert_eq!(out, [-1.0, 126.0, 180.0, 246.0, -1.0, 351.0, 510.0, 711.0]);
    }

    #[test]
    fn views_never_reach_outside() {
        let values = [0.0; 10];
        assert!(View::new(&values, 0, 2, 5, 5).is_some());
        assert!(View::new(&values, 1, 2, 5, 5).is_none());
        assert!(View::new(&values, 0, 2, 5, 4).is_none());
        assert!(View::new(&values, 0, usize::MAX, 2, 2).is_none());
        assert!(View::new(&values, usize::MAX, 1, 1, 1).is_none());
    }
}
