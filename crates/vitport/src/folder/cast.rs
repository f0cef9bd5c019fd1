//! Converts floating-point elements from one dtype to another: widened to float32 or float64, multiplied by a factor for
//! all or for a row where there is one, and rounded once from there, to nearest with ties to even, to what is written.
//!
//! float32 holds every value of the narrower dtypes exactly, so only float64 sources and products need float64. Bytes
//! are little-endian, as checkpoints and safetensors have them. Each step is a loop over so few elements that what it leaves
//! for the next stays in the core's first cache, and all loops are compiled for the processor's widest vectors.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use pulp::{Simd, WithSimd};
use smallvec::SmallVec;
use vitport_checkpoint::Dtype;

/// Gives the elements that one loop goes over before the next does: 22 KiB in all.
const AT_A_TIME: usize = 1024;

/// Holds a finite value that the target dtype cannot hold.
#[derive(Debug, PartialEq)]
pub(super) struct Overflow(pub f64);

/// Holds the factors of whole rows of a tensor.
#[derive(Clone, Copy)]
pub(super) struct RowFactors<'a> {
    /// Holds one factor for each row.
    pub factors: &'a [f64],
    /// Counts the elements in a row.
    pub columns: usize,
}

/// Says what becomes of elements on the way.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    /// Multiplies every element by one factor.
    All(f64),
    /// Multiplies rows.
    Rows(RowFactors<'a>),
    /// Adds one addend to each column.
    Columns(&'a [f64]),
}

/// Holds the buffers between the loops.
pub(super) struct CastBuffers {
    singles: Vec<f32>,
    doubles: Vec<f64>,
    halves: Vec<u16>,
}

impl CastBuffers {
    pub(super) fn new() -> Self {
        Self { singles: vec![0.0; AT_A_TIME], doubles: vec![0.0; AT_A_TIME], halves: vec![0; AT_A_TIME] }
    }
}

/// Describes elements to be cast.
pub(super) struct Cast<'a> {
    /// Says what they are.
    pub from: Dtype,
    /// Says what they become, one of the dtypes of 16 bits or more.
    pub to: Dtype,
    /// Says what they are multiplied by or added to, if it is anything.
    pub change: Option<Change<'a>>,
    /// Gives the number of the first of them in its tensor.
    pub first: usize,
    /// Holds the source's bytes.
    pub stored: &'a [u8],
    /// Takes the bytes that they become.
    pub out: &'a mut [u8],
    pub buffers: &'a mut CastBuffers,
}

impl Cast<'_> {
    /// Fills `out`.
    pub(super) fn run(self) -> Result<(), Overflow> {
        pulp::Arch::new().dispatch(self)
    }
}

impl WithSimd for Cast<'_> {
    type Output = Result<(), Overflow>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Result<(), Overflow> {
        let Self { from, to, change, mut first, stored, out, buffers } = self;
        let (stored_size, size) = (bytes_of(from), bytes_of(to));
        for (stored, out) in stored.chunks(AT_A_TIME * stored_size).zip(out.chunks_mut(AT_A_TIME * size)) {
            let count = stored.len() / stored_size;
            let (Some(singles), Some(doubles), Some(halves)) = (
                buffers.singles.get_mut(..count),
                buffers.doubles.get_mut(..count),
                buffers.halves.get_mut(..count),
            ) else {
                return Ok(());
            };
            if change.is_none() && from != Dtype::F64 {
                widen_to_f32(from, stored, singles, halves);
                narrow_f32(to, singles, halves, out)?;
            } else {
                widen_to_f64(from, stored, singles, halves, doubles);
                match change {
                    Some(Change::All(factor)) => doubles.iter_mut().for_each(|double| *double *= factor),
                    Some(Change::Rows(rows)) => scale(doubles, first, rows),
                    Some(Change::Columns(addends)) => shift(doubles, first, addends),
                    None => {}
                }
                narrow_f64(to, doubles, singles, halves, out)?;
            }
            first = first.saturating_add(count);
        }
        Ok(())
    }
}

