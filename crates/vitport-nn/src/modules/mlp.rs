//! The MLP of a transformer's block.

use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;

/// Two linear layers with an activation between them; timm's `Mlp`.
#[derive(Debug, Clone)]
pub struct Mlp {
    fc1: Linear,
    activation: Activation,
    fc2: Linear,
}

impl Mlp {
    /// Puts the layers together.
    pub fn new(fc1: Linear, activation: Activation, fc2: Linear) -> Self {
        Self { fc1, activation, fc2 }
    }

    /// Computes tokens × outputs.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let hidden = self.fc1.forward_with(x, self.activation, cx)?;
        let out = self.fc2.forward(&hidden, cx)?;
        cx.recycle(hidden);
        Ok(out)
    }
}
