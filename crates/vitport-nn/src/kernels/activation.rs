//! Computes the activation functions of the networks, each elementwise and in place.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::elementary::{at_most, exp, map_sums, normal_tail, sigmoid};
use crate::matrix::{Matrix, PART};

/// Names an elementwise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// Computes x.
    Identity,
    /// Computes x Φ(x), the exact Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415); `torch.nn.GELU()`.
    Gelu,
    /// Computes x σ(1.702 x), the approximation of section 2 of the same paper; Microsoft CvT's and CLIP's `QuickGELU`.
    QuickGelu,
    /// Computes x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))); `torch.nn.GELU(approximate="tanh")`.
    GeluTanh,
    /// Computes x σ(x), the sigmoid linear unit or swish; `torch.nn.SiLU()`.
    Silu,
    /// Computes σ(x) = 1 / (1 + e^−x).
    Sigmoid,
    /// Computes tanh x.
    Tanh,
    /// Computes max(x, 0).
    Relu,
    /// Computes min(max(x, 0), 6); `torch.nn.ReLU6()`.
    Relu6,
    /// Computes min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, "Searching for MobileNetV3", section 5.2);
    /// `torch.nn.Hardsigmoid()`.
    HardSigmoid,
    /// Computes x min(max(x + 3, 0), 6) / 6, of the same paper; `torch.nn.Hardswish()`.
    HardSwish,
    /// Computes x tanh(ln(1 + e^x)) (Misra 2019, arXiv:1908.08681); `torch.nn.Mish()`.
    Mish,
}

impl Activation {
    /// Replaces every value by its image.
    pub fn apply(self, x: &mut Matrix) {
        let parts = x.values_mut().par_chunks_mut(PART);
        parts.for_each(|values| pulp::Arch::new().dispatch(Images { activation: self, values }));
    }

    /// Adds to every value its addend, of which there are as many, and replaces the sum by its image.
    #[inline(always)]
    pub(super) fn of_sums<S: Simd>(self, simd: S, values: &mut [f32], addends: &[f32]) {
        match self {
            Self::Identity => map_sums(simd, values, addends, |x| x),
            Self::Gelu => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| gelu(simd, x),
            ),
            Self::QuickGelu => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| quick_gelu(simd, x),
            ),
            Self::GeluTanh => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| gelu_tanh(simd, x),
            ),
            Self::Silu => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| simd.mul_f32s(x, sigmoid(simd, x)),
            ),
            Self::Sigmoid => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| sigmoid(simd, x),
            ),
            Self::Tanh => {
                let sums = values.iter_mut().zip(addends);
                sums.for_each(|(value, addend)| *value = (*value + addend).tanh());
            }
            Self::Relu => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| relu(simd, x),
            ),
            Self::Relu6 => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| at_most(simd, relu(simd, x), 6.0),
            ),
            Self::HardSigmoid => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| hard_sigmoid(simd, x),
            ),
            Self::HardSwish => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| simd.mul_f32s(x, hard_sigmoid(simd, x)),
            ),
            Self::Mish => map_sums(
                simd,
                values,
                addends,
                #[inline(always)]
                |x| mish(simd, x),
            ),
        }
    }
}

/// Holds the values that are replaced by their images.
struct Images<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl WithSimd for Images<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const NOTHING: [f32; 256] = [0.0; 256];
        for values in self.values.chunks_mut(NOTHING.len()) {
            self.activation.of_sums(simd, values, NOTHING.get(..values.len()).unwrap_or_default());
        }
    }
}

/// Computes max(x, 0); unlike f32::max it keeps NaN.
#[inline(always)]
fn relu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// Computes x Φ(x), which is max(x, 0) − |x| Q(|x|), in which nothing cancels where Φ is small.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (tail, size) = normal_tail(simd, x);
    simd.negate_mul_add_e_f32s(size, tail, relu(simd, x))
}

#[inline(always)]
fn quick_gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_f32s(x, sigmoid(simd, simd.mul_f32s(simd.splat_f32s(1.702), x)))
}

