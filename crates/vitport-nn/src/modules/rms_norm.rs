//! Defines root mean square normalisation.

use crate::error::ForwardError;
use crate::kernels::layer_norm::LayerNormKernel;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes x / √(mean of x² + eps) · weight over the features of each token; `torch.nn.RMSNorm`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Parameter,
    eps: f64,
}

impl RmsNorm {
    /// Registers `weight`, `[features]`.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, features: usize, eps: f64) -> Result<Self, ForwardError> {
        Ok(Self { weight: scope.parameter("weight", &[features])?, eps })
    }

    /// Normalises each token.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let mut out = cx.scratch(x.values().len());
        LayerNormKernel::without_mean(self.weight.read(cx.weights())?, self.eps).apply(x, &mut out)?;
        Ok(out)
    }
}
