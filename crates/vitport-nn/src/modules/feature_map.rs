//! Defines what convolutions hand to each other: positions in rows, channels in columns.

use super::tokens::mean_of_rows;
use crate::error::ForwardError;
use crate::kernels::convolution::{Grid, GridLayout};
use crate::matrix::Matrix;

/// Holds channels over a height and a width, as tokens: row y · width + x of `tokens` holds the channels at (y, x).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeatureMap {
    /// Holds height × width rows of channels.
    pub tokens: Matrix,
    /// Counts the positions down.
    pub height: usize,
    /// Counts the positions across.
    pub width: usize,
}

impl FeatureMap {
    /// Returns the map as a convolution reads it.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when there are not exactly height × width rows.
    pub fn grid(&self) -> Result<Grid<'_>, ForwardError> {
        Grid::new(
            self.tokens.values(),
            self.tokens.columns(),
            self.height,
            self.width,
            GridLayout::Interleaved,
        )
    }

    /// Returns the mean over all positions, one row of channels: global average pooling.
    ///
    /// # Errors
    /// Returns what [`Matrix::from_values`] does.
    pub fn mean(&self) -> Result<Matrix, ForwardError> {
        Matrix::from_values(1, self.tokens.columns(), mean_of_rows(&self.tokens))
    }
}
