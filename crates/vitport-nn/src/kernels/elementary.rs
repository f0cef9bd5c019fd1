//! Computes elementary functions of vectors of float32, written with pulp, without branches and without tables. Like the matrix
//! product they use fused multiply-adds where the machine has them, so the last bits depend on it. The polynomials are fitted
//! by `scripts/fit_elementary.py`.

use pulp::Simd;

/// Is 1.5 · 2^23: adding it to a float32 of magnitude below 2^22 leaves the nearest integer in the low
/// bits of the sum.
const ROUNDER: f32 = 12_582_912.0;
/// Is ln 2 in two parts: the first has nine bits, so that its product with an exponent is exact (Cody
/// and Waite 1980, "Software Manual for the Elementary Functions", chapter 6).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Lists the coefficients of P in exp(r) = 1 + r + r² P(r), |r| ≤ ln 2 / 2.
const EXP: [f32; 5] = [0.499_999_93, 0.166_665_2, 0.041_668_39, 0.008_368_71, 0.001_381_461];

/// Lists the coefficients of G in erfc(a) = exp(−a² + a G(a)), 0 ≤ a ≤ 6.
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

/// Gives the most that |x| counts in a tail: from here on the tail is below 3e-38. A little farther on it would be subnormal, and
/// many processors are far slower with numbers that are.
const FARTHEST: f32 = 12.9;

/// Adds to every value its addend and replaces the sum by its image.
#[inline(always)]
pub(super) fn map_sums<S: Simd>(
    simd: S,
    values: &mut [f32],
    addends: &[f32],
    function: impl Fn(S::f32s) -> S::f32s,
) {
    let (vectors, rest) = S::as_mut_simd_f32s(values);
    let (vectors_of_addends, addends) = S::as_simd_f32s(addends);
    for (vector, addend) in vectors.iter_mut().zip(vectors_of_addends) {
        *vector = function(simd.add_f32s(*vector, *addend));
    }
    if !rest.is_empty() {
        let sum = simd.add_f32s(simd.partial_load_f32s(rest), simd.partial_load_f32s(addends));
        simd.partial_store_f32s(rest, function(sum));
    }
}

#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, coefficients: [f32; N], x: S::f32s) -> S::f32s {
    let mut sum = simd.splat_f32s(0.0);
    for coefficient in coefficients.into_iter().rev() {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(coefficient));
    }
    sum
}

/// Returns the lesser of x and `most`; NaN stays NaN.
#[inline(always)]
pub(super) fn at_most<S: Simd>(simd: S, x: S::f32s, most: f32) -> S::f32s {
    let most = simd.splat_f32s(most);
    simd.select_f32s(simd.greater_than_f32s(x, most), most, x)
}

/// Returns e^x within one unit in the last place, for x from −87 to 87; below, the result stays at 1.6e-38 instead of sinking
/// to 0, above, at 6.1e37, so that it is as far from subnormal numbers when something is divided by it. NaN stays NaN.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let least = simd.splat_f32s(-87.0);
    let x = simd.select_f32s(simd.less_than_f32s(x, least), least, x);
    exp_in_range(simd, at_most(simd, x, 87.0))
}

/// Computes the same for x between −87 and 87.
#[inline(always)]
fn exp_in_range<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let rounder = simd.splat_f32s(ROUNDER);
    let rounded = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), rounder);
    let exponent = simd.sub_f32s(rounded, rounder);
    let r = simd.mul_add_e_f32s(exponent, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(exponent, simd.splat_f32s(-LN_2_LOW), r);
    let less_one = simd.mul_add_e_f32s(simd.mul_f32s(r, r), polynomial(simd, EXP, r), r);
    let biased = simd.add_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(127));
    let power_of_two = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(biased, simd.splat_u32s(23)));
    simd.mul_f32s(simd.add_f32s(simd.splat_f32s(1.0), less_one), power_of_two)
}

