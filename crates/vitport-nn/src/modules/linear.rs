//! Defines the fully connected layer.

use std::ops::Range;

use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::linear::LinearKernel;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes y = x Wᵀ + b; `torch.nn.Linear`.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Linear {
    /// Registers `weight` [outputs, inputs] and, if it has one, `bias` `[outputs]`.
    ///
    /// # Errors
    /// Returns what [`Scope::weight`] does.
    pub fn new(scope: &Scope, inputs: usize, outputs: usize, has_bias: bool) -> Result<Self, ForwardError> {
        let weight = scope.weight("weight", &[outputs, inputs])?;
        let bias = has_bias.then(|| scope.parameter("bias", &[outputs])).transpose()?;
        Ok(Self { weight, bias })
    }

    /// Registers the same layer, with a bias, under two names of its own, such as `in_proj_weight` and `in_proj_bias` of
    /// `torch.nn.MultiheadAttention`.
    ///
    /// # Errors
    /// Returns what [`Scope::weight`] does.
    pub fn named(
        scope: &Scope,
        [weight, bias]: [&str; 2],
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ForwardError> {
        let weight = scope.weight(weight, &[outputs, inputs])?;
        Ok(Self { weight, bias: Some(scope.parameter(bias, &[outputs])?) })
    }

    /// Registers the same layer as a convolution whose kernel is one position (`torch.nn.Conv2d` with `kernel_size` 1) saves it:
    /// `weight` [outputs, inputs, 1, 1] and, if it has one, `bias` `[outputs]`.
    ///
    /// # Errors
    /// Returns what [`Scope::weight`] does.
    pub fn pointwise(
        scope: &Scope,
        inputs: usize,
        outputs: usize,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        let weight = scope.weight("weight", &[outputs, inputs, 1, 1])?;
        let bias = has_bias.then(|| scope.parameter("bias", &[outputs])).transpose()?;
        Ok(Self { weight, bias })
    }

    /// Returns the number of features that come out.
    pub fn outputs(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or(0)
    }

    /// Computes tokens × outputs from tokens × inputs.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        self.forward_with(x, Activation::Identity, cx)
    }

    /// Computes the same with an activation after it, which is applied while a block of the product is in cache.
    ///
    /// # Errors
    /// Returns what [`Linear::forward`] does.
    pub fn forward_with(
        &self,
        x: &Matrix,
        activation: Activation,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let mut out = cx.scratch(x.rows().saturating_mul(self.outputs()));
        LinearKernel::load(cx.weights(), &self.weight, self.bias.as_ref())?.apply(x, activation, &mut out)?;
        Ok(out)
    }

    /// Computes the outputs of this range alone.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when there are fewer outputs, and what [`Linear::forward`] does.
    pub fn forward_part(
        &self,
        x: &Matrix,
        outputs: Range<usize>,
        activation: Activation,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let mut out = cx.scratch(x.rows().saturating_mul(outputs.len()));
        let whole = LinearKernel::load(cx.weights(), &self.weight, self.bias.as_ref())?;
        let part = whole.of_outputs(outputs.clone()).ok_or_else(|| {
            let detail = format!("outputs {outputs:?} of {}", self.outputs());
            ForwardError::operands("a part of a linear layer", detail)
        })?;
        part.apply(x, activation, &mut out)?;
        Ok(out)
    }

    /// Returns how large the terms are that the layer adds up for one token `x`: the root mean square over the outputs of
    /// √(Σ (w x)² + b²). Rounding errors are in proportion to it, also where the terms nearly cancel.
    ///
    /// # Errors
    /// Returns what [`crate::Weights::part`] does.
    pub fn size_of_terms(&self, x: &[f32], cx: &Context<'_>) -> Result<f64, ForwardError> {
        LinearKernel::load(cx.weights(), &self.weight, self.bias.as_ref())?.size_of_terms(x)
    }
}
