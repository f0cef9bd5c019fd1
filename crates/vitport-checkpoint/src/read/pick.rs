//! Picking the elements of a box out of bytes in which they lie with strides.

use vitport_turn::{Element, LINES, turn};

use crate::error::{Fault, Reason, refuse};

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
    [u8; SIZE]: Element,
{
    pick_box(steps, bytes.as_chunks::<SIZE>().0, low, out.as_chunks_mut::<SIZE>().0, place)
}

/// `None` when the bytes end too early.
fn pick_box<T: Element>(steps: &[Step], from: &[T], low: usize, out: &mut [T], place: usize) -> Option<()> {
    const ONE: Step = Step { size: 1, from: 0, to: 1 };
    match steps {
        [] => pick_plane(ONE, ONE, from.get(low..)?, out.get_mut(place..)?),
        [columns] => pick_plane(ONE, *columns, from.get(low..)?, out.get_mut(place..)?),
        [rows, columns] => pick_plane(*rows, *columns, from.get(low..)?, out.get_mut(place..)?),
        [outer, inner @ ..] => (0..outer.size).try_for_each(|index| {
            let low = low.saturating_add(index.saturating_mul(outer.from));
            pick_box(inner, from, low, out, place.saturating_add(index.saturating_mul(outer.to)))
        }),
    }
}

/// Rows and columns, from the first element on; the columns lie side by side in `out`.
fn pick_plane<T: Element>(rows: Step, columns: Step, from: &[T], out: &mut [T]) -> Option<()> {
    if columns.from == 1 {
        for row in 0..rows.size {
            let run = from.get(row.saturating_mul(rows.from)..)?.get(..columns.size)?;
            out.get_mut(row.saturating_mul(rows.to)..)?.get_mut(..columns.size)?.copy_from_slice(run);
        }
        return Some(());
    }
    let is_turned = rows.from == 1 && columns.size >= LINES;
    for column in (0..columns.size).step_by(LINES) {
        if is_turned {
            // The last lines may be among those before once more.
            let column = column.min(columns.size - LINES);
            let mut lines = [&[][..]; LINES];
            for (line, column) in lines.iter_mut().zip(column..) {
                *line = from.get(column.saturating_mul(columns.from)..)?.get(..rows.size)?;
            }
            turn(lines, rows.to, out.get_mut(column..)?)?;
            continue;
        }
        let count = LINES.min(columns.size - column);
        for row in 0..rows.size {
            let mut at = row.saturating_mul(rows.from).saturating_add(column.saturating_mul(columns.from));
            let to = row.saturating_mul(rows.to).saturating_add(column);
            for slot in out.get_mut(to..)?.get_mut(..count)? {
                *slot = *from.get(at)?;
                at = at.saturating_add(columns.from);
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
