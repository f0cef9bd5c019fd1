//! The norms of a timm `VisionTransformer`, which all are of one class.

use super::config::{Config, NormLayer};
use crate::nn::{Context, ForwardError, LayerNorm, Matrix, Norm, RmsNorm, Scope};

/// Builds timm's `LayerNorm` or `RmsNorm`.
pub(super) fn new(scope: &Scope, config: &Config, features: usize) -> Result<Norm, ForwardError> {
    Ok(match config.block_norm {
        NormLayer::LayerNorm => Norm::Layer(LayerNorm::new(scope, features, config.norm_eps)?),
        NormLayer::RmsNorm => Norm::Rms(RmsNorm::new(scope, features, config.norm_eps)?),
    })
}

/// Normalises where there is a norm.
pub(super) fn forward_if(
    norm: Option<&Norm>,
    x: Matrix,
    cx: &mut Context<'_>,
) -> Result<Matrix, ForwardError> {
    let Some(norm) = norm else { return Ok(x) };
    let normalized = norm.forward(&x, cx)?;
    cx.recycle(x);
    Ok(normalized)
}
