//! Floating-point elements from one dtype to another, a slice at a time: widened to float32 or float64, and rounded once
//! from there, to nearest with ties to even, to what is written.
//!
//! float32 holds every value of the narrower dtypes exactly, so only float64 sources and products need float64. Bytes
//! are little-endian, as checkpoints and safetensors have them.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use vitport_checkpoint::Dtype;

/// The position of a finite value that the target dtype cannot hold.
#[derive(Debug, PartialEq)]
pub(super) struct Overflow(pub usize);

/// Widens as many elements as `singles` has, of a dtype of at most 32 bits, to float32.
pub(super) fn widen_to_f32(dtype: Dtype, bytes: &[u8], singles: &mut [f32]) {
    match dtype {
        Dtype::F32 => decode(bytes, singles, f32::from_le_bytes),
        Dtype::F16 => decode(bytes, singles, |half| f16::from_le_bytes(half).to_f32()),
        Dtype::BF16 => decode(bytes, singles, |half| bf16::from_le_bytes(half).to_f32()),
        Dtype::F8E5M2 => decode(bytes, singles, |[byte]| f16::from_le_bytes([0, byte]).to_f32()),
        Dtype::F8E4M3 => decode(bytes, singles, |[byte]| f8_e4m3fn(byte)),
        _ => {}
    }
}

/// Widens as many elements as `doubles` has, of any floating-point dtype, to float64. `singles` is room for as many.
pub(super) fn widen_to_f64(dtype: Dtype, bytes: &[u8], singles: &mut [f32], doubles: &mut [f64]) {
    if dtype == Dtype::F64 {
        return decode(bytes, doubles, f64::from_le_bytes);
    }
    widen_to_f32(dtype, bytes, singles);
    for (double, &single) in doubles.iter_mut().zip(singles.iter()) {
        *double = f64::from(single);
    }
}

/// Rounds float32 values to `dtype` and writes them to `out`. `halves` is room for as many.
pub(super) fn narrow_f32(
    dtype: Dtype,
    singles: &[f32],
    halves: &mut [u16],
    out: &mut [u8],
) -> Result<(), Overflow> {
    let infinity = match dtype {
        Dtype::F16 => {
            halves.reinterpret_cast_mut::<f16>().convert_from_f32_slice(singles);
            f16::INFINITY.to_bits()
        }
        Dtype::BF16 => {
            halves.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(singles);
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
        let lost = singles
            .iter()
            .zip(halves.iter())
            .position(|(single, half)| single.is_finite() && is_infinite(half));
        return lost.map_or(Ok(()), |position| Err(Overflow(position)));
    }
    Ok(())
}

/// Rounds float64 values to `dtype` and writes them to `out`. `singles` and `halves` are room for as many.
pub(super) fn narrow_f64(
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
            let mut pairs = doubles.iter().zip(singles.iter());
            let lost = pairs.position(|(double, single)| double.is_finite() && single.is_infinite());
            lost.map_or(Ok(()), |position| Err(Overflow(position)))
        }
        _ => {
            for (single, &double) in singles.iter_mut().zip(doubles) {
                *single = round_to_odd(double);
            }
            narrow_f32(dtype, singles, halves, out)
        }
    }
}

/// The float32 toward zero from `double`, its last bit set when that is not exact. Rounding the answer to a format at
/// least two bits narrower gives what rounding `double` at once would (S. Boldo and G. Melquiond, "Emulation of a FMA and
/// correctly rounded sums: proved algorithms using rounding to odd", 2008); a plain conversion in between would round twice.
fn round_to_odd(double: f64) -> f32 {
    let nearest = double as f32;
    let widened = f64::from(nearest);
    if widened == double || double.is_nan() {
        return nearest;
    }
    let toward_zero = nearest.to_bits() - u32::from(widened.abs() > double.abs());
    f32::from_bits(toward_zero | 1)
}

/// The value of a float8 of four exponent and three mantissa bits, bias 7, without infinities (Micikevicius et al.,
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

fn decode<T, const N: usize>(bytes: &[u8], values: &mut [T], value: impl Fn([u8; N]) -> T) {
    for (element, &chunk) in values.iter_mut().zip(bytes.as_chunks().0) {
        *element = value(chunk);
    }
}

fn encode<T: Copy, const N: usize>(values: &[T], out: &mut [u8], bytes: impl Fn(T) -> [u8; N]) {
    for (chunk, &element) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *chunk = bytes(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrow_one(dtype: Dtype, double: f64) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(dtype.size()).unwrap()];
        narrow_f64(dtype, &[double], &mut [0.0], &mut [0], &mut out).unwrap();
        out
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
        let mut singles = [0.0; 4];
        widen_to_f32(Dtype::F8E5M2, &[0x7b, 0x04, 0x01, 0xc0], &mut singles);
        assert_eq!(singles, [57344.0, 2f32.powi(-14), 2f32.powi(-16), -2.0]);
    }

    #[test]
    fn a_product_is_rounded_once() {
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
        let narrow = |dtype, doubles: &[f64]| {
            let count = doubles.len();
            let mut out = vec![0; count * 4];
            narrow_f64(dtype, doubles, &mut vec![0.0; count], &mut vec![0; count], &mut out)
        };
        assert_eq!(narrow(Dtype::F16, &[0.0, 65519.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN]), Ok(()));
        assert_eq!(narrow(Dtype::F16, &[0.0, f64::INFINITY, -65520.0]), Err(Overflow(2)));
        assert_eq!(narrow(Dtype::BF16, &[65520.0, 3e38, 3.4e38]), Err(Overflow(2)));
        assert_eq!(narrow(Dtype::BF16, &[-1e300]), Err(Overflow(0)));
        assert_eq!(narrow(Dtype::F32, &[3.4e38, 1e300]), Err(Overflow(1)));
    }
}
