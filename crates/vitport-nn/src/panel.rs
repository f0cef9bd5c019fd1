//! Packing: the right operand of a product is copied, some columns at a time, into a panel in the
//! order in which the kernel reads it, term after term (Goto and van de Geijn 2008, "Anatomy of
//! high-performance matrix multiplication", ACM TOMS 34). The rows of a weight are what the product
//! sees as columns, so they are transposed on the way.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
use std::ops::Range;

use super::view::View;

/// Bytes of a cache line, on which panels begin.
const LINE: usize = 64;

/// Memory for panels that is used again and again.
#[derive(Debug, Default)]
pub(super) struct PanelRoom {
    values: Vec<f32>,
}

impl PanelRoom {
    /// `terms` × `width` values on whole cache lines; what they hold is left over from before.
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
    let whole = count - count % GROUP;
    let group = |first: usize, panel: &mut [f32]| {
        let mut rows = [&[][..]; GROUP];
        for (offset, row) in rows.iter_mut().enumerate() {
            *row = right.part(columns.start + first + offset, terms.start, terms.len())?;
        }
        transpose_group(rows, first, width, panel)
    };
    for first in (0..whole).step_by(GROUP) {
        group(first, panel)?;
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

/// One row into column `place` of a panel.
fn transpose_one(row: &[f32], place: usize, width: usize, panel: &mut [f32]) {
    for (slot, value) in panel.iter_mut().skip(place).step_by(width.max(1)).zip(row) {
        *slot = *value;
    }
}

/// Rows that are transposed side by side, so that a panel's cache lines are filled at once.
const GROUP: usize = 16;

/// Values that are transposed in registers: [`GROUP`] rows in AVX-512's, half as many in AVX's.
type Square<const SIDE: usize> = [[f32; SIDE]; SIDE];

/// Rows of equal length into the columns from `place` on of a panel.
fn transpose_group(rows: [&[f32]; GROUP], place: usize, width: usize, panel: &mut [f32]) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                transpose_squares(
                    rows,
                    place,
                    width,
                    panel,
                    #[inline(always)]
                    |square| transposed_by_avx512(simd, square),
                )
            },
        );
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                transpose_squares(
                    rows,
                    place,
                    width,
                    panel,
                    #[inline(always)]
                    |square| transposed_by_avx(simd, square),
                )
            },
        );
    }
    transpose_squares(rows, place, width, panel, transposed::<8>)
}

#[inline(always)]
fn transpose_squares<const SIDE: usize>(
    rows: [&[f32]; GROUP],
    place: usize,
    width: usize,
    panel: &mut [f32],
    transposed: impl Fn(Square<SIDE>) -> Square<SIDE>,
) -> Option<()> {
    let lines = rows.first()?.len() / GROUP;
    let mut cut = [&[][..]; GROUP];
    for (cut, row) in cut.iter_mut().zip(rows) {
        *cut = row.as_chunks::<GROUP>().0.get(..lines)?;
    }
    let (whole, rest) = panel.split_at_mut_checked(lines * GROUP * width)?;
    for (number, slots) in whole.chunks_exact_mut((GROUP * width).max(1)).enumerate() {
        for (half, rows) in cut.as_chunks::<SIDE>().0.iter().enumerate() {
            let first = place + half * SIDE;
            for (part, slots) in slots.chunks_exact_mut(SIDE * width).enumerate() {
                let mut square = [[0.0; SIDE]; SIDE];
                for (line, row) in square.iter_mut().zip(rows) {
                    *line = *row.get(number)?.as_chunks::<SIDE>().0.get(part)?;
                }
                for (slots, line) in slots.chunks_exact_mut(width).zip(transposed(square)) {
                    slots.get_mut(first..)?.first_chunk_mut::<SIDE>()?.copy_from_slice(&line);
                }
            }
        }
    }
    for (offset, row) in rows.iter().enumerate() {
        transpose_one(row.get(lines * GROUP..)?, place + offset, width, rest);
    }
    Some(())
}

/// The plain way, for machines without AVX.
#[inline(always)]
fn transposed<const SIDE: usize>(square: Square<SIDE>) -> Square<SIDE> {
    let mut out = [[0.0; SIDE]; SIDE];
    for (column, line) in square.iter().enumerate() {
        for (slots, value) in out.iter_mut().zip(line) {
            if let Some(slot) = slots.get_mut(column) {
                *slot = *value;
            }
        }
    }
    out
}

/// Four rounds of exchanging halves: of pairs of numbers, of pairs of pairs, of half registers, of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transposed_by_avx512(
    simd: pulp::x86::V4,
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: Square<16>,
) -> Square<16> {
    let [a, b, c, d] = quads_by_avx512(simd, [a, b, c, d]);
    let [e, f, g, h] = quads_by_avx512(simd, [e, f, g, h]);
    let [i, j, k, l] = quads_by_avx512(simd, [i, j, k, l]);
    let [m, n, o, p] = quads_by_avx512(simd, [m, n, o, p]);
    let [a, e, i, m] = quarters_by_avx512(simd, [a, e, i, m]);
    let [b, f, j, n] = quarters_by_avx512(simd, [b, f, j, n]);
    let [c, g, k, o] = quarters_by_avx512(simd, [c, g, k, o]);
    let [d, h, l, p] = quarters_by_avx512(simd, [d, h, l, p]);
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].map(pulp::cast)
}

