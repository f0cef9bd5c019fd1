//! Defines the network that ConvNeXt is: patches, stages of depth-wise convolutions, the mean over positions, and a linear layer.

use super::conv2d::Conv2d;
use super::depthwise_stage::DepthwiseStage;
use super::feature_map::FeatureMap;
use super::head::outputs_of_head;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::convolution::Grid;
use crate::network::{Context, Forward};
use crate::observer::Outputs;
use crate::pixels::Pixels;

/// Names the places of a [`DepthwiseNetwork`] that are traced, and its outputs.
#[derive(Debug, Clone, Copy)]
pub struct DepthwiseNames {
    /// Names the map before the first block of a stage, and the stage's blocks, of the number of the stage, counted from 0.
    pub stage: fn(usize) -> [String; 2],
    /// Names the normalised mean.
    pub norm: &'static str,
    /// Names the normalised mean as an output, and what the head makes of it.
    pub outputs: [&'static str; 2],
}

/// Computes head(norm(mean(stages(stem_norm(stem(x)))))), for an image of any size (Liu et al. 2022, arXiv:2201.03545, table 9). Both
/// norms are of each position's channels.
#[derive(Debug, Clone)]
pub struct DepthwiseNetwork {
    stem: (Conv2d, LayerNorm),
    stages: Vec<DepthwiseStage>,
    norm: LayerNorm,
    head: Option<Linear>,
    names: DepthwiseNames,
}

impl DepthwiseNetwork {
    /// Puts the layers together. Without a head, the normalised mean is the only output.
    pub fn new(
        stem: (Conv2d, LayerNorm),
        stages: Vec<DepthwiseStage>,
        norm: LayerNorm,
        head: Option<Linear>,
        names: DepthwiseNames,
    ) -> Self {
        Self { stem, stages, norm, head, names }
    }

    fn map(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), pixels.shape())?;
        let (stem, norm) = &self.stem;
        let patches = stem.forward(grid, cx)?;
        let mut map = FeatureMap { tokens: norm.forward(&patches.tokens, cx)?, ..patches };
        cx.recycle(patches.tokens);
        for (number, stage) in self.stages.iter().enumerate() {
            let [input, blocks] = (self.names.stage)(number);
            map = stage.forward(map, &input, &blocks, cx)?;
        }
        Ok(map)
    }
}

impl Forward for DepthwiseNetwork {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let pooled = self.norm.forward(&self.map(pixels, cx)?.mean()?, cx)?;
        cx.trace(self.names.norm, &pooled);
        outputs_of_head(self.names.outputs, &pooled, self.head.as_ref(), cx)
    }
}
