//! Defines the MLP of a transformer's block.

use super::grn::GlobalResponseNorm;
use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Scope;

/// Applies two linear layers with an activation between them, and after it a global response normalisation if there is one;
/// timm's `Mlp` and `GlobalResponseNormMlp`.
#[derive(Debug, Clone)]
pub struct Mlp {
    fc1: Linear,
    activation: Activation,
    norm: Option<GlobalResponseNorm>,
    fc2: Linear,
}

impl Mlp {
    /// Puts the layers together.
    pub fn new(fc1: Linear, activation: Activation, fc2: Linear) -> Self {
        Self { fc1, activation, norm: None, fc2 }
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
        Ok(Self::new(fc1, activation, fc2))
    }

    /// Returns the MLP with a normalisation after its activation, or without.
    #[must_use]
    pub fn normalized(self, norm: Option<GlobalResponseNorm>) -> Self {
        Self { norm, ..self }
    }

    /// Computes tokens × outputs.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let mut hidden = self.fc1.forward_with(x, self.activation, cx)?;
        if let Some(norm) = &self.norm {
            hidden = norm.forward(hidden, cx)?;
        }
        let out = self.fc2.forward(&hidden, cx)?;
        cx.recycle(hidden);
        Ok(out)
    }
}
