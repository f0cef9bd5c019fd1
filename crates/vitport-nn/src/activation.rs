//! The activation functions of the networks, each elementwise and in place.

use super::elementary::{normal_tail, sigmoid};

/// An elementwise activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// x.
    Identity,
    /// x Φ(x), the exact Gaussian error linear unit (Hendrycks and Gimpel 2016, arXiv:1606.08415);
    /// `torch.nn.GELU()`.
    Gelu,
    /// x σ(1.702 x), the approximation of section 2 of the same paper; Microsoft CvT's and CLIP's
    /// `QuickGELU`.
    QuickGelu,
    /// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))); `torch.nn.GELU(approximate="tanh")`.
    GeluTanh,
    /// tanh x.
    Tanh,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// Replaces every value by its image.
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Gelu => map(values, gelu),
            Self::QuickGelu => map(values, quick_gelu),
            Self::GeluTanh => map(values, gelu_tanh),
            Self::Tanh => values.iter_mut().for_each(|value| *value = value.tanh()),
            // Unlike f32::max this keeps NaN.
            Self::Relu => map(values, |x| if x < 0.0 { 0.0 } else { x }),
        }
    }
}

/// Runs an inlined function over all values with the widest vectors that the machine has.
#[inline(always)]
fn map(values: &mut [f32], function: impl Fn(f32) -> f32) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for value in values {
                *value = function(*value);
            }
        },
    );
}

/// Φ(x) is one tail or the rest of the other, so nothing cancels where Φ is small.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let tail = normal_tail(x);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

#[inline(always)]
fn quick_gelu(x: f32) -> f32 {
    x * sigmoid(1.702 * x)
}

/// (1 + tanh u) / 2 is σ(2u), which does not cancel.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const TWICE_SQRT_2_OVER_PI: f32 = 1.595_769;
    x * sigmoid(TWICE_SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torch 2.15, float64, `torch.nn.functional.gelu` and friends at −6, −1.5, −0.3, 0, 0.7, 2, 9.
    const AT: [f32; 7] = [-6.0, -1.5, -0.3, 0.0, 0.7, 2.0, 9.0];

    fn check(activation: Activation, expected: [f64; 7]) {
        let mut values = AT;
        activation.apply(&mut values);
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
    }

    #[test]
    fn nan_stays_visible() {
        for activation in [
            Activation::Gelu,
            Activation::QuickGelu,
            Activation::GeluTanh,
            Activation::Tanh,
            Activation::Relu,
        ] {
            let mut values = [f32::NAN; 3];
            activation.apply(&mut values);
            assert!(values.iter().all(|value| value.is_nan()), "{activation:?}");
        }
    }
}