fn bytes_of(dtype: Dtype) -> usize {
    usize::try_from(dtype.size()).unwrap_or(1).max(1)
}

/// Widens as many elements as `doubles` has, of any floating-point dtype, to float64.
pub(crate) fn to_f64(dtype: Dtype, bytes: &[u8], doubles: &mut [f64]) {
    let (mut singles, mut halves) = (vec![0.0; doubles.len()], vec![0; doubles.len()]);
    widen_to_f64(dtype, bytes, &mut singles, &mut halves, doubles);
}

/// Returns a number in a dtype, rounded once; none for dtypes that no network computes in.
pub(crate) fn from_f64(dtype: Dtype, value: f64) -> Option<SmallVec<[u8; 8]>> {
    match dtype {
        Dtype::F64 => Some(SmallVec::from_slice(&value.to_le_bytes())),
        Dtype::F32 => Some(SmallVec::from_slice(&(value as f32).to_le_bytes())),
        Dtype::F16 => Some(SmallVec::from_slice(&f16::from_f64(value).to_le_bytes())),
        Dtype::BF16 => Some(SmallVec::from_slice(&bf16::from_f64(value).to_le_bytes())),
        _ => None,
    }
}

/// Multiplies elements, the first of which is number `first` of its tensor, by the factors of their rows.
#[inline(always)]
fn scale(doubles: &mut [f64], first: usize, RowFactors { factors, columns }: RowFactors<'_>) {
    let (Some(row), Some(into)) = (first.checked_div(columns), first.checked_rem(columns)) else { return };
    let (partial, whole) = doubles.split_at_mut((columns - into).min(doubles.len()));
    let factors = factors.get(row..).unwrap_or_default();
    for (row, factor) in std::iter::once(partial).chain(whole.chunks_mut(columns)).zip(factors) {
        for double in row {
            *double *= factor;
        }
    }
}

/// Adds to elements, the first of which is number `first` of its tensor, the addends of their columns.
#[inline(always)]
fn shift(doubles: &mut [f64], first: usize, addends: &[f64]) {
    let Some(into) = first.checked_rem(addends.len()) else { return };
    for (double, addend) in doubles.iter_mut().zip(addends.iter().cycle().skip(into)) {
        *double += addend;
    }
}

/// Widens as many elements as `singles` has, of a dtype of at most 32 bits, to float32.
#[inline(always)]
fn widen_to_f32(dtype: Dtype, bytes: &[u8], singles: &mut [f32], halves: &mut [u16]) {
    match dtype {
        Dtype::F32 => decode(bytes, singles, f32::from_le_bytes),
        Dtype::F16 => {
            decode(bytes, halves, u16::from_le_bytes);
            halves.reinterpret_cast::<f16>().convert_to_f32_slice(singles);
        }
        // The upper half of a float32.
        Dtype::BF16 => {
            decode(bytes, singles, |half| f32::from_bits(u32::from(u16::from_le_bytes(half)) << 16))
        }
        Dtype::F8E5M2 => decode(bytes, singles, |[byte]| f16::from_le_bytes([0, byte]).to_f32()),
        Dtype::F8E4M3 => decode(bytes, singles, |[byte]| f8_e4m3fn(byte)),
        _ => {}
    }
}

#[inline(always)]
fn widen_to_f64(dtype: Dtype, bytes: &[u8], singles: &mut [f32], halves: &mut [u16], doubles: &mut [f64]) {
    if dtype == Dtype::F64 {
        return decode(bytes, doubles, f64::from_le_bytes);
    }
    widen_to_f32(dtype, bytes, singles, halves);
    for (double, &single) in doubles.iter_mut().zip(singles.iter()) {
        *double = f64::from(single);
    }
}

