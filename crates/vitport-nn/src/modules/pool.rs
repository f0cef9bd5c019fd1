//! Defines pooling layers.

use super::feature_map::FeatureMap;
use crate::error::ForwardError;
use crate::kernels::convolution::Window;
use crate::kernels::pool::{Pool, Reduction};
use crate::network::Context;

/// Takes the largest value under each window; `torch.nn.MaxPool2d`.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool2d(Pool);

impl MaxPool2d {
    /// Takes the window and whether the number of windows is rounded up.
    pub fn new(window: Window, ceil_mode: bool) -> Self {
        Self(Pool { window, ceil_mode, reduction: Reduction::Max })
    }

    /// Pools a map.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when the map is smaller than the window, or the padding more than half of it.
    pub fn forward(&self, map: &FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        forward(&self.0, map, cx)
    }
}

/// Takes the mean under each window; `torch.nn.AvgPool2d`.
#[derive(Debug, Clone, Copy)]
pub struct AvgPool2d(Pool);

impl AvgPool2d {
    /// Takes the window, whether the number of windows is rounded up, and whether padding counts as zeros in the mean.
    pub fn new(window: Window, ceil_mode: bool, count_include_pad: bool) -> Self {
        Self(Pool { window, ceil_mode, reduction: Reduction::Mean { count_include_pad } })
    }

    /// Pools a map.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when the map is smaller than the window, or the padding more than half of it.
    pub fn forward(&self, map: &FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        forward(&self.0, map, cx)
    }
}

fn forward(pool: &Pool, map: &FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
    let mut tokens = cx.scratch(map.tokens.values().len());
    let (height, width) = pool.apply(map.grid()?, &mut tokens)?;
    Ok(FeatureMap { tokens, height, width })
}
