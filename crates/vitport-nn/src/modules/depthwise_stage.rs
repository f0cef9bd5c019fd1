//! Defines a stage of ConvNeXt.

use super::depthwise_block::{DepthwiseBlock, NormConv};
use super::feature_map::FeatureMap;
use crate::error::ForwardError;
use crate::network::Context;

/// Computes a stage of ConvNeXt: blocks after a layer that halves height and width, which the first stage lacks.
#[derive(Debug, Clone)]
pub struct DepthwiseStage {
    downsample: Option<NormConv>,
    blocks: Vec<DepthwiseBlock>,
}

impl DepthwiseStage {
    /// Puts the layers together.
    pub fn new(downsample: Option<NormConv>, blocks: Vec<DepthwiseBlock>) -> Self {
        Self { downsample, blocks }
    }

    /// Returns the map that comes out. The map before the first block is traced as `input`, that after each block as
    /// `blocks` with its number.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(
        &self,
        mut map: FeatureMap,
        input: &str,
        blocks: &str,
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        if let Some(downsample) = &self.downsample {
            map = downsample.forward(map, cx)?;
        }
        cx.trace(input, &map.tokens);
        for (number, block) in self.blocks.iter().enumerate() {
            block.forward(&mut map, cx)?;
            cx.trace(&format!("{blocks}.{number}"), &map.tokens);
        }
        Ok(map)
    }
}