/// Computes x (1 + tanh u) / 2, whose factor is σ(2u), which does not cancel.
#[inline(always)]
fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    let cubic = simd.mul_add_e_f32s(simd.mul_f32s(simd.splat_f32s(0.044_715), simd.mul_f32s(x, x)), x, x);
    simd.mul_f32s(x, sigmoid(simd, simd.mul_f32s(simd.splat_f32s(TWICE_SQRT_2_OVER_PI), cubic)))
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let shifted = simd.add_f32s(x, simd.splat_f32s(3.0));
    simd.mul_f32s(at_most(simd, relu(simd, shifted), 6.0), simd.splat_f32s(1.0 / 6.0))
}

/// Computes x tanh(ln(1 + e)), whose factor is n / (n + 2) with n = e (e + 2), which does not cancel. From 30 on it is 1.
#[inline(always)]
fn mish<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (power, two) = (exp(simd, at_most(simd, x, 30.0)), simd.splat_f32s(2.0));
    let n = simd.mul_f32s(power, simd.add_f32s(power, two));
    simd.mul_f32s(x, simd.div_f32s(n, simd.add_f32s(n, two)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists the points at which torch 2.15 computed the values below, in float64, by `torch.nn.functional.gelu` and its like.
    const AT: [f32; 7] = [-6.0, -1.5, -0.3, 0.0, 0.7, 2.0, 9.0];

    fn check(activation: Activation, expected: [f64; 7]) {
        let mut values = AT;
        pulp::Arch::new().dispatch(Images { activation, values: &mut values });
        for ((value, expected), x) in values.into_iter().zip(expected).zip(AT) {
            let error = (f64::from(value) - expected).abs();
            assert!(
                error <= 4e-7 * expected.abs().max(1e-3),
                "{activation:?}({x}) = {value}, not {expected}"
            );
        }
    }

    #[test]
    fn activations_are_those_of_torch() {
        check(Activation::Identity, AT.map(f64::from));
        check(
            Activation::Gelu,
            [-5.91952586948e-09, -0.100210801903, -0.114626576534, 0.0, 0.530625431802, 1.9544997361, 9.0],
        );
        check(
            Activation::QuickGelu,
            [
                -0.000220353549787,
                -0.108337801553,
                -0.112515867663,
                0.0,
                0.536893940042,
                1.93565862314,
                8.99999799682,
            ],
        );
        check(
            Activation::GeluTanh,
            [-8.43964897967e-11, -0.10042842302, -0.114629079649, 0.0, 0.530570123066, 1.95459769409, 9.0],
        );
        check(
            Activation::Silu,
            [
                -0.0148357389398,
                -0.27363828571,
                -0.127667249155,
                0.0,
                0.467731430702,
                1.76159415596,
                8.99888944882,
            ],
        );
        check(
            Activation::Sigmoid,
            [
                0.00247262315663,
                0.182425523806,
                0.425557480274,
                0.5,
                0.668187769525,
                0.880797077978,
                0.999876605424,
            ],
        );
        check(
            Activation::Tanh,
            [
                -0.999987711651,
                -0.905148253645,
                -0.291312623361,
                0.0,
                0.60436776955,
                0.964027580076,
                0.99999996954,
            ],
        );
        check(Activation::Relu, [0.0, 0.0, 0.0, 0.0, 0.699999988079, 2.0, 9.0]);
        check(Activation::Relu6, [0.0, 0.0, 0.0, 0.0, 0.699999988079, 2.0, 6.0]);
    }

    const ALL: [Activation; 11] = [
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSigmoid,
        Activation::HardSwish,
        Activation::Mish,
    ];

    #[test]
    fn no_image_is_subnormal() {
        let x: Vec<f32> = (-40_000..=40_000).map(|step| step as f32 / 100.0).collect();
        for activation in ALL {
            let mut values = x.clone();
            pulp::Arch::new().dispatch(Images { activation, values: &mut values });
            for (value, x) in values.into_iter().zip(&x) {
                assert!(!value.is_subnormal(), "{activation:?}({x}) = {value:e}");
            }
        }
    }

    #[test]
    fn nan_stays_visible() {
        for activation in ALL {
            let mut values = [f32::NAN; 3];
            pulp::Arch::new().dispatch(Images { activation, values: &mut values });
            assert!(values.iter().all(|value| value.is_nan()), "{activation:?}");
        }
    }
}
