//! Defines global response normalisation.

use super::tokens::means_of_columns;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::affine::affine;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes x + weight · x · n + bias, where n is the norm of a channel over all positions, divided by its mean over channels
/// plus eps (Woo et al. 2023, "ConvNeXt V2", arXiv:2301.00808, section 3.2); timm's `GlobalResponseNorm`.
#[derive(Debug, Clone)]
pub struct GlobalResponseNorm {
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl GlobalResponseNorm {
    /// Registers `weight` and `bias`, both of the shape `shape`: `[features]` in timm, [1, 1, 1, features] in transformers.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, shape: &[usize], eps: f64) -> Result<Self, ForwardError> {
        Ok(Self { weight: scope.parameter("weight", shape)?, bias: scope.parameter("bias", shape)?, eps })
    }

    /// Normalises positions × features in place.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, mut x: Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let (weight, bias) = (self.weight.read(cx.weights())?, self.bias.read(cx.weights())?);
        let squares = means_of_columns(&x, |value| value * value);
        // torch adds the squares up in float32.
        let norm = |squares: f64| if squares <= f64::from(f32::MAX) { squares.sqrt() } else { f64::NAN };
        let norms: Vec<f64> = squares.into_iter().map(|mean| norm(mean * x.rows() as f64)).collect();
        let mean = norms.iter().sum::<f64>() / norms.len().max(1) as f64;
        let factor =
            |(&weight, norm): (&f32, &f64)| (1.0 + f64::from(weight) * norm / (mean + self.eps)) as f32;
        let factors: Vec<f32> = weight.iter().zip(&norms).map(factor).collect();
        affine(&mut x, &factors, &bias, Activation::Identity)?;
        Ok(x)
    }
}
