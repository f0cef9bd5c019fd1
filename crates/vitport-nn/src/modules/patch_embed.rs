//! Defines what cuts an image into patches.

use super::conv2d::Conv2d;
use crate::error::ForwardError;
use crate::kernels::convolution::{Grid, Window};
use crate::matrix::Matrix;
use crate::network::Context;
use crate::pixels::Pixels;
use crate::scope::Scope;

/// Makes a token of each patch of an image by a convolution whose stride is its kernel; timm's `PatchEmbed`.
#[derive(Debug, Clone)]
pub struct PatchEmbed {
    input: [usize; 3],
    grid: (usize, usize),
    projection: Conv2d,
}

impl PatchEmbed {
    /// Registers the convolution in `scope`, for images of the shape [channels, height, width] and patches of (height, width). It
    /// makes tokens of `width` features.
    ///
    /// # Errors
    /// Returns what [`Conv2d::new`] does.
    pub fn new(
        scope: &Scope,
        input: [usize; 3],
        patch: (usize, usize),
        width: usize,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        let [channels, rows, columns] = input;
        let window = Window::patches(patch);
        Ok(Self {
            input,
            grid: window.output_size(rows, columns).unwrap_or((0, 0)),
            projection: Conv2d::new(scope, channels, width, window, has_bias)?,
        })
    }

    /// Returns how many rows and columns of patches there are.
    pub fn grid(&self) -> (usize, usize) {
        self.grid
    }

    /// Returns how many patches there are.
    pub fn count(&self) -> usize {
        self.grid.0.saturating_mul(self.grid.1)
    }

    /// Computes patches × width, row after row of patches.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the image has another shape.
    pub fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let grid = Grid::of_pixels(pixels.values(), pixels.shape(), self.input)?;
        Ok(self.projection.forward(grid, cx)?.tokens)
    }
}