/// Returns the tail of the normal distribution beyond |x|, Q(|x|) = erfc(|x| / √2) / 2, and |x| no larger than makes a
/// difference to it.
#[inline(always)]
pub(super) fn normal_tail<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let x = at_most(simd, simd.and_f32s(x, simd.splat_f32s(f32::from_bits(0x7fff_ffff))), FARTHEST);
    let a = at_most(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)), 6.0);
    let half = simd.splat_f32s(0.5);
    let square = simd.mul_f32s(simd.mul_f32s(x, x), simd.splat_f32s(-0.5));
    let exponent = simd.mul_add_e_f32s(a, polynomial(simd, LN_ERFCX, a), square);
    (simd.mul_f32s(half, exp_in_range(simd, exponent)), x)
}

/// Returns 1 / (1 + e^−x), the logistic function.
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.sub_f32s(simd.splat_f32s(0.0), x))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes erfc in float64 by its series (Abramowitz and Stegun 7.1.6) and continued fraction (7.1.14).
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

    /// Runs a check on every kind of vectors.
    macro_rules! on_all_vectors {
        ($check:ident) => {
            $check(pulp::Scalar::new());
            #[cfg(target_arch = "x86_64")]
            {
                pulp::x86::V3::try_new().into_iter().for_each($check);
                pulp::x86::V4::try_new().into_iter().for_each($check);
            }
            #[cfg(target_arch = "aarch64")]
            pulp::aarch64::Neon::try_new().into_iter().for_each($check);
        };
    }

    fn map<S: Simd>(simd: S, values: &mut [f32], function: impl Fn(S::f32s) -> S::f32s) {
        map_sums(simd, values, &vec![0.0; values.len()], function);
    }

    fn check_exp<S: Simd>(simd: S) {
        let x: Vec<f32> = (-87_000..=87_000).map(|step| step as f32 / 1000.0).collect();
        let mut images = x.clone();
        map(simd, &mut images, |x| exp(simd, x));
        let mut worst = 0.0_f64;
        for (x, image) in x.into_iter().zip(images) {
            let truth = f64::from(x).exp();
            worst = worst.max(((f64::from(image) - truth) / truth).abs());
        }
        assert!(worst < 1.2e-7, "relative error {worst:e}");
        let mut images = [0.0, f32::NAN, f32::NEG_INFINITY];
        map(simd, &mut images, |x| exp(simd, x));
        assert_eq!(images[0], 1.0);
        assert!(images[1].is_nan());
        assert!(images[2] < 2e-38);
    }

    #[test]
    fn exp_is_right_to_the_last_place() {
        on_all_vectors!(check_exp);
    }

    fn check_normal_tail<S: Simd>(simd: S) {
        let x: Vec<f32> = (-130_000..=130_000).map(|step| step as f32 / 10_000.0).collect();
        let mut tails = x.clone();
        map(simd, &mut tails, |x| normal_tail(simd, x).0);
        let mut worst = 0.0_f64;
        let mut worst_relative = 0.0_f64;
        for (x, tail) in x.into_iter().zip(tails) {
            let truth = 0.5 * erfc(f64::from(x.abs()) / std::f64::consts::SQRT_2);
            let error = (f64::from(tail) - truth).abs();
            worst = worst.max(error);
            if x.abs() < 6.0 {
                worst_relative = worst_relative.max(error / truth);
            }
        }
        assert!(worst < 6e-8, "error {worst:e}");
        assert!(worst_relative < 1e-4, "relative error {worst_relative:e}");
        let mut tails = [-1e4, f32::NAN];
        map(simd, &mut tails, |x| normal_tail(simd, x).0);
        assert!(tails[0] < 1e-37 && tails[0].is_normal());
        assert!(tails[1].is_nan());
    }

    #[test]
    fn the_normal_tail_is_right_to_float32_rounding() {
        on_all_vectors!(check_normal_tail);
    }
}
