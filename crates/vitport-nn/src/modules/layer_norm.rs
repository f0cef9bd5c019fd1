//! Defines layer normalisation.

use crate::error::ForwardError;
use crate::kernels::layer_norm::LayerNormKernel;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes (x − mean) / √(variance + eps) · weight + bias over the features of each token; `torch.nn.LayerNorm`.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    features: usize,
    /// Gives the weight and bias; ones and zeros where there are none.
    affine: Option<(Parameter, Parameter)>,
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
        Ok(Self { features, affine: Some((weight, bias)), eps })
    }

    /// Makes one without weight and bias: `elementwise_affine=False`.
    pub fn plain(features: usize, eps: f64) -> Self {
        Self { features, affine: None, eps }
    }

    /// Normalises each token.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let mut out = cx.scratch(x.values().len());
        let (weight, bias) = match &self.affine {
            Some((weight, bias)) => (weight.read(cx.weights())?, bias.read(cx.weights())?),
            None => (vec![1.0; self.features], vec![0.0; self.features]),
        };
        LayerNormKernel::new(weight, bias, self.eps).apply(x, &mut out)?;
        Ok(out)
    }
}
