//! Defines the network that ResNet, RegNet and EfficientNet are: a convolution, stages of residual blocks, perhaps another convolution,
//! the mean over positions, and a linear layer.

use super::feature_map::FeatureMap;
use super::head::outputs_of_head;
use super::linear::Linear;
use super::pool::MaxPool2d;
use super::residual_block::{ConvNorm, ResidualBlock};
use crate::error::ForwardError;
use crate::kernels::convolution::Grid;
use crate::network::{Context, Forward};
use crate::observer::Outputs;
use crate::pixels::Pixels;

/// Makes stages of blocks, one for each of `depths`. `channels` has those of the stem, then those that come out of each stage. The
/// first block of a stage changes channels and halves the map; that of the first stage only if `halves_first`. `block` makes one of
/// the numbers of the stage and of the block in it, both counted from 0, of the channels before and after it, and of its stride.
///
/// # Errors
/// Returns [`ForwardError::Config`] if there is no stage, or one without channels, and what `block` does.
pub fn residual_stages(
    channels: &[usize],
    depths: &[usize],
    halves_first: bool,
    block: impl Fn([usize; 2], [usize; 2], usize) -> Result<ResidualBlock, ForwardError>,
) -> Result<Vec<Vec<ResidualBlock>>, ForwardError> {
    if depths.is_empty() || channels.len() <= depths.len() {
        let detail = format!("the stem and {} stages have channels {channels:?}", depths.len());
        return Err(ForwardError::config(detail));
    }
    let sides = channels.iter().zip(channels.iter().skip(1));
    let stage = |(stage, (&depth, (&inputs, &outputs))): (usize, (&usize, (&usize, &usize)))| {
        let stride = if stage > 0 || halves_first { 2 } else { 1 };
        let make = |number| match number {
            0 => block([stage, number], [inputs, outputs], stride),
            _ => block([stage, number], [outputs, outputs], 1),
        };
        (0..depth).map(make).collect()
    };
    depths.iter().zip(sides).enumerate().map(stage).collect()
}

/// Names the places of a [`ResidualNetwork`] that are traced, and its outputs.
#[derive(Debug, Clone, Copy)]
pub struct ResidualNames {
    /// Names the map before the first stage.
    pub stem: &'static str,
    /// Names the map after a block, of the numbers of the stage and of the block in it, both counted from 0.
    pub block: fn(usize, usize) -> String,
    /// Names the mean over positions, and what the head makes of it.
    pub outputs: [&'static str; 2],
}

/// Computes head(mean(last(stages(pool(stem(x)))))), for an image of any size (He et al. 2015, arXiv:1512.03385, table 1; Radosavovic et
/// al. 2020, arXiv:2003.13678, figure 3).
#[derive(Debug, Clone)]
pub struct ResidualNetwork {
    stem: ConvNorm,
    pool: Option<MaxPool2d>,
    stages: Vec<Vec<ResidualBlock>>,
    last: Option<(&'static str, ConvNorm)>,
    head: Option<Linear>,
    names: ResidualNames,
}

impl ResidualNetwork {
    /// Puts the layers together. Without a head, the mean is the only output.
    pub fn new(
        stem: ConvNorm,
        pool: Option<MaxPool2d>,
        stages: Vec<Vec<ResidualBlock>>,
        head: Option<Linear>,
        names: ResidualNames,
    ) -> Self {
        Self { stem, pool, stages, last: None, head, names }
    }

    /// Returns the network with a convolution after its stages, and the name of the map that comes out of it.
    #[must_use]
    pub fn ending_in(self, name: &'static str, last: ConvNorm) -> Self {
        Self { last: Some((name, last)), ..self }
    }

    fn map(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), pixels.shape())?;
        let mut map = self.stem.forward(grid, cx)?;
        if let Some(pool) = &self.pool {
            let pooled = pool.forward(&map, cx)?;
            cx.recycle(std::mem::replace(&mut map, pooled).tokens);
        }
        cx.trace(self.names.stem, &map.tokens);
        for (stage, blocks) in self.stages.iter().enumerate() {
            for (number, block) in blocks.iter().enumerate() {
                map = block.forward(map, cx)?;
                cx.trace(&(self.names.block)(stage, number), &map.tokens);
            }
        }
        if let Some((name, last)) = &self.last {
            let out = last.forward(map.grid()?, cx)?;
            cx.recycle(std::mem::replace(&mut map, out).tokens);
            cx.trace(name, &map.tokens);
        }
        Ok(map)
    }
}

impl Forward for ResidualNetwork {
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        let pooled = self.map(pixels, cx)?.mean()?;
        outputs_of_head(self.names.outputs, &pooled, self.head.as_ref(), cx)
    }
}
