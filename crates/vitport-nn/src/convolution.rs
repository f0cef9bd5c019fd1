//! Two-dimensional convolution as a matrix product: every position of the kernel becomes a row of a
//! matrix (im2col), which the weight multiplies as it lies in the file. Where stride and kernel are
//! equal this is the patch embedding of a vision transformer.

use rayon::prelude::*;

use super::activation::Activation;
use super::error::ForwardError;
use super::linear::Linear;
use super::matrix::Matrix;
use super::weights::Weights;

/// How the values of a grid of channels lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// [channels, height, width], as pixels come.
    Planar,
    /// [height, width, channels]: tokens in rows.
    Interleaved,
}

/// Channels over a height and a width.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    values: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
    layout: Layout,
}

impl<'a> Grid<'a> {
    /// A grid over `values`.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when there are not exactly as many values as the sizes say, or a
    /// size is zero.
    pub fn new(
        values: &'a [f32],
        channels: usize,
        height: usize,
        width: usize,
        layout: Layout,
    ) -> Result<Self, ForwardError> {
        let area = height.checked_mul(width);
        let elements = area.and_then(|area| area.checked_mul(channels));
        if elements != Some(values.len()) || values.is_empty() {
            return Err(ForwardError::operands(
                "a convolution",
                format!("{} values for {channels} × {height} × {width}", values.len()),
            ));
        }
        Ok(Self { values, channels, height, width, layout })
    }

    /// The planar grid of a picture's pixels, which must have the shape that the network takes;
    /// shapes are [channels, height, width].
    ///
    /// # Errors
    /// [`ForwardError::Input`] when they differ, [`ForwardError::Operands`] as [`Grid::new`].
    pub fn of_pixels(
        pixels: &'a [f32],
        found: [usize; 3],
        expected: [usize; 3],
    ) -> Result<Self, ForwardError> {
        if found != expected {
            return Err(ForwardError::Input { expected, found });
        }
        let [channels, height, width] = found;
        Self::new(pixels, channels, height, width, Layout::Planar)
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn values(&self) -> &'a [f32] {
        self.values
    }

    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }
}

/// Kernel, stride and zero padding of a convolution, each as (along the height, along the width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Size of the kernel.
    pub kernel: (usize, usize),
    /// Distance between two positions of the kernel.
    pub stride: (usize, usize),
    /// Zeros added on each side.
    pub padding: (usize, usize),
}

impl Window {
    /// A square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: (kernel, kernel), stride: (stride, stride), padding: (padding, padding) }
    }

    /// (height, width) of what comes out of a grid of this height and width: ⌊(size + 2 padding −
    /// kernel) / stride⌋ + 1 (`torch.nn.Conv2d`), none when the kernel does not fit.
    pub fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let along = |size: usize, kernel: usize, stride: usize, padding: usize| {
            let room = size.checked_add(padding.checked_mul(2)?)?.checked_sub(kernel)?;
            if kernel == 0 { None } else { room.checked_div(stride)?.checked_add(1) }
        };
        Some((
            along(height, self.kernel.0, self.stride.0, self.padding.0)?,
            along(width, self.kernel.1, self.stride.1, self.padding.1)?,
        ))
    }
}

/// The input positions that lie inside the grid under one position of a kernel: for each tap, its
/// number and the position.
pub(super) fn taps(
    kernel: usize,
    start: usize,
    padding: usize,
    size: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..kernel).filter_map(move |tap| {
        let position = start.checked_add(tap)?.checked_sub(padding)?;
        (position < size).then_some((tap, position))
    })
}

/// A convolution, `torch.nn.Conv2d` with one group.
pub struct Convolution<'a> {
    window: Window,
    channels: usize,
    linear: Linear<'a>,
}

impl<'a> Convolution<'a> {
    /// A layer of `{name}.weight` [outputs, channels, kernel height, kernel width] and, if it has one,
    /// `{name}.bias` `[outputs]`.
    ///
    /// # Errors
    /// What [`Weights::tensor`] returns.
    pub fn load(
        weights: &'a dyn Weights,
        name: &str,
        channels: usize,
        outputs: usize,
        window: Window,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        let (high, wide) = window.kernel;
        let linear = Linear::of_shape(weights, name, &[outputs, channels, high, wide], has_bias)?;
        Ok(Self { window, channels, linear })
    }

    /// Fills `out` with one row of outputs for each position, positions row by row, and returns the
    /// (height, width) of the positions.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the grid has other channels or is smaller than the kernel.
    pub fn apply(&self, grid: Grid<'_>, out: &mut Matrix) -> Result<(usize, usize), ForwardError> {
        let size = self.window.output_size(grid.height, grid.width);
        let (Some((high, wide)), true) = (size, grid.channels == self.channels) else {
            return Err(ForwardError::operands(
                "a convolution",
                format!(
                    "{} channels of {} × {} for {} and {:?}",
                    grid.channels, grid.height, grid.width, self.channels, self.window
                ),
            ));
        };
        let mut patches = Matrix::new();
        self.unfold(grid, high, wide, &mut patches)?;
        self.linear.apply(&patches, Activation::Identity, out)?;
        Ok((high, wide))
    }

