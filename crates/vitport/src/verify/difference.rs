//! Says how far apart two sets of numbers may be, and how far apart they are.
//!
//! The tolerance is derived, not chosen. Both networks compute the same function in float32 and differ only in the order
//! of additions and in factors that were folded into weights. With u = 2⁻²⁴:
//!
//! - A sum of K products has a rounding error of about u·√K relative to the size of its terms, √(Σ (w x)²): rounding
//!   errors behave like independent random numbers (Higham and Mary, "A New Approach to Probabilistic Rounding Error
//!   Analysis", SIAM J. Sci. Comput. 41, 2019). K is the longest sum of the network, the wider side of its MLP.
//! - A folded factor rounds each product once more, by w = u.
//! - Errors add independently: m products contribute m·(u·√K)² to the square, t rounded tensors (matrices, norms, biases and
//!   statistics alike) t·w². A network of M matrices and T tensors that is looked at in n places has met about p·M/n and
//!   p·T/n of them at the p-th.
//! - What is compared is the largest difference of N numbers against their size. If errors have one size everywhere, the
//!   largest of N normal deviates is about √(2 ln N) of it. But an error is in proportion to its own number too, so where
//!   the largest number lies further out than that, P times the size, so may its error.
//!
//! τ = √(m·(u·√K)² + t·w²) · max(√(2 ln N), P).
//!
//! The size is the root mean square of the numbers. Of two or three logits that is not a measure, since they may nearly cancel
//! by chance; there it is at least the size of the terms that they are sums of.
//!
//! Numbers that are not finite cannot be compared: NaN equals nothing, and two infinities may be any distance apart.

use schemars::JsonSchema;
use serde::Serialize;

/// Gives the unit roundoff of float32.
pub(super) const F32_ROUNDOFF: f64 = 1.0 / 16_777_216.0;

/// Says what the tolerance is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Arithmetic {
    /// Counts the terms of the longest sum.
    pub longest_sum: usize,
    /// Gives the unit roundoff of factors that were folded into the target's weights, 0 if none were.
    pub weight_roundoff: f64,
    /// Counts the weight matrices that are multiplied with from one place that is looked at to the next, on average.
    pub products: f64,
    /// Counts the weight tensors of any kind that are used from one such place to the next, on average.
    pub tensors: f64,
}

impl Arithmetic {
    /// Returns the largest difference of `count` numbers that rounding alone explains, relative to their size, at the
    /// `place`-th place that is looked at, counted from 1. `peak` is the largest of the numbers, relative to their size.
    pub fn tolerance(&self, place: usize, count: usize, peak: f64) -> f64 {
        let sum = F32_ROUNDOFF * (self.longest_sum.max(1) as f64).sqrt();
        let of_products = self.products.max(1.0) * sum * sum;
        let of_weights = self.tensors.max(1.0) * self.weight_roundoff * self.weight_roundoff;
        let largest = (2.0 * (count.max(3) as f64).ln()).sqrt();
        let peak = if peak.is_finite() { peak } else { 0.0 };
        ((of_products + of_weights) * place.max(1) as f64).sqrt() * largest.max(peak)
    }
}

/// Says which numbers of two lists are not finite: `NaN` or `infinity`, whichever comes first in a list; none where all are
/// finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotFinite {
    /// Names it on the source's side.
    pub source: Option<&'static str>,
    /// Names it on the target's side.
    pub target: Option<&'static str>,
}

impl NotFinite {
    /// Returns what lists hold that is not finite; none if there is nothing of the kind.
    fn of(source: &[f32], target: &[f32]) -> Option<Self> {
        let first = |list: &[f32]| list.iter().find(|number| !number.is_finite()).copied().map(name);
        let found = Self { source: first(source), target: first(target) };
        (found.source.is_some() || found.target.is_some()).then_some(found)
    }

    /// Returns it in words: `NaN by the source, infinity by the folder`.
    pub fn text(self) -> String {
        match (self.source, self.target) {
            (Some(source), Some(target)) if source == target => format!("{source} on both sides"),
            (Some(source), Some(target)) => format!("{source} by the source, {target} by the folder"),
            (Some(source), None) => format!("{source} by the source"),
            (None, target) => format!("{} by the folder", target.unwrap_or("infinity")),
        }
    }
}

/// Returns what a number is called that is not finite.
fn name(number: f32) -> &'static str {
    if number.is_nan() { "NaN" } else { "infinity" }
}

