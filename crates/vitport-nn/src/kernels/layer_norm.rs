//! Computes the layer normalisation over features (Ba, Kiros and Hinton 2016, arXiv:1607.06450), as `torch.nn.LayerNorm`: (x −
//! mean) / √(variance + eps) · weight + bias with the biased variance; and the same without mean and bias, the root mean square
//! normalisation (Zhang and Sennrich 2019, arXiv:1910.07467).

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::error::ForwardError;
use crate::matrix::{Matrix, PART};

/// Holds the weight, bias and epsilon of a layer normalisation.
#[derive(Debug)]
pub struct LayerNormKernel {
    weight: Vec<f32>,
    bias: Vec<f32>,
    eps: f64,
    is_centred: bool,
}

impl LayerNormKernel {
    /// Takes weight and bias, both `[features]`.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, eps: f64) -> Self {
        Self { weight, bias, eps, is_centred: true }
    }

    /// Takes the weight of a root mean square normalisation, `[features]`.
    pub fn without_mean(weight: Vec<f32>, eps: f64) -> Self {
        let bias = vec![0.0; weight.len()];
        Self { weight, bias, eps, is_centred: false }
    }

    /// Fills `out`, of the size of `x`, with the normalised tokens.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when x has another width.
    pub fn apply(&self, x: &Matrix, out: &mut Matrix) -> Result<(), ForwardError> {
        let features = self.weight.len();
        if features == 0 || x.columns() != features || self.bias.len() != features {
            return Err(ForwardError::operands(
                "a layer normalisation",
                format!("{} features for {features} weights", x.columns()),
            ));
        }
        out.resize(x.rows(), features, "the output of a layer normalisation")?;
        let part = PART.div_ceil(features).saturating_mul(features);
        let parts = x.values().par_chunks(part).zip(out.values_mut().par_chunks_mut(part));
        parts.for_each(|(x, out)| pulp::Arch::new().dispatch(Rows { norm: self, x, out }));
        Ok(())
    }
}

/// Normalises whole rows of tokens. A closure in its place would not be inlined, and so be compiled for the least of processors.
struct Rows<'a, 'b> {
    norm: &'a LayerNormKernel,
    x: &'a [f32],
    out: &'b mut [f32],
}

impl WithSimd for Rows<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let LayerNormKernel { weight, bias, eps, is_centred } = self.norm;
        let features = weight.len();
        for (row, out) in self.x.chunks_exact(features).zip(self.out.chunks_exact_mut(features)) {
            normalise(row, weight, bias, *eps, *is_centred, out);
        }
    }
}

/// Sums `term` over `values` in float64, in eight lanes.
#[inline(always)]
fn sum(values: &[f32], term: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0_f64; 8];
    let chunks = values.chunks_exact(8);
    let rest: f64 = chunks.remainder().iter().map(|&value| term(f64::from(value))).sum();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += term(f64::from(value));
        }
    }
    lanes.iter().sum::<f64>() + rest
}

/// Computes mean and variance in two passes in float64: a small eps under a large mean is not lost. Squares whose sum is more than float32
/// holds, in which torch adds them up, make the row NaN, as there.
#[inline(always)]
fn normalise(row: &[f32], weight: &[f32], bias: &[f32], eps: f64, is_centred: bool, out: &mut [f32]) {
    let count = row.len() as f64;
    let mean = if is_centred { sum(row, |value| value) / count } else { 0.0 };
    let variance = sum(row, |value| (value - mean) * (value - mean)) / count;
    let is_in_range = variance * count <= f64::from(f32::MAX);
    let scale = if is_in_range { 1.0 / (variance + eps).sqrt() } else { f64::NAN };
    for (((out, &value), &weight), &bias) in out.iter_mut().zip(row).zip(weight).zip(bias) {
        *out = ((f64::from(value) - mean) * scale) as f32 * weight + bias;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_norm_is_that_of_torch() {
        let norm = LayerNormKernel::new(vec![1.0, 2.0, 3.0], vec![0.5, 0.0, -0.5], 1e-5);
        let x = Matrix::from_values(2, 3, vec![1.0, 2.0, 4.0, 1e-6, 2e-6, 4e-6]).unwrap();
        let mut out = Matrix::new();
        norm.apply(&x, &mut out).unwrap();
        // torch 2.15, float64, torch.nn.functional.layer_norm.
        let expected = [
            -0.56904153145,
            -0.534520765725,
            3.50890574294,
            0.499578363013,
            -0.000210818493749,
            -0.498418861297,
        ];
        for (value, expected) in out.values().iter().zip(expected) {
            assert!(
                (f64::from(*value) - expected).abs() < 2e-7 * expected.abs().max(1.0),
                "{value}, not {expected}"
            );
        }
        let far = Matrix::from_values(2, 3, vec![1e20, 2e20, 4e20, 1e18, 2e18, 4e18]).unwrap();
        norm.apply(&far, &mut out).unwrap();
        let (over, under) = out.values().split_at(3);
        assert!(over.iter().all(|value| value.is_nan()) && under.iter().all(|value| value.is_finite()));
        let wide = Matrix::from_values(1, 4, vec![0.0; 4]).unwrap();
        assert!(norm.apply(&wide, &mut out).is_err());
    }
}