    /// im2col: row (y, x) holds what lies under the kernel there, ordered as the weight is, [channel,
    /// kernel row, kernel column], with zeros for the padding.
    fn unfold(
        &self,
        grid: Grid<'_>,
        high: usize,
        wide: usize,
        patches: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let what = "the unfolded input of a convolution";
        let (kernel_high, kernel_wide) = self.window.kernel;
        let area = kernel_high.saturating_mul(kernel_wide);
        let length = area.saturating_mul(self.channels);
        patches.resize(high.saturating_mul(wide), length, what)?;
        let (channel_stride, position_stride) = match grid.layout {
            Layout::Planar => (grid.height * grid.width, 1),
            Layout::Interleaved => (1, grid.channels),
        };
        let row_of_positions = (wide * length).max(1);
        patches.values_mut().par_chunks_mut(row_of_positions).enumerate().for_each(|(y, patches)| {
            patches.fill(0.0);
            let rows = taps(kernel_high, y * self.window.stride.0, self.window.padding.0, grid.height);
            for (x, patch) in patches.chunks_exact_mut(length.max(1)).enumerate() {
                let columns = taps(kernel_wide, x * self.window.stride.1, self.window.padding.1, grid.width);
                for (tap_y, row) in rows.clone() {
                    for (tap_x, column) in columns.clone() {
                        let from = (row * grid.width + column) * position_stride;
                        let to = tap_y * kernel_wide + tap_x;
                        let values = grid.values.iter().skip(from).step_by(channel_stride);
                        for (slot, value) in patch.iter_mut().skip(to).step_by(area).zip(values) {
                            *slot = *value;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    fn ramp(count: usize) -> Vec<f32> {
        (0..count).map(|value| ((value * 37 + 11) % 19) as f32 - 9.0).collect()
    }

    /// The definition of a convolution, for a planar grid.
    fn expected(
        x: &[f32],
        (channels, height, width): (usize, usize, usize),
        weight: &[f32],
        outputs: usize,
        window: Window,
    ) -> Vec<f32> {
        let (high, wide) = window.output_size(height, width).unwrap();
        let (kh, kw) = window.kernel;
        let mut out = Vec::new();
        for (y, x0) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
            for output in 0..outputs {
                let mut sum = 0.0;
                for (c, i, j) in
                    (0..channels).flat_map(|c| (0..kh).flat_map(move |i| (0..kw).map(move |j| (c, i, j))))
                {
                    let row = (y * window.stride.0 + i) as isize - window.padding.0 as isize;
                    let column = (x0 * window.stride.1 + j) as isize - window.padding.1 as isize;
                    if (0..height as isize).contains(&row) && (0..width as isize).contains(&column) {
                        sum += x[(c * height + row as usize) * width + column as usize]
                            * weight[((output * channels + c) * kh + i) * kw + j];
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn kernels_strides_paddings_and_layouts() {
        let (channels, height, width, outputs) = (3, 9, 7, 4);
        for window in [
            Window::square(3, 1, 1),
            Window::square(7, 4, 2),
            Window::square(2, 2, 0),
            Window { kernel: (2, 3), stride: (3, 1), padding: (0, 2) },
        ] {
            let x = ramp(channels * height * width);
            let weight = ramp(outputs * channels * window.kernel.0 * window.kernel.1);
            let mut weights = StateDict::new();
            let shape = [outputs, channels, window.kernel.0, window.kernel.1];
            weights.insert("proj.weight", &shape, weight.clone()).unwrap();
            let convolution = Convolution::load(&weights, "proj", channels, outputs, window, false).unwrap();
            let expected = expected(&x, (channels, height, width), &weight, outputs, window);

            let mut out = Matrix::new();
            let planar = Grid::new(&x, channels, height, width, Layout::Planar).unwrap();
            let size = convolution.apply(planar, &mut out).unwrap();
            assert_eq!(Some(size), window.output_size(height, width));
            assert_eq!(out.values(), expected, "{window:?}");

            let tokens: Vec<f32> = (0..height * width)
                .flat_map(|position| (0..channels).map(move |c| c * height * width + position))
                .map(|index| x[index])
                .collect();
            let interleaved = Grid::new(&tokens, channels, height, width, Layout::Interleaved).unwrap();
            convolution.apply(interleaved, &mut out).unwrap();
            assert_eq!(out.values(), expected, "{window:?}, interleaved");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        assert!(Grid::new(&[0.0; 11], 3, 2, 2, Layout::Planar).is_err());
        assert!(Grid::new(&[], 0, 2, 2, Layout::Planar).is_err());
        assert_eq!(Window::square(3, 0, 0).output_size(9, 9), None);
        assert_eq!(Window::square(0, 1, 0).output_size(9, 9), None);
        assert_eq!(Window::square(5, 1, 1).output_size(2, 9), None);
        assert_eq!(Window::square(1, 1, usize::MAX).output_size(2, 2), None);
        let mut weights = StateDict::new();
        weights.insert("proj.weight", &[1, 2, 3, 3], vec![0.0; 18]).unwrap();
        let convolution = Convolution::load(&weights, "proj", 2, 1, Window::square(3, 1, 0), false).unwrap();
        let values = [0.0; 12];
        let mut out = Matrix::new();
        for (channels, height, width) in [(3, 2, 2), (2, 2, 3)] {
            let grid = Grid::new(&values, channels, height, width, Layout::Planar).unwrap();
            assert!(convolution.apply(grid, &mut out).is_err());
        }
    }
}
