//! Defines two-dimensional convolution.

use super::batch_norm::BatchNorm2d;
use super::feature_map::FeatureMap;
use crate::error::ForwardError;
use crate::kernels::convolution::{Convolution, Grid, Window};
use crate::kernels::depthwise::DepthwiseConvolution;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes `torch.nn.Conv2d` with zero padding, of one group, of several, or of as many as there are channels (depth-wise); or
/// timm's `Conv2dSame`, which pads by the size of what it reads.
#[derive(Debug, Clone)]
pub struct Conv2d {
    weight: Parameter,
    bias: Option<Parameter>,
    window: Window,
    groups: usize,
    is_depthwise: bool,
    pads_same: bool,
}

impl Conv2d {
    /// Registers `weight` [outputs, channels, kernel height, kernel width] and, if it has one, `bias` `[outputs]`, of a
    /// convolution in which every output sees every channel.
    ///
    /// # Errors
    /// Returns what [`Scope::weight`] does.
    pub fn new(
        scope: &Scope,
        channels: usize,
        outputs: usize,
        window: Window,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        Self::grouped(scope, channels, outputs, 1, window, has_bias)
    }

    /// Registers `weight` [outputs, channels / groups, kernel height, kernel width] and, if it has one, `bias` `[outputs]`,
    /// of a convolution whose channels and outputs fall into `groups`, each of which sees only its own.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when channels or outputs are not a multiple of the groups, and what [`Scope::weight`]
    /// does.
    pub fn grouped(
        scope: &Scope,
        channels: usize,
        outputs: usize,
        groups: usize,
        window: Window,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        if groups == 0 || !channels.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            let detail = format!("a convolution of {channels} channels into {outputs} has {groups} groups");
            return Err(ForwardError::config(detail));
        }
        let (high, wide) = window.kernel;
        let weight = scope.weight("weight", &[outputs, channels / groups, high, wide])?;
        let bias = has_bias.then(|| scope.parameter("bias", &[outputs])).transpose()?;
        let is_depthwise = groups > 1 && groups == channels && groups == outputs;
        Ok(Self { weight, bias, window, groups, is_depthwise, pads_same: false })
    }

    /// Registers `weight` [channels, 1, kernel height, kernel width] and, if it has one, `bias` `[channels]`, of a
    /// convolution of each channel by itself (`groups = channels`).
    ///
    /// # Errors
    /// Returns what [`Scope::weight`] does.
    pub fn depthwise(
        scope: &Scope,
        channels: usize,
        window: Window,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        Ok(Self {
            is_depthwise: true,
            ..Self::grouped(scope, channels, channels, channels, window, has_bias)?
        })
    }

    /// Returns the convolution with TensorFlow's padding `SAME` in place of the window's, or as it is.
    #[must_use]
    pub fn padded_same(self, pads_same: bool) -> Self {
        Self { pads_same, ..self }
    }

    /// Returns the window with the padding that it has on a grid.
    fn window_on(&self, grid: Grid<'_>) -> Window {
        let (_, height, width) = grid.sizes();
        if self.pads_same { self.window.padded_same(height, width) } else { self.window }
    }

    /// Convolves a grid of channels.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, or the grid has other channels or is smaller than the kernel.
    pub fn forward(&self, grid: Grid<'_>, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let window = self.window_on(grid);
        if self.is_depthwise {
            let addend = match &self.bias {
                Some(bias) => bias.read(cx.weights())?,
                None => vec![0.0; grid.channels()],
            };
            let kernels = self.weight.read(cx.weights())?;
            return self.each_channel(&DepthwiseConvolution::new(&kernels, None, addend, window)?, grid, cx);
        }
        let (_, high, wide) = grid.sizes();
        let (high, wide) = window.output_size(high, wide).unwrap_or((0, 0));
        let (shape, rows) = (self.weight.shape(), high.saturating_mul(wide));
        let length = shape.iter().skip(1).fold(rows, |product, &size| product.saturating_mul(size));
        let mut patches = cx.scratch(length);
        let mut tokens = cx.scratch(shape.first().map_or(0, |&outputs| rows.saturating_mul(outputs)));
        let (weights, bias) = (cx.weights(), self.bias.as_ref());
        let convolution = Convolution::load(weights, &self.weight, bias, window, self.groups)?;
        let (height, width) = convolution.apply(grid, &mut patches, &mut tokens)?;
        cx.recycle(patches);
        Ok(FeatureMap { tokens, height, width })
    }

    /// Convolves a grid depth-wise without bias and normalises what comes out, both in one step.
    ///
    /// # Errors
    /// Returns what [`Conv2d::forward`] does.
    pub fn forward_normalized(
        &self,
        norm: &BatchNorm2d,
        grid: Grid<'_>,
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        let kernels = self.weight.read(cx.weights())?;
        let folded = norm.folded(cx)?;
        let window = self.window_on(grid);
        let kernel = DepthwiseConvolution::new(&kernels, Some(&folded.factors), folded.addend, window)?;
        self.each_channel(&kernel, grid, cx)
    }

    fn each_channel(
        &self,
        convolution: &DepthwiseConvolution,
        grid: Grid<'_>,
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        let (channels, high, wide) = grid.sizes();
        let Some((height, width)) = convolution.output_size(high, wide) else {
            let name = self.weight.name();
            let detail = format!("{name}: {high} × {wide} positions are too few for {:?}", self.window);
            return Err(ForwardError::config(detail));
        };
        let rows = height.saturating_mul(width);
        let mut tokens = cx.scratch(rows.saturating_mul(channels));
        tokens.resize(rows, channels, "the output of a depth-wise convolution")?;
        convolution.apply(grid, tokens.values_mut())?;
        Ok(FeatureMap { tokens, height, width })
    }
}
