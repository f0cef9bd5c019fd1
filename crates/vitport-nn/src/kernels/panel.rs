//! Packs weights: the right operand of a product is copied, some columns at a time, into a panel in the order in which the
//! kernel reads it, term after term (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication", ACM TOMS
//! 34). The rows of a weight are what the product sees as columns, so they are transposed on the way.

use std::ops::Range;

use super::transpose::{ROWS, transpose};
use super::view::View;

/// Gives the bytes of a cache line, on which panels begin.
const LINE: usize = 64;

/// Holds memory for panels that is used again and again.
#[derive(Debug, Default)]
pub(super) struct PanelBuffer {
    values: Vec<f32>,
}

impl PanelBuffer {
    /// Returns `terms` × `width` values on whole cache lines; what they hold is left over from before.
    pub(super) fn take(&mut self, terms: usize, width: usize) -> &mut [f32] {
        let length = terms.saturating_mul(width);
        let needed = length.saturating_add(LINE);
        if self.values.len() < needed {
            self.values.resize(needed, 0.0);
        }
        let skipped = self.values.as_ptr().align_offset(LINE).min(LINE);
        self.values.get_mut(skipped..).and_then(|values| values.get_mut(..length)).unwrap_or_default()
    }
}

/// Fills a panel [terms, width] with the transposed of the rows `columns` of `right`, of which each has a
/// value for every term. Rows beyond the last count as zeros.
pub(super) fn pack_rows(
    right: View<'_>,
    columns: Range<usize>,
    terms: Range<usize>,
    width: usize,
    panel: &mut [f32],
) -> Option<()> {
    let count = columns.len().min(width);
    if count < width {
        panel.fill(0.0);
    }
    let whole = count - count % ROWS;
    for first in (0..whole).step_by(ROWS) {
        let mut rows = [&[][..]; ROWS];
        for (offset, row) in rows.iter_mut().enumerate() {
            *row = right.part(columns.start + first + offset, terms.start, terms.len())?;
        }
        transpose(rows, width, panel.get_mut(first..)?)?;
    }
    for place in whole..count {
        let row = right.part(columns.start + place, terms.start, terms.len())?;
        transpose_one(row, place, width, panel);
    }
    Some(())
}

/// Fills a panel [terms, width] with the columns `columns` of `right`, of which each row is a term.
/// Columns beyond the last count as zeros.
pub(super) fn pack_columns(
    right: View<'_>,
    columns: Range<usize>,
    width: usize,
    panel: &mut [f32],
) -> Option<()> {
    for (term, slots) in panel.chunks_exact_mut(width.max(1)).enumerate() {
        let values = right.part(term, columns.start, columns.len())?;
        let (filled, rest) = slots.split_at_mut_checked(values.len())?;
        filled.copy_from_slice(values);
        rest.fill(0.0);
    }
    Some(())
}

/// Writes one row into column `place` of a panel.
fn transpose_one(row: &[f32], place: usize, width: usize, panel: &mut [f32]) {
    for (slot, value) in panel.iter_mut().skip(place).step_by(width.max(1)).zip(row) {
        *slot = *value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(count: usize) -> Vec<f32> {
        (0..count).map(|value| value as f32).collect()
    }

    #[test]
    fn rows_become_columns() {
        for (rows, terms, width) in
            [(64, 24, 64), (64, 19, 64), (37, 8, 48), (16, 1, 16), (5, 7, 8), (1, 3, 2)]
        {
            let (stride, offset) = (terms + 5, 3);
            let values = ramp(offset + stride * (rows + 2));
            let right = View::new(&values, offset, rows + 2, terms + 2, stride).unwrap();
            let mut panel = vec![-1.0; terms * width];
            pack_rows(right, 1..rows + 1, 2..terms + 2, width, &mut panel).unwrap();
            for (term, slots) in panel.chunks(width).enumerate() {
                for (column, slot) in slots.iter().enumerate() {
                    let expected = if column < rows { offset + (column + 1) * stride + term + 2 } else { 0 };
                    assert_eq!(*slot, expected as f32, "{rows} × {terms} in {width}: {term}, {column}");
                }
            }
            assert!(pack_rows(right, 3..rows + 3, 0..terms, width, &mut panel).is_none());
        }
    }

    #[test]
    fn columns_stay_columns() {
        let values = ramp(4 * 9);
        let right = View::new(&values, 0, 4, 7, 9).unwrap();
        let mut panel = vec![-1.0; 4 * 4];
        pack_columns(right, 4..7, 4, &mut panel).unwrap();
        assert_eq!(panel[4..8], [13.0, 14.0, 15.0, 0.0]);
        assert!(pack_columns(right, 5..8, 4, &mut panel).is_none());
        assert!(pack_columns(right, 0..5, 4, &mut panel).is_none());
    }

    #[test]
    fn panels_begin_on_a_cache_line() {
        let mut buffer = PanelBuffer::default();
        for (terms, width) in [(3, 5), (100, 64), (1, 1)] {
            let panel = buffer.take(terms, width);
            assert_eq!((panel.len(), panel.as_ptr().align_offset(LINE)), (terms * width, 0));
        }
    }
}
