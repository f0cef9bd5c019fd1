//! Squares of elements whose rows become columns, in registers where the processor has AVX2 or AVX-512.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m128i, __m256, __m512};

use bytemuck::Pod;

/// Rows of as many elements.
pub(crate) type Square<T, const SIDE: usize> = [[T; SIDE]; SIDE];

/// Work that turns squares.
pub trait Turned<T> {
    /// Does it with a function that turns a square of eight or sixteen rows.
    fn with<const SIDE: usize>(self, turned: impl Fn(Square<T, SIDE>) -> Square<T, SIDE>) -> Option<()>;
}

/// An element, with the fastest way to turn squares of it.
pub trait Turn: Copy {
    /// Does the work in that way.
    fn turn(work: impl Turned<Self>) -> Option<()> {
        work.with(plainly::<Self, 8>)
    }
}

impl Turn for [u8; 1] {}

impl Turn for [u8; 8] {}

impl Turn for [u8; 2] {
    #[cfg(target_arch = "x86_64")]
    fn turn(work: impl Turned<Self>) -> Option<()> {
        match pulp::x86::V3::try_new() {
            Some(simd) => simd.vectorize(
                #[inline(always)]
                || {
                    work.with(
                        #[inline(always)]
                        |square| pairs_by_avx(simd, square),
                    )
                },
            ),
            None => work.with(plainly::<Self, 8>),
        }
    }
}

impl Turn for [u8; 4] {
    fn turn(work: impl Turned<Self>) -> Option<()> {
        fours(work)
    }
}

impl Turn for f32 {
    fn turn(work: impl Turned<Self>) -> Option<()> {
        fours(work)
    }
}

/// Work on elements of four bytes.
fn fours<T: Pod>(work: impl Turned<T>) -> Option<()> {
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V4::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                work.with(
                    #[inline(always)]
                    |square| fours_by_avx512(simd, square),
                )
            },
        );
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return simd.vectorize(
            #[inline(always)]
            || {
                work.with(
                    #[inline(always)]
                    |square| fours_by_avx(simd, square),
                )
            },
        );
    }
    work.with(plainly::<T, 8>)
}

/// One element after the other.
#[inline(always)]
fn plainly<T: Copy, const SIDE: usize>(square: Square<T, SIDE>) -> Square<T, SIDE> {
    let mut out = square;
    for (column, line) in square.iter().enumerate() {
        for (slots, value) in out.iter_mut().zip(line) {
            if let Some(slot) = slots.get_mut(column) {
                *slot = *value;
            }
        }
    }
    out
}

/// Elements of four bytes in AVX-512's registers: four rounds of exchanging halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fours_by_avx512<T: Pod>(
    simd: pulp::x86::V4,
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: Square<T, 16>,
) -> Square<T, 16> {
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

/// In each quarter of four registers the turned square of four.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quads_by_avx512<T: Pod>(simd: pulp::x86::V4, [a, b, c, d]: [[T; 16]; 4]) -> [__m512; 4] {
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

/// Elements of four bytes: three rounds of exchanging halves, of pairs of elements, of pairs of pairs, of registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fours_by_avx<T: Pod>(simd: pulp::x86::V3, [a, b, c, d, e, f, g, h]: Square<T, 8>) -> Square<T, 8> {
    let [a, b, c, d] = quads(simd, [a, b, c, d]);
    let [e, f, g, h] = quads(simd, [e, f, g, h]);
    let ((a, e), (b, f)) = (halves(simd, a, e), halves(simd, b, f));
    let ((c, g), (d, h)) = (halves(simd, c, g), halves(simd, d, h));
    [a, b, c, d, e, f, g, h]
}

/// In each half of four registers the turned square of four.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn quads<T: Pod>(simd: pulp::x86::V3, [a, b, c, d]: [[T; 8]; 4]) -> [__m256; 4] {
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

/// Both lower halves, and both upper halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn halves<T: Pod>(simd: pulp::x86::V3, x: __m256, y: __m256) -> ([T; 8], [T; 8]) {
    let low = simd.avx._mm256_permute2f128_ps::<0x20>(x, y);
    let high = simd.avx._mm256_permute2f128_ps::<0x31>(x, y);
    (pulp::cast(low), pulp::cast(high))
}

/// Elements of two bytes, of which a register of 16 bytes holds a row: rounds of single elements, of pairs, of fours.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn pairs_by_avx(simd: pulp::x86::V3, [a, b, c, d, e, f, g, h]: Square<[u8; 2], 8>) -> Square<[u8; 2], 8> {
    let (upper, lower) = (fours_of_pairs(simd, [a, b, c, d]), fours_of_pairs(simd, [e, f, g, h]));
    let mut turned = [[[0; 2]; 8]; 8];
    for ((rows, x), y) in turned.as_chunks_mut::<2>().0.iter_mut().zip(upper).zip(lower) {
        let (even, odd) = (simd.sse2._mm_unpacklo_epi64(x, y), simd.sse2._mm_unpackhi_epi64(x, y));
        *rows = [pulp::cast(even), pulp::cast(odd)];
    }
    turned
}

/// The columns of four rows, two a register.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn fours_of_pairs(simd: pulp::x86::V3, [a, b, c, d]: [[[u8; 2]; 8]; 4]) -> [__m128i; 4] {
    let (sse, a, b, c, d) = (simd.sse2, pulp::cast(a), pulp::cast(b), pulp::cast(c), pulp::cast(d));
    let (ab, ab_high) = (sse._mm_unpacklo_epi16(a, b), sse._mm_unpackhi_epi16(a, b));
    let (cd, cd_high) = (sse._mm_unpacklo_epi16(c, d), sse._mm_unpackhi_epi16(c, d));
    [
        sse._mm_unpacklo_epi32(ab, cd),
        sse._mm_unpackhi_epi32(ab, cd),
        sse._mm_unpacklo_epi32(ab_high, cd_high),
        sse._mm_unpackhi_epi32(ab_high, cd_high),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_alike_with_and_without_avx() {
        fn check<const SIZE: usize, const SIDE: usize>(
            turned: impl Fn(Square<[u8; SIZE], SIDE>) -> Square<[u8; SIZE], SIDE>,
        ) {
            let mut square = [[[0; SIZE]; SIDE]; SIDE];
            for (number, element) in square.as_flattened_mut().iter_mut().enumerate() {
                element.copy_from_slice(&(number as u64).to_le_bytes()[..SIZE]);
            }
            for (row, line) in turned(square).iter().enumerate() {
                for (column, value) in line.iter().enumerate() {
                    assert_eq!(*value, square[column][row], "{SIZE}: {row}, {column}");
                }
            }
        }
        check::<2, 8>(plainly);
        check::<4, 8>(plainly);
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V3::try_new() {
            check::<2, 8>(|square| simd.vectorize(|| pairs_by_avx(simd, square)));
            check::<4, 8>(|square| simd.vectorize(|| fours_by_avx(simd, square)));
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = pulp::x86::V4::try_new() {
            check::<4, 16>(|square| simd.vectorize(|| fours_by_avx512(simd, square)));
        }
    }
}
