//! Picking the elements of a box out of bytes in which they lie with strides.

use super::turn::{Square, Turn, Turned};
use crate::error::{Fault, Reason, refuse};

/// Rows and columns of a tile. Columns are picked so many at a time: one cache line of each is at hand while all rows go by.
const TILE: usize = 16;

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
    fn with<const SIDE: usize>(self, turned: impl Fn(Square<T, SIDE>) -> Square<T, SIDE>) -> Option<()> {
        let Self { rows, columns, from, low, out, place } = self;
        let source = |column: usize| low.saturating_add(column.saturating_mul(columns.from));
        let target = |row: usize| place.saturating_add(row.saturating_mul(rows.to));
        if columns.from == 1 {
            for row in 0..rows.size {
                let begin = low.saturating_add(row.saturating_mul(rows.from));
                let run = from.get(begin..)?.get(..columns.size)?;
                out.get_mut(target(row)..)?.get_mut(..columns.size)?.copy_from_slice(run);
            }
            return Some(());
        }
        let is_tiled = rows.from == 1 && rows.size >= TILE && columns.size.min(rows.to) >= TILE;
        for column in (0..columns.size).step_by(TILE) {
            if is_tiled {
                // The last tile overlaps the one before.
                let column = column.min(columns.size - TILE);
                let mut lines = [&[][..]; TILE];
                for (line, column) in lines.iter_mut().zip(column..) {
                    *line = from.get(source(column)..)?.get(..rows.size)?;
                }
                turn_lines(lines, rows.to, out.get_mut(place.saturating_add(column)..)?, &turned)?;
                continue;
            }
            let count = TILE.min(columns.size - column);
            for row in 0..rows.size {
                let mut at = source(column).saturating_add(row.saturating_mul(rows.from));
                for slot in out.get_mut(target(row).saturating_add(column)..)?.get_mut(..count)? {
                    *slot = *from.get(at)?;
                    at = at.saturating_add(columns.from);
                }
            }
        }
        Some(())
    }
}

/// Lines of equal length, of at least one tile, that become the columns of `out`, whose rows lie `width` elements apart.
#[inline(always)]
fn turn_lines<T: Copy, const SIDE: usize>(
    lines: [&[T]; TILE],
    width: usize,
    out: &mut [T],
    turned: &impl Fn(Square<T, SIDE>) -> Square<T, SIDE>,
) -> Option<()> {
    let length = lines.first()?.len();
    let pieces = lines.map(|line| line.as_chunks::<TILE>().0);
    let [mut tile, mut last] = [[lines.first()?.first_chunk::<TILE>()?; TILE]; 2];
    for (number, out) in (0..length / TILE).zip(out.chunks_mut(TILE.saturating_mul(width))) {
        for (piece, pieces) in tile.iter_mut().zip(&pieces) {
            *piece = pieces.get(number)?;
        }
        turn_tile(tile, width, out, turned)?;
    }
    if !length.is_multiple_of(TILE) {
        for (piece, line) in last.iter_mut().zip(lines) {
            *piece = line.last_chunk()?;
        }
        let begin = (length - TILE).saturating_mul(width);
        turn_tile(last, width, out.get_mut(begin..)?, turned)?;
    }
    Some(())
}

/// Pieces of lines that become columns, one square of them after the other.
#[inline(always)]
fn turn_tile<T: Copy, const SIDE: usize>(
    lines: [&[T; TILE]; TILE],
    width: usize,
    out: &mut [T],
    turned: &impl Fn(Square<T, SIDE>) -> Square<T, SIDE>,
) -> Option<()> {
    for (number, lines) in lines.as_chunks::<SIDE>().0.iter().enumerate() {
        for (part, out) in (0..TILE / SIDE).zip(out.chunks_mut(SIDE.saturating_mul(width))) {
            let mut square = [*lines.first()?.first_chunk::<SIDE>()?; SIDE];
            for (row, line) in square.iter_mut().zip(lines) {
                *row = *line.as_chunks::<SIDE>().0.get(part)?;
            }
            for (out, row) in out.chunks_mut(width).zip(turned(square)) {
                *out.get_mut(number * SIDE..)?.first_chunk_mut::<SIDE>()? = row;
            }
        }
    }
    Some(())
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
        // With and without tiles, and with rows and columns left over beside them.
        let planes = [
            (8, 16, 1, 8),
            (16, 16, 1, 16),
            (33, 16, 1, 33),
            (21, 37, 1, 21),
            (21, 37, 1, 50),
            (9, 40, 3, 30),
            (5, 3, 7, 1),
            (40, 16, 2, 100),
        ];
        for ((rows, columns, row_stride, column_stride), size) in
            planes.into_iter().flat_map(|plane| [1, 2, 4, 8].map(|size| (plane, size)))
        {
            let axes =
                [Axis { size: rows, stride: row_stride }, Axis { size: columns, stride: column_stride }];
            let element = |number: usize| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
            let from: Vec<u8> =
                (0..10_000).flat_map(|number| element(number).into_iter().take(size)).collect();
            let mut out = vec![0; (rows * columns + 1) * size];
            pick(&steps(&axes), size, &from, 3, &mut out, 1).unwrap();
            let truth =
                (0..rows).flat_map(|r| (0..columns).map(move |c| 3 + r * row_stride + c * column_stride));
            for (found, number) in out.chunks_exact(size).skip(1).zip(truth) {
                assert_eq!(*found, element(number)[..size], "{rows} × {columns} of {size} bytes: {number}");
            }
        }
    }
}
