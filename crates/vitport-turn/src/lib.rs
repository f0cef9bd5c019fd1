//! Lines of elements that become columns: what is left to do of a transposed matrix. Weights lie [outputs, inputs] and a product
//! wants them the other way round; a checkpoint may hold them transposed.
//!
//! Elements that lie side by side in memory are far apart afterwards, so taking them one by one costs a cache line for each.
//! Here sixteen lines are turned at a time, in squares that fit into registers, and every cache line is taken and left
//! whole.

mod squares;

use squares::{Square, Turned};

/// How many lines are turned at a time: as many elements of four bytes as fill a cache line.
pub const LINES: usize = 16;

/// What can be turned: elements of one, two, four and eight bytes, and float32.
pub trait Element: squares::Turn {}

impl<T: squares::Turn> Element for T {}

/// Makes lines of equal length the columns of `out`: element `row` of line `column` becomes element `row * width + column`.
/// What lies beside them in rows of more than [`LINES`] elements is left as it is.
///
/// `None` if the lines are not equally long, the rows too short, or too few; then `out` is left as it is.
#[must_use]
pub fn turn<T: Element>(lines: [&[T]; LINES], width: usize, out: &mut [T]) -> Option<()> {
    let length = lines.first()?.len();
    let Some(last) = length.checked_sub(1) else { return Some(()) };
    let needed = last.checked_mul(width)?.checked_add(LINES)?;
    if width < LINES || needed > out.len() || lines.iter().any(|line| line.len() != length) {
        return None;
    }
    T::turn(Lines { lines, width, out })
}

struct Lines<'a, 'b, T> {
    lines: [&'a [T]; LINES],
    width: usize,
    out: &'b mut [T],
}

impl<T: Copy> Turned<T> for Lines<'_, '_, T> {
    #[inline(always)]
    fn with<const SIDE: usize>(self, turned: impl Fn(Square<T, SIDE>) -> Square<T, SIDE>) -> Option<()> {
        let Self { lines, width, out } = self;
        let length = lines.first()?.len();
        if length < LINES {
            for (row, out) in (0..length).zip(out.chunks_mut(width)) {
                for (slot, line) in out.iter_mut().zip(lines) {
                    *slot = *line.get(row)?;
                }
            }
            return Some(());
        }
        let pieces = lines.map(|line| line.as_chunks::<LINES>().0);
        let mut rows = 0;
        for (number, out) in (0..length / LINES).zip(out.chunks_exact_mut(LINES * width)) {
            for (first, pieces) in (0..LINES).step_by(SIDE).zip(pieces.as_chunks::<SIDE>().0) {
                for (part, out) in (0..LINES / SIDE).zip(out.chunks_exact_mut(SIDE * width)) {
                    let mut square = [*pieces.first()?.first()?.first_chunk::<SIDE>()?; SIDE];
                    for (row, pieces) in square.iter_mut().zip(pieces) {
                        *row = *pieces.get(number)?.as_chunks::<SIDE>().0.get(part)?;
                    }
                    put(turned(square), first, out.chunks_exact_mut(width))?;
                }
            }
            rows += LINES;
        }
        if rows == length {
            return Some(());
        }
        // The last elements, some of them once more; the last row may end behind them.
        let out = out.get_mut((length - LINES) * width..)?;
        for (first, lines) in (0..LINES).step_by(SIDE).zip(lines.as_chunks::<SIDE>().0) {
            for (part, out) in (0..LINES / SIDE).zip(out.chunks_mut(SIDE * width)) {
                let mut square = [*lines.first()?.first_chunk::<SIDE>()?; SIDE];
                for (row, line) in square.iter_mut().zip(lines) {
                    *row = *line.last_chunk::<LINES>()?.as_chunks::<SIDE>().0.get(part)?;
                }
                put(turned(square), first, out.chunks_mut(width))?;
            }
        }
        Some(())
    }
}

/// Puts the rows of a square into rows of the output, from column `first` on.
#[inline(always)]
fn put<'a, T: Copy + 'a, const SIDE: usize>(
    square: Square<T, SIDE>,
    first: usize,
    rows: impl Iterator<Item = &'a mut [T]>,
) -> Option<()> {
    for (out, row) in rows.zip(square) {
        *out.get_mut(first..)?.first_chunk_mut::<SIDE>()? = row;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns lines of `element(line, row)`, and looks at all that is in `out`.
    fn check<T: Element + PartialEq + std::fmt::Debug>(element: impl Fn(usize, usize) -> T) {
        for (length, width) in [(0, 16), (1, 16), (7, 20), (15, 16), (16, 16), (17, 16), (31, 40), (85, 768)]
        {
            let lines: Vec<Vec<T>> =
                (0..LINES).map(|line| (0..length).map(|row| element(line, row)).collect()).collect();
            let mut out = vec![element(99, 99); length * width];
            turn(std::array::from_fn(|line| &lines[line][..]), width, &mut out).unwrap();
            for (place, found) in out.iter().enumerate() {
                let (row, column) = (place / width, place % width);
                let expected = if column < LINES { element(column, row) } else { element(99, 99) };
                assert_eq!(*found, expected, "{length} elements, rows of {width}: {row}, {column}");
            }
        }
    }

    #[test]
    fn lines_become_columns() {
        check(|line, row| [(line * 16 + row) as u8]);
        check(|line, row| ((line << 8 | row) as u16).to_le_bytes());
        check(|line, row| ((line << 16 | row) as u32).to_le_bytes());
        check(|line, row| ((line << 32 | row) as u64).to_le_bytes());
        check(|line, row| (line * 1000 + row) as f32);
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let (long, short) = ([1.0; 20], [1.0; 19]);
        let mut lines = [&long[..]; LINES];
        assert_eq!(turn(lines, 16, &mut [0.0; 19 * 16 + 15]), None);
        assert_eq!(turn(lines, 15, &mut [0.0; 1000]), None);
        assert_eq!(turn(lines, usize::MAX / 2, &mut [0.0; 1000]), None);
        assert_eq!(turn(lines, 16, &mut [0.0; 19 * 16 + 16]), Some(()));
        lines[3] = &short;
        let mut out = [0.0; 1000];
        assert_eq!(turn(lines, 16, &mut out), None);
        assert_eq!(out, [0.0; 1000]);
    }
}
