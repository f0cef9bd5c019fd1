//! Matrix products in float32, by faer, which packs and multiplies at the speed of the machine with
//! instructions chosen at run time. Everything here is row-major; a weight is used as it lies in the
//! file, [outputs, inputs].

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

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

/// Whether a product uses this thread alone or rayon's pool.
#[derive(Debug, Clone, Copy)]
pub(super) enum Threads {
    One,
    All,
}

impl Threads {
    fn par(self) -> Par {
        match self {
            Self::One => Par::Seq,
            Self::All => Par::rayon(0),
        }
    }
}

/// out = left · rightᵀ × factor; none when the sizes do not fit.
pub(super) fn times_transposed(
    out: ViewMut<'_>,
    left: View<'_>,
    right: View<'_>,
    factor: f32,
    threads: Threads,
) -> Option<()> {
    product(out, left.matrix, right.matrix.transpose(), factor, threads)
}

/// out = left · right; none when the sizes do not fit.
pub(super) fn times(out: ViewMut<'_>, left: View<'_>, right: View<'_>, threads: Threads) -> Option<()> {
    product(out, left.matrix, right.matrix, 1.0, threads)
}

fn product(
    mut out: ViewMut<'_>,
    left: MatRef<'_, f32>,
    right: MatRef<'_, f32>,
    factor: f32,
    threads: Threads,
) -> Option<()> {
    if out.matrix.nrows() != left.nrows()
        || out.matrix.ncols() != right.ncols()
        || left.ncols() != right.nrows()
    {
        return None;
    }
    matmul(out.matrix.as_mut(), Accum::Replace, left, right, factor, threads.par());
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
        times_transposed(ViewMut::new(&mut out, 1, 2, 3, 4).unwrap(), x, w, 2.0, Threads::All).unwrap();
        assert_eq!(out, [-1.0, 28.0, 232.0, 652.0, -1.0, 78.0, 732.0, 2142.0]);
        times(ViewMut::new(&mut out, 1, 2, 3, 4).unwrap(), x, w, Threads::One).unwrap();
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
