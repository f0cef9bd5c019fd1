//! Defines the norms that networks choose from.

use super::layer_norm::LayerNorm;
use super::layer_scale::LayerScale;
use super::rms_norm::RmsNorm;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;

/// Normalises tokens in the way that the network is made with.
#[derive(Debug, Clone)]
pub enum Norm {
    /// Takes away the mean.
    Layer(LayerNorm),
    /// Divides only by the root mean square.
    Rms(RmsNorm),
}

impl Norm {
    /// Normalises each row of x, tokens × features.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match self {
            Self::Layer(norm) => norm.forward(x, cx),
            Self::Rms(norm) => norm.forward(x, cx),
        }
    }

    /// Adds to x what a branch makes of the normalised x, scaled where there is a scale: x ← x + scale(branch(norm(x))).
    ///
    /// # Errors
    /// Returns what the branch does, and [`ForwardError`] when its result has another shape than x.
    pub fn add_branch(
        &self,
        x: &mut Matrix,
        scale: Option<&LayerScale>,
        cx: &mut Context<'_>,
        branch: impl FnOnce(&Matrix, &mut Context<'_>) -> Result<Matrix, ForwardError>,
    ) -> Result<(), ForwardError> {
        let normalized = self.forward(x, cx)?;
        let output = branch(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(scale, x, output, cx)
    }
}
