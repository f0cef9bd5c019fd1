//! The norms of a timm `VisionTransformer`, which all are of one class.

use super::config::{Config, NormLayer};
use crate::nn::{Context, ForwardError, LayerNorm, Matrix, RmsNorm, Scope};

/// Stands for timm's `LayerNorm` or `RmsNorm`.
pub(super) enum Norm {
    Layer(LayerNorm),
    Rms(RmsNorm),
}

impl Norm {
    pub(super) fn new(scope: &Scope, config: &Config, features: usize) -> Result<Self, ForwardError> {
        Ok(match config.block_norm {
            NormLayer::LayerNorm => Self::Layer(LayerNorm::new(scope, features, config.norm_eps)?),
            NormLayer::RmsNorm => Self::Rms(RmsNorm::new(scope, features, config.norm_eps)?),
        })
    }

    pub(super) fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match self {
            Self::Layer(norm) => norm.forward(x, cx),
            Self::Rms(norm) => norm.forward(x, cx),
        }
    }

    /// Normalises where there is a norm.
    pub(super) fn forward_if(
        norm: Option<&Self>,
        x: Matrix,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let Some(norm) = norm else { return Ok(x) };
        let normalized = norm.forward(&x, cx)?;
        cx.recycle(x);
        Ok(normalized)
    }
}
