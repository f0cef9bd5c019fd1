//! Picking the elements of a box out of bytes in which they lie with strides.

use super::turn::{SIDE, Square, Turn, Turned};
use crate::error::{Fault, Reason, refuse};

/// Columns that are picked at a time: one cache line of each is at hand while all rows go by.
const COLUMNS: usize = 16;

/// A dimension: its size, and the elements from one index to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) size: usize,
    pub(super) stride: usize,
}

/// A dimension of a box that is copied: its size, and the elements from one index to the next in the bytes that are
/// read and in those that are filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    pub(super) size: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Elements of a box with these axes.
pub(super) fn elements(axes: &[Axis]) -> usize {
    axes.iter().fold(1, |count, axis| count.saturating_mul(axis.size))
}

/// The steps of a box that is filled in row-major order. What lies side by side in the filled bytes comes last, before it
/// what lies nearest in the others: these two are copied together.
pub(super) fn steps(axes: &[Axis]) -> Vec<Step> {
    let mut to = 1_usize;
    let mut steps: Vec<Step> = Vec::with_capacity(axes.len());
    for axis in axes.iter().rev() {
        steps.push(Step { size: axis.size, from: axis.stride, to });
        to = to.saturating_mul(axis.size);
    }
    if let Some((_, others)) = steps.split_first_mut() {
        others.sort_by_key(|step| step.from);
    }
    steps.reverse();
    steps
}

/// Copies a box of elements of `size` bytes from `bytes`, its first element being number `low` there, to `out`, where it
/// becomes number `place`.
pub(super) fn pick(
    steps: &[Step],
    size: usize,
    bytes: &[u8],
    low: usize,
    out: &mut [u8],
    place: usize,
) -> Result<(), Fault> {
    let picked = match size {
        1 => pick_elements::<1>(steps, bytes, low, out, place),
        2 => pick_elements::<2>(steps, bytes, low, out, place),
        4 => pick_elements::<4>(steps, bytes, low, out, place),
        _ => pick_elements::<8>(steps, bytes, low, out, place),
    };
    picked.map_or_else(outside, Ok)
}

pub(super) fn outside<T>() -> Result<T, Fault> {
    refuse(Reason::Malformed, "a view reaches outside its storage")
}

fn pick_elements<const SIZE: usize>(
    steps: &[Step],
    bytes: &[u8],
    low: usize,
    out: &mut [u8],
    place: usize,
) -> Option<()>
where
    [u8; SIZE]: Turn,
{
    pick_box(steps, bytes.as_chunks::<SIZE>().0, low, out.as_chunks_mut::<SIZE>().0, place)
}

/// `None` when the bytes end too early.
fn pick_box<T: Turn>(steps: &[Step], from: &[T], low: usize, out: &mut [T], place: usize) -> Option<()> {
    const ONE: Step = Step { size: 1, from: 0, to: 1 };
    let (rows, columns) = match steps {
        [] => (ONE, ONE),
        [columns] => (ONE, *columns),
        [rows, columns] => (*rows, *columns),
        [outer, inner @ ..] => {
            return (0..outer.size).try_for_each(|index| {
                let low = low.saturating_add(index.saturating_mul(outer.from));
                pick_box(inner, from, low, out, place.saturating_add(index.saturating_mul(outer.to)))
            });
        }
    };
    T::turn(Plane { rows, columns, from, low, out, place })
}

/// Rows and columns that are picked; the columns lie side by side in `out`.
struct Plane<'a, T> {
    rows: Step,
    columns: Step,
    from: &'a [T],
    low: usize,
    out: &'a mut [T],
    place: usize,
}

impl<T: Copy> Turned<T> for Plane<'_, T> {
    #[inline(always)]
    fn with(self, turned: impl Fn(Square<T>) -> Square<T>) -> Option<()> {
        let Self { rows, columns, from, low, out, place } = self;
        let source = |row: usize, column: usize| {
            let row = row.saturating_mul(rows.from);
            low.saturating_add(row).saturating_add(column.saturating_mul(columns.from))
        };
        let target = |row: usize, column: usize| {
            place.saturating_add(row.saturating_mul(rows.to)).saturating_add(column)
        };
        if columns.from == 1 {
            for row in 0..rows.size {
                let run = from.get(source(row, 0)..)?.get(..columns.size)?;
                out.get_mut(target(row, 0)..)?.get_mut(..columns.size)?.copy_from_slice(run);
            }
            return Some(());
        }
        for column in (0..columns.size).step_by(COLUMNS) {
            let count = COLUMNS.min(columns.size - column);
            let in_squares = rows.from == 1 && count == COLUMNS;
            let in_squares = if in_squares { rows.size - rows.size % SIDE } else { 0 };
            for row in (0..in_squares).step_by(SIDE) {
                for column in [column, column + SIDE] {
                    let mut square = [*from.get(source(row, column)..)?.first_chunk::<SIDE>()?; SIDE];
                    for (line, column) in square.iter_mut().zip(column..) {
                        *line = *from.get(source(row, column)..)?.first_chunk()?;
                    }
                    for (line, row) in turned(square).iter().zip(row..) {
                        out.get_mut(target(row, column)..)?.get_mut(..SIDE)?.copy_from_slice(line);
                    }
                }
            }
            for row in in_squares..rows.size {
                let mut at = source(row, column);
                for slot in out.get_mut(target(row, column)..)?.get_mut(..count)? {
                    *slot = *from.get(at)?;
                    at = at.saturating_add(columns.from);
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_end_too_early_are_refused() {
        let part = [Step { size: 3, from: 2, to: 1 }];
        assert!(pick(&part, 4, &[0; 20], 0, &mut [0; 12], 0).is_ok());
        assert!(pick(&part, 4, &[0; 19], 0, &mut [0; 12], 0).is_err());
        assert!(pick(&part, 4, &[0; 20], 0, &mut [0; 11], 0).is_err());
    }

    #[test]
    fn every_element_of_a_plane_gets_to_its_place() {
        // With and without squares, and with rows and columns left over beside them.
        for (rows, columns, row_stride, column_stride) in
            [(8, 16, 1, 8), (21, 37, 1, 21), (21, 37, 1, 50), (9, 40, 3, 30), (5, 3, 7, 1), (40, 16, 2, 100)]
        {
            let axes =
                [Axis { size: rows, stride: row_stride }, Axis { size: columns, stride: column_stride }];
            let from: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
            let mut out = vec![0; (rows * columns + 1) * 4];
            pick(&steps(&axes), 4, &from, 3, &mut out, 1).unwrap();
            let found: Vec<usize> =
                out.as_chunks().0.iter().map(|&e| u32::from_le_bytes(e) as usize).collect();
            let truth =
                (0..rows).flat_map(|r| (0..columns).map(move |c| 3 + r * row_stride + c * column_stride));
            assert_eq!(found[1..], truth.collect::<Vec<_>>(), "{rows} × {columns}");
        }
    }
}