/// Rounds float32 values to `dtype` and writes them to `out`.
#[inline(always)]
fn narrow_f32(dtype: Dtype, singles: &[f32], halves: &mut [u16], out: &mut [u8]) -> Result<(), Overflow> {
    let infinity = match dtype {
        Dtype::F16 => {
            halves.reinterpret_cast_mut::<f16>().convert_from_f32_slice(singles);
            f16::INFINITY.to_bits()
        }
        Dtype::BF16 => {
            for (half, &single) in halves.iter_mut().zip(singles) {
                *half = bf16_bits(single);
            }
            bf16::INFINITY.to_bits()
        }
        Dtype::F64 => {
            encode(singles, out, |single| f64::from(single).to_le_bytes());
            return Ok(());
        }
        _ => {
            encode(singles, out, f32::to_le_bytes);
            return Ok(());
        }
    };
    encode(halves, out, u16::to_le_bytes);
    let is_infinite = |half: &u16| half & 0x7fff == infinity;
    // Without an early exit, so that the common case is a few instructions for many elements.
    if halves.iter().fold(false, |any, half| any | is_infinite(half)) {
        let mut pairs = singles.iter().zip(halves.iter());
        let lost = pairs.find(|(single, half)| single.is_finite() && is_infinite(half));
        return lost.map_or(Ok(()), |(single, _)| Err(Overflow(f64::from(*single))));
    }
    Ok(())
}

/// Rounds float64 values to `dtype` and writes them to `out`.
#[inline(always)]
fn narrow_f64(
    dtype: Dtype,
    doubles: &[f64],
    singles: &mut [f32],
    halves: &mut [u16],
    out: &mut [u8],
) -> Result<(), Overflow> {
    match dtype {
        Dtype::F64 => {
            encode(doubles, out, f64::to_le_bytes);
            Ok(())
        }
        Dtype::F32 => {
            for (single, &double) in singles.iter_mut().zip(doubles) {
                *single = double as f32;
            }
            encode(singles, out, f32::to_le_bytes);
            if singles.iter().fold(false, |any, single| any | single.is_infinite()) {
                let mut pairs = doubles.iter().zip(singles.iter());
                let lost = pairs.find(|(double, single)| double.is_finite() && single.is_infinite());
                return lost.map_or(Ok(()), |(double, _)| Err(Overflow(*double)));
            }
            Ok(())
        }
        _ => {
            for (single, &double) in singles.iter_mut().zip(doubles) {
                *single = round_to_odd(double);
            }
            narrow_f32(dtype, singles, halves, out).map_err(|Overflow(rounded)| {
                let lost = doubles.iter().find(|&&double| f64::from(round_to_odd(double)) == rounded);
                Overflow(lost.copied().unwrap_or(rounded))
            })
        }
    }
}

/// Returns the bits of the nearest bfloat16: half of what is cut off, less one if the last bit that stays is even, overflows into
/// that bit just when the float32 is to be rounded up. NaN stays NaN.
#[inline(always)]
fn bf16_bits(single: f32) -> u16 {
    let bits = single.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    (if single.is_nan() { bits >> 16 | 0x40 } else { nearest }) as u16
}

/// Returns the float32 toward zero from `double`, its last bit set when that is not exact. Rounding the answer to a format at
/// least two bits narrower gives what rounding `double` at once would (S. Boldo and G. Melquiond, "Emulation of a FMA and
/// correctly rounded sums: proved algorithms using rounding to odd", 2008); a plain conversion in between would round twice.
#[inline(always)]
fn round_to_odd(double: f64) -> f32 {
    let nearest = double as f32;
    let widened = f64::from(nearest);
    let toward_zero = nearest.to_bits().wrapping_sub(u32::from(widened.abs() > double.abs()));
    // Both answers are there before one is chosen: without a branch the loop takes many elements at a time.
    let is_exact = (widened == double) | double.is_nan();
    f32::from_bits(if is_exact { nearest.to_bits() } else { toward_zero | 1 })
}

