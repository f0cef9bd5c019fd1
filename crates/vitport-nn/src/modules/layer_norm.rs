//! Defines layer normalisation.

use crate::error::ForwardError;
use crate::kernels::layer_norm::LayerNormKernel;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes (x − mean) / √(variance + eps) · weight + bias over the features of each token; `torch.nn.LayerNorm`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
    eps: f64,
}

impl LayerNorm {
    /// Registers `weight` and `bias`, both `[features]`.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, features: usize, eps: f64) -> Result<Self, ForwardError> {
        let weight = scope.parameter("weight", &[features])?;
        let bias = scope.parameter("bias", &[features])?;
        Ok(Self { weight, bias, eps })
    }

    /// Normalises each token.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let mut out = cx.scratch(x.values().len());
        let (weight, bias) = (self.weight.read(cx.weights())?, self.bias.read(cx.weights())?);
        LayerNormKernel::new(weight, bias, self.eps).apply(x, &mut out)?;
        Ok(out)
    }
}
