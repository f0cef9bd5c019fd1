//! How far apart two sets of numbers may be, and how far apart they are.
//!
//! The tolerance is derived, not chosen. Both networks compute the same function in float32 and differ only in the order
//! of additions and in weights that were rounded once more. With u = 2⁻²⁴:
//!
//! - A sum of K products carries a relative rounding error of about u·√K: rounding errors behave like independent random
//!   numbers (Higham and Mary, "A New Approach to Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41, 2019).
//!   K is the longest sum of the network, the wider side of its MLP.
//! - Weights that were rounded to a dtype with unit roundoff w perturb each product independently by w, and so the sum,
//!   relative to its size, by about w. A folded factor is such a rounding with w = u; a cast to bfloat16 one with 2⁻⁸.
//! - Errors add independently: m products contribute m·(u·√K)² to the square, t rounded tensors (matrices, norms, biases and
//!   statistics alike) t·w². A network of M matrices and T tensors that is looked at in n places has met about p·M/n and
//!   p·T/n of them at the p-th.
//! - What is compared is the largest difference of N numbers against their root mean square, and the largest of N normal
//!   deviates is about √(2 ln N).
//!
//! τ = √(m·(u·√K)² + t·w²) · √(2 ln N).

use serde::Serialize;
use vitport_checkpoint::Dtype;

/// Unit roundoff of float32.
const F32_ROUNDOFF: f64 = 1.0 / 16_777_216.0;

/// What the tolerance is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Arithmetic {
    /// Terms of the longest sum.
    pub longest_sum: usize,
    /// Unit roundoff of the rounding that the target's weights went through beyond the source's, 0 if none.
    pub weight_roundoff: f64,
    /// Weight matrices that are multiplied with from one place that is looked at to the next, on average.
    pub products: f64,
    /// Weight tensors of any kind that are used from one such place to the next, on average.
    pub tensors: f64,
}

impl Arithmetic {
    /// The largest difference of `count` numbers at the `place`-th place that is looked at, counted from 1, relative to their root mean square, that rounding
    /// alone explains.
    pub fn tolerance(&self, place: usize, count: usize) -> f64 {
        let sum = F32_ROUNDOFF * (self.longest_sum.max(1) as f64).sqrt();
        let of_products = self.products.max(1.0) * sum * sum;
        let of_weights = self.tensors.max(1.0) * self.weight_roundoff * self.weight_roundoff;
        let largest = (2.0 * (count.max(3) as f64).ln()).sqrt();
        ((of_products + of_weights) * place.max(1) as f64).sqrt() * largest
    }
}

/// Unit roundoff of a float dtype: half the distance from 1 to the next number.
pub fn roundoff(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 2.0_f64.powi(-11),
        Dtype::BF16 => 2.0_f64.powi(-8),
        Dtype::F64 => 0.0,
        _ => F32_ROUNDOFF,
    }
}

/// How far apart two lists of numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Largest absolute difference.
    pub largest: f64,
    /// Root mean square of the first list, the size that differences are held against.
    pub size: f64,
    /// `largest / size`; infinite if the lengths differ, a number is not finite on one side only, or the size is 0 and
    /// the difference is not.
    pub relative: f64,
    /// How many numbers were compared.
    pub count: usize,
}

impl Difference {
    /// Compares two lists number by number.
    pub fn between(source: &[f32], target: &[f32]) -> Self {
        let mut largest = 0.0_f64;
        let mut squares = 0.0_f64;
        let mut is_comparable = source.len() == target.len();
        for (&a, &b) in source.iter().zip(target) {
            let (a, b) = (f64::from(a), f64::from(b));
            squares += a * a;
            let distance = (a - b).abs();
            if distance.is_nan() {
                // Both the same infinity, or both no number, are as equal as can be seen.
                is_comparable &= a == b || (a.is_nan() && b.is_nan());
            } else {
                largest = largest.max(distance);
            }
        }
        let count = source.len().min(target.len());
        let size = if count == 0 { 0.0 } else { (squares / count as f64).sqrt() };
        let relative = match (is_comparable, largest > 0.0) {
            (false, _) => f64::INFINITY,
            (true, false) => 0.0,
            (true, true) if size > 0.0 && size.is_finite() => largest / size,
            (true, true) => f64::INFINITY,
        };
        Self { largest, size, relative, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_size_of_the_first() {
        let difference = Difference::between(&[3.0, -4.0], &[3.0, -4.5]);
        assert_eq!(difference.largest, 0.5);
        assert!((difference.size - 12.5_f64.sqrt()).abs() < 1e-12);
        assert!((difference.relative - 0.5 / 12.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_compared_is_infinitely_different() {
        assert_eq!(Difference::between(&[1.0], &[1.0, 2.0]).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[f32::NAN], &[1.0]).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[0.0], &[1e-30]).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[0.0], &[0.0]).relative, 0.0);
        assert_eq!(Difference::between(&[f32::INFINITY, 1.0], &[f32::INFINITY, 1.0]).relative, 0.0);
        assert_eq!(Difference::between(&[f32::INFINITY], &[f32::NEG_INFINITY]).relative, f64::INFINITY);
    }

    #[test]
    fn the_tolerance_grows_with_sums_depth_and_rounding() {
        let plain = Arithmetic { longest_sum: 3072, weight_roundoff: 0.0, products: 6.0, tensors: 16.0 };
        let of_base = plain.tolerance(12, 197 * 768);
        assert!(of_base > 1e-6 && of_base < 3e-4, "{of_base}");
        assert!(plain.tolerance(3, 1000) < plain.tolerance(12, 1000));
        let cast = Arithmetic { weight_roundoff: roundoff(Dtype::BF16), ..plain };
        assert!(cast.tolerance(12, 1000) > 100.0 * plain.tolerance(12, 1000));
    }
}