/// Returns the value of a float8 of four exponent and three mantissa bits, bias 7, without infinities (Micikevicius et al.,
/// "FP8 Formats for Deep Learning", 2022, table 1).
fn f8_e4m3fn(byte: u8) -> f32 {
    let exponent = i32::from(byte >> 3 & 15);
    let mantissa = f32::from(byte & 7) / 8.0;
    let magnitude = match (byte & 0x7f, exponent) {
        (0x7f, _) => f32::NAN,
        (_, 0) => mantissa * 2f32.powi(-6),
        _ => (1.0 + mantissa) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[inline(always)]
fn decode<T, const N: usize>(bytes: &[u8], values: &mut [T], value: impl Fn([u8; N]) -> T) {
    for (element, &chunk) in values.iter_mut().zip(bytes.as_chunks().0) {
        *element = value(chunk);
    }
}

#[inline(always)]
fn encode<T: Copy, const N: usize>(values: &[T], out: &mut [u8], bytes: impl Fn(T) -> [u8; N]) {
    for (chunk, &element) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *chunk = bytes(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(from: Dtype, to: Dtype, stored: &[u8], change: Option<Change<'_>>) -> Result<Vec<u8>, Overflow> {
        let mut out = vec![0; stored.len() / bytes_of(from) * bytes_of(to)];
        Cast { from, to, change, first: 0, stored, out: &mut out, buffers: &mut CastBuffers::new() }
            .run()
            .map(|()| out)
    }

    fn narrowed(to: Dtype, doubles: &[f64]) -> Result<Vec<u8>, Overflow> {
        let stored: Vec<u8> = doubles.iter().flat_map(|double| double.to_le_bytes()).collect();
        cast(Dtype::F64, to, &stored, None)
    }

    #[test]
    fn every_float8_has_its_value() {
        // Largest, smallest normal and smallest subnormal value of table 1, then some by hand.
        for (byte, value) in
            [(0x7e, 448.0), (0x08, 0.015625), (0x01, 0.001953125), (0x38, 1.0), (0xc1, -2.25), (0x80, 0.0)]
        {
            assert_eq!(f8_e4m3fn(byte), value, "{byte:#x}");
        }
        assert!(f8_e4m3fn(0x7f).is_nan() && f8_e4m3fn(0xff).is_nan());
        let mut doubles = [0.0; 4];
        to_f64(Dtype::F8E5M2, &[0x7b, 0x04, 0x01, 0xc0], &mut doubles);
        assert_eq!(doubles, [57344.0, 2f64.powi(-14), 2f64.powi(-16), -2.0]);
    }

    #[test]
    fn a_product_is_rounded_once() {
        let narrow_one = |to, double| narrowed(to, &[double]).unwrap();
        // Just above the middle between 1 and the next float16, by less than a float32 shows: rounding twice gives 1.
        let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(narrow_one(Dtype::F16, above), f16::from_bits(0x3c01).to_le_bytes());
        assert_eq!(narrow_one(Dtype::F16, 1.0 + 2f64.powi(-11)), f16::ONE.to_le_bytes());
        let above = -1.0 - 2f64.powi(-8) - 2f64.powi(-40);
        assert_eq!(narrow_one(Dtype::BF16, above), bf16::from_bits(0xbf81).to_le_bytes());
        // Smallest float16 subnormal, from just above half of it, and zero from just below.
        let half_of_it = 2f64.powi(-25);
        assert_eq!(narrow_one(Dtype::F16, half_of_it * (1.0 + 1e-12)), [1, 0]);
        assert_eq!(narrow_one(Dtype::F16, half_of_it), [0, 0]);
        assert_eq!(narrow_one(Dtype::F16, -1e-300), [0, 0x80]);
    }

    #[test]
    fn a_finite_value_never_becomes_infinity_silently() {
        for doubles in [[0.0, 65519.0], [f64::INFINITY, f64::NEG_INFINITY], [f64::NAN, 1.0]] {
            assert!(narrowed(Dtype::F16, &doubles).is_ok(), "{doubles:?}");
        }
        assert_eq!(narrowed(Dtype::F16, &[0.0, f64::INFINITY, -65520.0]), Err(Overflow(-65520.0)));
        assert_eq!(narrowed(Dtype::BF16, &[65520.0, 3e38, 3.4e38]), Err(Overflow(3.4e38)));
        assert!(narrowed(Dtype::BF16, &[-1e300]).is_err());
        assert_eq!(narrowed(Dtype::F32, &[3.4e38, 1e300]), Err(Overflow(1e300)));
    }

    #[test]
    fn every_16_bits_come_back_as_they_are() {
        let all: Vec<u16> = (0..=u16::MAX).collect();
        let stored: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        for (dtype, is_nan) in [
            (Dtype::F16, (|bits| f16::from_bits(bits).is_nan()) as fn(u16) -> bool),
            (Dtype::BF16, |bits| bf16::from_bits(bits).is_nan()),
        ] {
            for through in [Dtype::F32, Dtype::F64] {
                let wide = cast(dtype, through, &stored, None).unwrap();
                let back = cast(through, dtype, &wide, None).unwrap();
                for (&bits, &back) in all.iter().zip(back.as_chunks().0) {
                    let back = u16::from_le_bytes(back);
                    let is_right = if is_nan(bits) { is_nan(back) } else { back == bits };
                    assert!(is_right, "{dtype} {bits:#x} through {through}: {back:#x}");
                }
            }
        }
    }

    #[test]
    fn a_bfloat16_is_the_one_that_the_half_crate_finds() {
        // All that decides: the last bit that stays, the first that is cut off, and whether more follow.
        for high in (0..=u16::MAX).step_by(7) {
            for low in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let single = f32::from_bits(u32::from(high) << 16 | low);
                assert_eq!(bf16_bits(single), bf16::from_f32(single).to_bits(), "{high:#x} {low:#x}");
            }
        }
    }

    #[test]
    fn each_row_has_its_factor_wherever_a_piece_begins() {
        let (rows, columns) = (5, 700);
        let value = |element: usize| (element as f32 * 0.37).sin();
        let factors = [1.5, -0.25, 1.0 / 3.0, 0.0, 7.0];
        for first in [0, 1, 699, 700, 1800] {
            let count = rows * columns - first;
            let stored: Vec<u8> = (first..first + count).flat_map(|it| value(it).to_le_bytes()).collect();
            let mut out = vec![0; count * 4];
            let change = Some(Change::Rows(RowFactors { factors: &factors, columns }));
            let (from, to, buffers) = (Dtype::F32, Dtype::F32, &mut CastBuffers::new());
            Cast { from, to, change, first, stored: &stored, out: &mut out, buffers }.run().unwrap();
            for (element, &bytes) in (first..).zip(out.as_chunks().0) {
                let expected = (f64::from(value(element)) * factors[element / columns]) as f32;
                assert_eq!(f32::from_le_bytes(bytes), expected, "{first}: {element}");
            }
        }
    }
    #[test]
    fn each_column_has_its_addend_wherever_a_piece_begins() {
        let columns = 700;
        let addends: Vec<f64> = (0..columns).map(|column| (column as f64 * 0.77).cos()).collect();
        let value = |element: usize| (element as f32 * 0.37).sin();
        for first in [0, 1, 699, 700, 1800] {
            let count = 5 * columns - first;
            let stored: Vec<u8> = (first..first + count).flat_map(|it| value(it).to_le_bytes()).collect();
            let mut out = vec![0; count * 4];
            let (change, buffers) = (Some(Change::Columns(&addends)), &mut CastBuffers::new());
            let (from, to) = (Dtype::F32, Dtype::F32);
            Cast { from, to, change, first, stored: &stored, out: &mut out, buffers }.run().unwrap();
            for (element, &bytes) in (first..).zip(out.as_chunks().0) {
                let expected = (f64::from(value(element)) + addends[element % columns]) as f32;
                assert_eq!(f32::from_le_bytes(bytes), expected, "{first}: {element}");
            }
        }
    }
}
