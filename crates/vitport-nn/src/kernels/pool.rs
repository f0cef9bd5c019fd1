//! Pools over an interleaved grid: windows as in a convolution, with PyTorch's two ways of rounding how many there are.

use rayon::prelude::*;

use super::convolution::{Grid, GridLayout, Window, taps};
use crate::error::ForwardError;
use crate::matrix::Matrix;

/// Says what becomes of the values under a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Takes the largest, or NaN if there is one.
    Max,
    /// Takes the mean, in which the padding counts as zeros or not at all.
    Mean {
        /// Says whether the padding counts.
        count_include_pad: bool,
    },
}

/// Describes the windows of a pooling; `ceil_mode` adds one that reaches beyond the end, if it begins before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Gives kernel, stride and padding.
    pub window: Window,
    /// Says whether the number of windows is rounded up.
    pub ceil_mode: bool,
    /// Says what becomes of their values.
    pub reduction: Reduction,
}

impl Pool {
    /// Returns (height, width) of what comes out of a grid of this height and width (`pooling_output_shape` in PyTorch's
    /// `aten/src/ATen/native/Pool.h`); none when the kernel does not fit or the padding is more than half of it.
    fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let Window { kernel, stride, padding, .. } = self.window;
        let along = |size: usize, kernel: usize, stride: usize, padding: usize, rounded_down: usize| {
            if padding > kernel / 2 {
                return None;
            }
            let end = size.checked_add(padding)?;
            let next = rounded_down.checked_mul(stride)?;
            let is_cut = next.checked_add(kernel)? < end.checked_add(padding)?.checked_add(stride)?;
            Some(if self.ceil_mode && is_cut && next < end {
                rounded_down.checked_add(1)?
            } else {
                rounded_down
            })
        };
        let (high, wide) = self.window.output_size(height, width)?;
        Some((
            along(height, kernel.0, stride.0, padding.0, high)?,
            along(width, kernel.1, stride.1, padding.1, wide)?,
        ))
    }

    /// Fills `out` with a row of channels for each window and returns the (height, width) of the windows.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when the grid is planar or the windows do not fit.
    pub fn apply(&self, grid: Grid<'_>, out: &mut Matrix) -> Result<(usize, usize), ForwardError> {
        let (channels, height, width) = grid.sizes();
        let size = self.output_size(height, width).filter(|_| grid.layout() == GridLayout::Interleaved);
        let Some((high, wide)) = size else {
            let detail = format!("{height} × {width} positions for {:?}", self.window);
            return Err(ForwardError::operands("a pooling", detail));
        };
        out.resize(high.saturating_mul(wide), channels, "the output of a pooling")?;
        let Window { kernel, stride, padding, .. } = self.window;
        let row_of_windows = (wide * channels).max(1);
        out.values_mut().par_chunks_mut(row_of_windows).enumerate().for_each(|(y, out)| {
            let rows = taps(kernel.0, y * stride.0, padding.0, height);
            for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                let columns = taps(kernel.1, x * stride.1, padding.1, width);
                let places =
                    rows.clone().flat_map(|(_, row)| columns.clone().map(move |(_, c)| row * width + c));
                let values = places.filter_map(|place| grid.values().chunks_exact(channels).nth(place));
                match self.reduction {
                    Reduction::Max => largest(values, out),
                    Reduction::Mean { count_include_pad } => {
                        let count = if count_include_pad {
                            let high = counted(kernel.0, y * stride.0, padding.0, height);
                            high * counted(kernel.1, x * stride.1, padding.1, width)
                        } else {
                            rows.clone().count() * columns.clone().count()
                        };
                        mean(values, count, out);
                    }
                }
            }
        });
        Ok((high, wide))
    }
}

/// Returns how many places of a window that begins at `start` in the padded grid lie in it.
fn counted(kernel: usize, start: usize, padding: usize, size: usize) -> usize {
    kernel.min((size + 2 * padding).saturating_sub(start))
}

fn largest<'a>(values: impl Iterator<Item = &'a [f32]>, out: &mut [f32]) {
    out.fill(f32::NEG_INFINITY);
    for values in values {
        for (largest, &value) in out.iter_mut().zip(values) {
            if value > *largest || value.is_nan() {
                *largest = value;
            }
        }
    }
}

fn mean<'a>(values: impl Iterator<Item = &'a [f32]>, count: usize, out: &mut [f32]) {
    out.fill(0.0);
    for values in values {
        for (sum, value) in out.iter_mut().zip(values) {
            *sum += value;
        }
    }
    let share = 1.0 / count as f32;
    for sum in out {
        *sum *= share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_do_not_fit_are_errors_and_nan_stays_visible() {
        let pool = |window, values: &[f32]| {
            let grid = Grid::new(values, 1, 2, 2, GridLayout::Interleaved).unwrap();
            let mut out = Matrix::new();
            Pool { window, ceil_mode: false, reduction: Reduction::Max }
                .apply(grid, &mut out)
                .map(|_| out.into_values())
        };
        assert!(pool(Window::square(3, 1, 0), &[0.0; 4]).is_err());
        assert!(pool(Window::square(2, 1, 2), &[0.0; 4]).is_err());
        assert!(pool(Window::square(2, 0, 0), &[0.0; 4]).is_err());
        assert_eq!(pool(Window::square(2, 2, 0), &[-3.0, -1.0, -4.0, -2.0]).unwrap(), [-1.0]);
        for place in 0..4 {
            let mut values = [1.0; 4];
            values[place] = f32::NAN;
            assert!(pool(Window::square(2, 2, 0), &values).unwrap()[0].is_nan());
        }
    }
}
