//! Elementary functions in float32, written without branches and without tables so that a loop over
//! them becomes vector instructions, and without fused operations so that every machine computes the
//! same bits. The polynomials are fitted by `scripts/fit_elementary.py`.

/// 1.5 · 2^23: adding it to a float32 of magnitude below 2^22 leaves the nearest integer in the low
/// bits of the sum.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 in two parts: the first has nine bits, so that its product with an exponent is exact (Cody
/// and Waite 1980, "Software Manual for the Elementary Functions", chapter 6).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// P in exp(r) = 1 + r + r² P(r), |r| ≤ ln 2 / 2.
const EXP: [f32; 5] = [0.499_999_93, 0.166_665_2, 0.041_668_39, 0.008_368_71, 0.001_381_461];

/// G in erfc(a) = exp(−a² + a G(a)), 0 ≤ a ≤ 6.
const LN_ERFCX: [f32; 11] = [
    -1.128_379_5,
    0.363_386_1,
    -0.102_808_78,
    0.019_227_99,
    7.997_242e-5,
    -0.001_646_240_2,
    6.647_636e-4,
    -1.484_313e-4,
    2.003_993_8e-5,
    -1.522_447_3e-6,
    4.988_929e-8,
];

#[inline(always)]
fn polynomial<const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    coefficients.into_iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// e^x within one unit in the last place, for x up to 88; below −87 the result stays at 1.6e-38
/// instead of sinking to 0, above 88 it stays at 1.7e38. NaN stays NaN.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let exponent = rounded - ROUNDER;
    let r = (x - exponent * LN_2_HIGH) - exponent * LN_2_LOW;
    let power_of_two = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    (1.0 + (r + r * r * polynomial(EXP, r))) * power_of_two
}

/// The tail of the normal distribution beyond |x|, Q(|x|) = erfc(|x| / √2) / 2.
#[inline(always)]
pub(super) fn normal_tail(x: f32) -> f32 {
    let a = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let a = if a > 6.0 { 6.0 } else { a };
    0.5 * exp(a * polynomial(LN_ERFCX, a) - 0.5 * x * x)
}

/// 1 / (1 + e^−x), the logistic function.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// erfc in float64 by its series (Abramowitz and Stegun 7.1.6) and continued fraction (7.1.14).
    fn erfc(a: f64) -> f64 {
        if a < 2.5 {
            let mut term = a;
            let mut sum = a;
            for n in 1..200 {
                term *= 2.0 * a * a / f64::from(2 * n + 1);
                sum += term;
            }
            1.0 - std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum
        } else {
            let fraction = (1..200).rev().fold(a, |fraction, n| a + f64::from(n) / 2.0 / fraction);
            (-a * a).exp() / fraction / std::f64::consts::PI.sqrt()
        }
    }

    #[test]
    fn exp_is_right_to_the_last_place() {
        let mut worst = 0.0_f64;
        for step in -87_000..=88_000 {
            let x = step as f32 / 1000.0;
            let truth = f64::from(x).exp();
            worst = worst.max(((f64::from(exp(x)) - truth) / truth).abs());
        }
        assert!(worst < 1.2e-7, "relative error {worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn the_normal_tail_is_right_to_float32_rounding() {
        let mut worst = 0.0_f64;
        let mut worst_relative = 0.0_f64;
        for step in -130_000..=130_000 {
            let x = step as f32 / 10_000.0;
            let truth = 0.5 * erfc(f64::from(x.abs()) / std::f64::consts::SQRT_2);
            let error = (f64::from(normal_tail(x)) - truth).abs();
            worst = worst.max(error);
            if x.abs() < 6.0 {
                worst_relative = worst_relative.max(error / truth);
            }
        }
        assert!(worst < 6e-8, "error {worst:e}");
        assert!(worst_relative < 1e-4, "relative error {worst_relative:e}");
        assert!(normal_tail(-1e4) < 1e-37);
        assert!(normal_tail(f32::NAN).is_nan());
    }
}
