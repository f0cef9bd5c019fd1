//! Defines the MLP of a transformer's block.

use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Scope;

/// Applies two linear layers with an activation between them; timm's `Mlp`.
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

    /// Makes both layers, with biases, under these names: from `inputs` features to `hidden` ones and to `outputs`. `linear` is
    /// [`Linear::new`] or [`Linear::pointwise`].
    ///
    /// # Errors
    /// Returns what `linear` does.
    pub fn with_biases(
        linear: fn(&Scope, usize, usize, bool) -> Result<Linear, ForwardError>,
        scope: &Scope,
        [fc1, fc2]: [&str; 2],
        [inputs, hidden, outputs]: [usize; 3],
        activation: Activation,
    ) -> Result<Self, ForwardError> {
        let fc1 = linear(&scope.pp(fc1), inputs, hidden, true)?;
        let fc2 = linear(&scope.pp(fc2), hidden, outputs, true)?;
        Ok(Self { fc1, activation, fc2 })
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