/// The first quarters of four registers, the second ones, and so on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quarters_by_avx512(simd: pulp::x86::V4, [a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let avx = simd.avx512f;
    let (ab_even, ab_odd) =
        (avx._mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), avx._mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
    let (cd_even, cd_odd) =
        (avx._mm512_shuffle_f32x4::<0b10_00_10_00>(c, d), avx._mm512_shuffle_f32x4::<0b11_01_11_01>(c, d));
    [
        avx._mm512_shuffle_f32x4::<0b10_00_10_00>(ab_even, cd_even),
        avx._mm512_shuffle_f32x4::<0b10_00_10_00>(ab_odd, cd_odd),
        avx._mm512_shuffle_f32x4::<0b11_01_11_01>(ab_even, cd_even),
        avx._mm512_shuffle_f32x4::<0b11_01_11_01>(ab_odd, cd_odd),
    ]
}

/// In each quarter of four registers the transposed square of four.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quads_by_avx512(simd: pulp::x86::V4, [a, b, c, d]: [[f32; 16]; 4]) -> [__m512; 4] {
    let (avx, a, b, c, d) = (simd.avx512f, pulp::cast(a), pulp::cast(b), pulp::cast(c), pulp::cast(d));
    let (ab, ab_high) = (avx._mm512_unpacklo_ps(a, b), avx._mm512_unpackhi_ps(a, b));
    let (cd, cd_high) = (avx._mm512_unpacklo_ps(c, d), avx._mm512_unpackhi_ps(c, d));
    [
        avx._mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
        avx._mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
        avx._mm512_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        avx._mm512_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
}

/// Three rounds of exchanging halves: of pairs of numbers, of pairs of pairs, of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn transposed_by_avx(simd: pulp::x86::V3, [a, b, c, d, e, f, g, h]: Square<8>) -> Square<8> {
    let [a, b, c, d] = quads_by_avx(simd, [a, b, c, d]);
    let [e, f, g, h] = quads_by_avx(simd, [e, f, g, h]);
    let ((a, e), (b, f)) = (halves_by_avx(simd, a, e), halves_by_avx(simd, b, f));
    let ((c, g), (d, h)) = (halves_by_avx(simd, c, g), halves_by_avx(simd, d, h));
    [a, b, c, d, e, f, g, h]
}

/// Both lower halves, and both upper halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn halves_by_avx(simd: pulp::x86::V3, x: __m256, y: __m256) -> ([f32; 8], [f32; 8]) {
    let low = simd.avx._mm256_permute2f128_ps::<0x20>(x, y);
    let high = simd.avx._mm256_permute2f128_ps::<0x31>(x, y);
    (pulp::cast(low), pulp::cast(high))
}

/// In each half of four registers the transposed square of four.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quads_by_avx(simd: pulp::x86::V3, [a, b, c, d]: [[f32; 8]; 4]) -> [__m256; 4] {
    let (avx, a, b, c, d) = (simd.avx, pulp::cast(a), pulp::cast(b), pulp::cast(c), pulp::cast(d));
    let (ab, ab_high) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpackhi_ps(a, b));
    let (cd, cd_high) = (avx._mm256_unpacklo_ps(c, d), avx._mm256_unpackhi_ps(c, d));
    [
        avx._mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
        avx._mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
        avx._mm256_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        avx._mm256_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
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

    /// A square of different numbers, and what it is transposed.
    fn squares<const SIDE: usize>() -> (Square<SIDE>, Square<SIDE>) {
        let mut square = [[0.0; SIDE]; SIDE];
        square.as_flattened_mut().copy_from_slice(&ramp(SIDE * SIDE));
        let plain = transposed(square);
        for (row, line) in plain.iter().enumerate() {
            for (column, value) in line.iter().enumerate() {
                assert_eq!(*value, square[column][row]);
            }
        }
        (square, plain)
    }

    #[test]
    fn squares_are_transposed_alike_with_and_without_avx() {
        let (square, plain) = squares::<8>();
        let (large, large_plain) = squares::<16>();
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                assert_eq!(simd.vectorize(|| transposed_by_avx(simd, square)), plain);
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                assert_eq!(simd.vectorize(|| transposed_by_avx512(simd, large)), large_plain);
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (square, plain, large, large_plain);
    }

    #[test]
    fn panels_begin_on_a_cache_line() {
        let mut room = PanelRoom::default();
        for (terms, width) in [(3, 5), (100, 64), (1, 1)] {
            let panel = room.take(terms, width);
            assert_eq!((panel.len(), panel.as_ptr().align_offset(LINE)), (terms * width, 0));
        }
    }
}
