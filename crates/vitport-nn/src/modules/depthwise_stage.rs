//! Defines a stage of ConvNeXt, and all of it before pooling.

use super::conv2d::Conv2d;
use super::depthwise_block::{DepthwiseBlock, NormConv};
use super::feature_map::FeatureMap;
use super::layer_norm::LayerNorm;
use crate::error::ForwardError;
use crate::kernels::convolution::Grid;
use crate::network::Context;
use crate::pixels::Pixels;

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

/// Computes ConvNeXt up to its last stage: a convolution, a layer normalisation of each position, and stages.
#[derive(Debug, Clone)]
pub struct DepthwiseStages {
    stem: Conv2d,
    norm: LayerNorm,
    stages: Vec<DepthwiseStage>,
}

impl DepthwiseStages {
    /// Puts the layers together.
    pub fn new(stem: Conv2d, norm: LayerNorm, stages: Vec<DepthwiseStage>) -> Self {
        Self { stem, norm, stages }
    }

    /// Returns the map that comes out, of an image of any size. `places` has the names for a stage's number under which
    /// [`DepthwiseStage::forward`] traces.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the image has other channels.
    pub fn forward(
        &self,
        pixels: &Pixels,
        places: impl Fn(usize) -> [String; 2],
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), pixels.shape())?;
        let patches = self.stem.forward(grid, cx)?;
        let mut map = FeatureMap { tokens: self.norm.forward(&patches.tokens, cx)?, ..patches };
        cx.recycle(patches.tokens);
        for (number, stage) in self.stages.iter().enumerate() {
            let [input, blocks] = places(number);
            map = stage.forward(map, &input, &blocks, cx)?;
        }
        Ok(map)
    }
}
