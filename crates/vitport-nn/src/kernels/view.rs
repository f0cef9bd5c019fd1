//! Describes row-major matrices that lie in somebody else's memory: a [`View`] of rows which may lie further apart than they
//! are long, and [`Block`]s, into which an output is cut so that threads can fill its parts side by side.

use std::ops::Range;

/// Describes a row-major matrix inside a slice, whose rows may lie further apart than they are long.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> View<'a> {
    /// Returns the view of `rows` × `columns` values that start at `offset`, one row every `stride` values; none when they do
    /// not lie within `values`.
    pub(super) fn new(
        values: &'a [f32],
        offset: usize,
        rows: usize,
        columns: usize,
        stride: usize,
    ) -> Option<Self> {
        let before_last = rows.saturating_sub(1);
        let span = if rows == 0 { 0 } else { before_last.checked_mul(stride)?.checked_add(columns)? };
        let values = values.get(offset..)?.get(..span).filter(|_| columns <= stride)?;
        Some(Self { values, rows, columns, stride })
    }

    /// Returns the number of rows.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Returns the columns `columns` of all rows; none when there are fewer.
    pub(super) fn columns_in(&self, columns: Range<usize>) -> Option<Self> {
        if columns.end > self.columns {
            return None;
        }
        View::new(self.values, columns.start, self.rows, columns.len(), self.stride)
    }

    /// Returns `count` values of row `row` from column `first` on; none outside the matrix.
    #[inline(always)]
    pub(super) fn part(&self, row: usize, first: usize, count: usize) -> Option<&'a [f32]> {
        if row >= self.rows || first.checked_add(count)? > self.columns {
            return None;
        }
        self.values.get(row * self.stride + first..)?.get(..count)
    }
}

/// Holds some rows of some columns of an output.
#[derive(Debug)]
pub(super) struct Block<'a> {
    /// Gives the number of the first row.
    pub(super) first_row: usize,
    /// Gives the number of the first column.
    pub(super) first_column: usize,
    /// Holds the block's part of each of its rows.
    pub(super) rows: Vec<&'a mut [f32]>,
}

/// Cuts a matrix of `columns` columns into blocks of `block_rows` × `block_columns`, those at the
/// right and the lower edge smaller; none if a size is zero.
pub(super) fn cut(
    values: &mut [f32],
    columns: usize,
    block_rows: usize,
    block_columns: usize,
) -> Vec<Block<'_>> {
    if columns == 0 || block_rows == 0 || block_columns == 0 {
        return Vec::new();
    }
    let mut blocks = Vec::new();
    for (strip, values) in values.chunks_mut(block_rows.saturating_mul(columns)).enumerate() {
        let new = blocks.len();
        blocks.extend((0..columns.div_ceil(block_columns)).map(|block| Block {
            first_row: strip * block_rows,
            first_column: block * block_columns,
            rows: Vec::with_capacity(block_rows.min(values.len() / columns)),
        }));
        for row in values.chunks_exact_mut(columns) {
            for (block, part) in blocks.iter_mut().skip(new).zip(row.chunks_mut(block_columns)) {
                block.rows.push(part);
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_never_reach_outside() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let view = View::new(&values, 1, 2, 3, 5).unwrap();
        assert_eq!(view.part(1, 1, 2), Some(&[7.0, 8.0][..]));
        for (row, first, count) in [(2, 0, 1), (1, 2, 2), (0, 4, 0), (usize::MAX, 0, 1), (0, usize::MAX, 1)] {
            assert_eq!(view.part(row, first, count), None, "{row}, {first}, {count}");
        }
        assert!(View::new(&values, 0, 2, 5, 5).is_some());
        assert!(View::new(&values, 1, 2, 5, 5).is_none());
        assert!(View::new(&values, 0, 2, 5, 4).is_none());
        assert!(View::new(&values, 0, usize::MAX, 2, 2).is_none());
        assert!(View::new(&values, usize::MAX, 1, 1, 1).is_none());
    }

    #[test]
    fn blocks_hold_every_value_once() {
        let mut values: Vec<f32> = (0..35).map(|value| value as f32).collect();
        let blocks = cut(&mut values, 7, 2, 3);
        let at: Vec<_> = blocks.iter().map(|b| (b.first_row, b.first_column, b.rows.len())).collect();
        assert_eq!(at[..4], [(0, 0, 2), (0, 3, 2), (0, 6, 2), (2, 0, 2)]);
        assert_eq!(at.len(), 9);
        for block in blocks {
            for (r, row) in block.rows.iter().enumerate() {
                for (c, value) in row.iter().enumerate() {
                    assert_eq!(*value, ((block.first_row + r) * 7 + block.first_column + c) as f32);
                }
            }
        }
        assert!(cut(&mut values, 0, 1, 1).is_empty() && cut(&mut values, 7, 0, 1).is_empty());
    }
}
