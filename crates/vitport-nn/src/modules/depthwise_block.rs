//! Defines ConvNeXt's block, and what stands between its stages.

use super::conv2d::Conv2d;
use super::feature_map::FeatureMap;
use super::layer_norm::LayerNorm;
use super::layer_scale::LayerScale;
use super::mlp::Mlp;
use crate::error::ForwardError;
use crate::network::Context;

/// Computes x ← x + γ · mlp(norm(conv(x))), with a depth-wise convolution that keeps height and width (Liu et al. 2022,
/// arXiv:2201.03545, figure 4).
#[derive(Debug, Clone)]
pub struct DepthwiseBlock {
    conv: Conv2d,
    norm: LayerNorm,
    mlp: Mlp,
    scale: Option<LayerScale>,
}

impl DepthwiseBlock {
    /// Puts the layers together.
    pub fn new(conv: Conv2d, norm: LayerNorm, mlp: Mlp, scale: Option<LayerScale>) -> Self {
        Self { conv, norm, mlp, scale }
    }

    /// Adds the block's branch to a map.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(&self, map: &mut FeatureMap, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        let convolved = self.conv.forward(map.grid()?, cx)?.tokens;
        let normalized = self.norm.forward(&convolved, cx)?;
        cx.recycle(convolved);
        let branch = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.scale.as_ref(), &mut map.tokens, branch, cx)
    }
}

/// Computes a layer normalisation of each position with a convolution after it: how ConvNeXt halves height and width.
#[derive(Debug, Clone)]
pub struct NormConv {
    norm: LayerNorm,
    conv: Conv2d,
}

impl NormConv {
    /// Puts the layers together.
    pub fn new(norm: LayerNorm, conv: Conv2d) -> Self {
        Self { norm, conv }
    }

    /// Returns the map that comes out.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(&self, map: FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let normalized = FeatureMap { tokens: self.norm.forward(&map.tokens, cx)?, ..map };
        cx.recycle(map.tokens);
        let out = self.conv.forward(normalized.grid()?, cx)?;
        cx.recycle(normalized.tokens);
        Ok(out)
    }
}