/// Says how far apart two lists of numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Difference {
    /// Gives the largest absolute difference of two finite numbers.
    pub largest: f64,
    /// Gives the size that differences are compared with: root mean square of the finite numbers of the first list, or of the
    /// terms that its numbers are sums of, if that is more.
    pub size: f64,
    /// Is `largest / size`; infinite if the lengths differ, a number on either side is not finite, or the size is 0 and the
    /// difference is not.
    #[schemars(with = "Option<f64>")]
    pub relative: f64,
    /// Says how many numbers were compared.
    pub count: usize,
    /// Says what is not finite, so that nothing can be said of how far apart the lists are.
    pub not_finite: Option<NotFinite>,
}

impl Difference {
    /// Compares two lists number by number. `terms` is the size of the terms that the numbers are sums of, 0 if it is
    /// not known.
    pub fn between(source: &[f32], target: &[f32], terms: f64) -> Self {
        let mut largest = 0.0_f64;
        let mut squares = 0.0_f64;
        let not_finite = NotFinite::of(source, target);
        let is_comparable = source.len() == target.len() && not_finite.is_none();
        for (&a, &b) in source.iter().zip(target) {
            let (a, b) = (f64::from(a), f64::from(b));
            squares += if a.is_finite() { a * a } else { 0.0 };
            let distance = (a - b).abs();
            if distance.is_finite() {
                largest = largest.max(distance);
            }
        }
        let count = source.len().min(target.len());
        let terms = if terms.is_finite() { terms } else { 0.0 };
        let size = if count == 0 { 0.0 } else { (squares / count as f64).sqrt().max(terms) };
        let relative = match (is_comparable, largest > 0.0) {
            (false, _) => f64::INFINITY,
            (true, false) => 0.0,
            (true, true) if size > 0.0 && size.is_finite() => largest / size,
            (true, true) => f64::INFINITY,
        };
        Self { largest, size, relative, count, not_finite }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_size_of_the_first() {
        let difference = Difference::between(&[3.0, -4.0], &[3.0, -4.5], 0.0);
        assert_eq!(difference.largest, 0.5);
        assert!((difference.size - 12.5_f64.sqrt()).abs() < 1e-12);
        assert!((difference.relative - 0.5 / 12.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_compared_is_infinitely_different() {
        assert_eq!(Difference::between(&[1.0], &[1.0, 2.0], 0.0).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[f32::NAN], &[1.0], 0.0).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[0.0], &[1e-30], 0.0).relative, f64::INFINITY);
        assert_eq!(Difference::between(&[0.0], &[0.0], 0.0).relative, 0.0);
        assert_eq!(Difference::between(&[0.0], &[0.0], 0.0).not_finite, None);
    }

    #[test]
    fn what_is_not_finite_equals_nothing_and_leaves_numbers_in_the_report() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        for (source, target, text) in [
            ([nan, 1.0], [nan, 1.0], "NaN on both sides"),
            ([infinity, 1.0], [infinity, 1.0], "infinity on both sides"),
            ([infinity, 1.0], [-infinity, 1.0], "infinity on both sides"),
            ([infinity, nan], [nan, infinity], "infinity by the source, NaN by the folder"),
            ([0.0, 1.0], [0.0, infinity], "infinity by the folder"),
            ([nan, 1.0], [0.0, 1.0], "NaN by the source"),
        ] {
            let difference = Difference::between(&source, &target, f64::NAN);
            assert_eq!(difference.relative, f64::INFINITY, "{source:?} {target:?}");
            assert_eq!(difference.not_finite.unwrap().text(), text);
            assert!(difference.largest.is_finite() && difference.size.is_finite(), "{difference:?}");
        }
    }

    #[test]
    fn numbers_that_cancel_are_compared_with_their_terms() {
        let cancelled = Difference::between(&[0.001, -0.002], &[0.002, -0.002], 1.0);
        assert!((cancelled.relative - 0.001).abs() < 1e-8);
        assert!(Difference::between(&[0.001, -0.002], &[0.002, -0.002], 0.0).relative > 0.5);
    }

    #[test]
    fn the_tolerance_grows_with_sums_depth_and_outliers() {
        let plain = Arithmetic { longest_sum: 3072, weight_roundoff: 0.0, products: 6.0, tensors: 16.0 };
        let of_base = plain.tolerance(12, 197 * 768, 5.0);
        assert!(of_base > 1e-6 && of_base < 3e-4, "{of_base}");
        assert!(plain.tolerance(3, 1000, 3.0) < plain.tolerance(12, 1000, 3.0));
        assert!(plain.tolerance(12, 1000, 300.0) > 50.0 * plain.tolerance(12, 1000, 3.0));
        assert_eq!(plain.tolerance(12, 1000, f64::INFINITY), plain.tolerance(12, 1000, 0.0));
        let folded = Arithmetic { weight_roundoff: F32_ROUNDOFF, ..plain };
        assert!(folded.tolerance(12, 1000, 3.0) > plain.tolerance(12, 1000, 3.0));
    }
}
