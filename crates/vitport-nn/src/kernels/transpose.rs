//! Transposes rows, as packing needs it for weights, which lie [outputs, inputs]. Values next to each other in memory are far
//! apart afterwards, so sixteen rows, a cache line of columns, are transposed at a time, in squares that fit into the registers
//! of AVX2 or AVX-512.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

/// Says how many rows are transposed at a time.
pub(super) const ROWS: usize = 16;

/// Holds rows of as many values.
type Square<const SIDE: usize> = [[f32; SIDE]; SIDE];

/// Makes rows of equal length the columns of `out`: value `term` of row `column` becomes value `term * width + column`.
/// Further columns of `out` are left as they are.
///
/// Returns `None` if the rows are not equally long, or `out` does not hold as many columns of `width` values.
pub(super) fn transpose(rows: [&[f32]; ROWS], width: usize, out: &mut [f32]) -> Option<()> {
    let length = rows.first()?.len();
    let Some(last) = length.checked_sub(1) else { return Some(()) };
    let needed = last.checked_mul(width)?.checked_add(ROWS)?;
    if width < ROWS || needed > out.len() || rows.iter().any(|row| row.len() != length) {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                by_squares(
                    rows,
                    width,
                    out,
                    #[inline(always)]
                    |square| sixteen_by_avx512(simd, square),
                )
            },
        );
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                by_squares(
                    rows,
                    width,
                    out,
                    #[inline(always)]
                    |square| eight_by_avx(simd, square),
                )
            },
        );
    }
    by_squares(rows, width, out, one_by_one::<8>)
}

#[inline(always)]
fn by_squares<const SIDE: usize>(
    rows: [&[f32]; ROWS],
    width: usize,
    out: &mut [f32],
    transposed: impl Fn(Square<SIDE>) -> Square<SIDE>,
) -> Option<()> {
    let length = rows.first()?.len();
    let chunks = rows.map(|row| row.as_chunks::<SIDE>().0);
    for (number, out) in (0..length / SIDE).zip(out.chunks_mut(SIDE * width)) {
        for (first, chunks) in (0..ROWS).step_by(SIDE).zip(chunks.as_chunks::<SIDE>().0) {
            let mut square = [[0.0; SIDE]; SIDE];
            for (row, chunks) in square.iter_mut().zip(chunks) {
                *row = *chunks.get(number)?;
            }
            for (row, out) in transposed(square).into_iter().zip(out.chunks_mut(width)) {
                *out.get_mut(first..)?.first_chunk_mut::<SIDE>()? = row;
            }
        }
    }
    let whole = length - length % SIDE;
    for (term, out) in (whole..length).zip(out.chunks_mut(width).skip(whole)) {
        for (slot, row) in out.iter_mut().zip(rows) {
            *slot = *row.get(term)?;
        }
    }
    Some(())
}

#[inline(always)]
fn one_by_one<const SIDE: usize>(square: Square<SIDE>) -> Square<SIDE> {
    let mut out = square;
    for (column, row) in square.iter().enumerate() {
        for (slots, value) in out.iter_mut().zip(row) {
            if let Some(slot) = slots.get_mut(column) {
                *slot = *value;
            }
        }
    }
    out
}

/// Transposes in four rounds of exchanging halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn sixteen_by_avx512(
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

/// Returns the first quarters of four registers, the second ones, and so on.
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

/// Transposes a square of four in each quarter of four registers.
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

/// Transposes in three rounds of exchanging halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn eight_by_avx(simd: pulp::x86::V3, [a, b, c, d, e, f, g, h]: Square<8>) -> Square<8> {
    let [a, b, c, d] = quads_by_avx(simd, [a, b, c, d]);
    let [e, f, g, h] = quads_by_avx(simd, [e, f, g, h]);
    let ((a, e), (b, f)) = (halves_by_avx(simd, a, e), halves_by_avx(simd, b, f));
    let ((c, g), (d, h)) = (halves_by_avx(simd, c, g), halves_by_avx(simd, d, h));
    [a, b, c, d, e, f, g, h]
}

/// Transposes a square of four in each half of four registers.
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

/// Returns both lower halves, and both upper halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn halves_by_avx(simd: pulp::x86::V3, x: __m256, y: __m256) -> ([f32; 8], [f32; 8]) {
    let low = simd.avx._mm256_permute2f128_ps::<0x20>(x, y);
    let high = simd.avx._mm256_permute2f128_ps::<0x31>(x, y);
    (pulp::cast(low), pulp::cast(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        for (length, width) in [(0, 16), (1, 16), (7, 20), (15, 16), (16, 16), (17, 16), (31, 40), (85, 768)]
        {
            let rows: Vec<Vec<f32>> =
                (0..ROWS).map(|row| (0..length).map(|term| (row * 1000 + term) as f32).collect()).collect();
            let mut out = vec![-1.0; length * width];
            transpose(std::array::from_fn(|row| &rows[row][..]), width, &mut out).unwrap();
            for (place, found) in out.iter().enumerate() {
                let (term, column) = (place / width, place % width);
                let expected = if column < ROWS { (column * 1000 + term) as f32 } else { -1.0 };
                assert_eq!(*found, expected, "{length} values, columns of {width}: {term}, {column}");
            }
        }
    }

    #[test]
    fn squares_are_transposed_alike_with_and_without_avx() {
        fn check<const SIDE: usize>(transposed: impl Fn(Square<SIDE>) -> Square<SIDE>) {
            let square =
                std::array::from_fn(|row| std::array::from_fn(|column| (row * SIDE + column) as f32));
            let expected =
                std::array::from_fn(|row| std::array::from_fn(|column| (column * SIDE + row) as f32));
            assert_eq!(transposed(square), expected);
        }
        check::<8>(one_by_one);
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(simd) = pulp::x86::V3::try_new() {
                check(|square| eight_by_avx(simd, square));
            }
            if let Some(simd) = pulp::x86::V4::try_new() {
                check(|square| sixteen_by_avx512(simd, square));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_left_alone() {
        let (long, short) = ([1.0; 20], [1.0; 19]);
        let mut rows = [&long[..]; ROWS];
        assert_eq!(transpose(rows, 16, &mut [0.0; 19 * 16 + 15]), None);
        assert_eq!(transpose(rows, 15, &mut [0.0; 1000]), None);
        assert_eq!(transpose(rows, usize::MAX / 2, &mut [0.0; 1000]), None);
        assert_eq!(transpose(rows, 16, &mut [0.0; 19 * 16 + 16]), Some(()));
        rows[3] = &short;
        let mut out = [0.0; 1000];
        assert_eq!(transpose(rows, 16, &mut out), None);
        assert_eq!(out, [0.0; 1000]);
    }
}
