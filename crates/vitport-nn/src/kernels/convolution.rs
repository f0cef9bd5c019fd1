//! Computes a two-dimensional convolution as a matrix product: every position of the kernel becomes a row of a matrix (im2col),
//! which the weight multiplies. Where stride and kernel are equal this is the patch embedding of a vision transformer.

use std::ops::Range;

use rayon::prelude::*;

use super::activation::Activation;
use super::linear::LinearKernel;
use super::product::Rows;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::scope::Parameter;
use crate::weights::Weights;

/// Says how the values of a grid of channels lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GridLayout {
    /// Means [channels, height, width], as pixels come.
    Planar,
    /// Means [height, width, channels]: tokens in rows.
    Interleaved,
}

/// Describes channels over a height and a width.
#[derive(Debug, Clone, Copy)]
pub struct Grid<'a> {
    values: &'a [f32],
    channels: usize,
    height: usize,
    width: usize,
    layout: GridLayout,
}

impl<'a> Grid<'a> {
    /// Makes a grid over `values`.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when there are not exactly as many values as the sizes say, or a
    /// size is zero.
    pub fn new(
        values: &'a [f32],
        channels: usize,
        height: usize,
        width: usize,
        layout: GridLayout,
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

    /// Makes the planar grid of an image's pixels, which must have the shape that the network takes; shapes are [channels,
    /// height, width].
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
        Self::new(pixels, channels, height, width, GridLayout::Planar)
    }

    /// Returns the number of channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    pub(super) fn values(&self) -> &'a [f32] {
        self.values
    }

    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    pub(super) fn layout(&self) -> GridLayout {
        self.layout
    }
}

/// Describes the kernel, stride and zero padding of a convolution, each as (along the height, along the width).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Gives the size of the kernel.
    pub kernel: (usize, usize),
    /// Gives the distance between two positions of the kernel.
    pub stride: (usize, usize),
    /// Counts the zeros added on each side.
    pub padding: (usize, usize),
    /// Counts the zeros added below and right beyond those.
    pub extra: (usize, usize),
}

impl Window {
    /// Makes a square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            kernel: (kernel, kernel),
            stride: (stride, stride),
            padding: (padding, padding),
            extra: (0, 0),
        }
    }

    /// Makes a square window of an odd kernel that stands over the middle of what it reads: padded by half of it, rounded down.
    pub fn centered(kernel: usize, stride: usize) -> Self {
        Self::square(kernel, stride, kernel / 2)
    }

    /// Makes a window of patches of (height, width): side by side, without padding.
    pub fn patches(size: (usize, usize)) -> Self {
        Self { kernel: size, stride: size, padding: (0, 0), extra: (0, 0) }
    }

    /// Returns the window with one more row of zeros below and one more column right of what it reads than above and left of it.
    #[must_use]
    pub fn one_more_behind(self) -> Self {
        Self { extra: (1, 1), ..self }
    }

    /// Returns the window with TensorFlow's padding `SAME` for a grid of this height and width: ⌈size / stride⌉ positions, and of the
    /// zeros that these need the smaller half above and left (timm's `Conv2dSame`).
    #[must_use]
    pub fn padded_same(self, height: usize, width: usize) -> Self {
        let along = |size: usize, kernel: usize, stride: usize| {
            let span = size.div_ceil(stride.max(1)).saturating_sub(1).saturating_mul(stride);
            let zeros = span.saturating_add(kernel).saturating_sub(size);
            (zeros / 2, zeros % 2)
        };
        let (above, below) = along(height, self.kernel.0, self.stride.0);
        let (left, right) = along(width, self.kernel.1, self.stride.1);
        Self { padding: (above, left), extra: (below, right), ..self }
    }

    /// Returns the (height, width) of what comes out of a grid of this height and width: ⌊(size + 2 padding + extra − kernel) /
    /// stride⌋ + 1 (`torch.nn.Conv2d`), none when the kernel does not fit.
    pub fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        let along = |size: usize, kernel: usize, stride: usize, padding: usize, extra: usize| {
            let padded = size.checked_add(padding.checked_mul(2)?)?.checked_add(extra)?;
            let span = padded.checked_sub(kernel)?;
            if kernel == 0 { None } else { span.checked_div(stride)?.checked_add(1) }
        };
        Some((
            along(height, self.kernel.0, self.stride.0, self.padding.0, self.extra.0)?,
            along(width, self.kernel.1, self.stride.1, self.padding.1, self.extra.1)?,
        ))
    }
}

/// Returns the input positions that lie inside the grid under one position of a kernel: for each tap, its number and the
/// position.
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

/// Describes a convolution in which all outputs of a group see all its channels.
pub struct Convolution<'a> {
    window: Window,
    groups: usize,
    /// Gives the channels of one group.
    channels: usize,
    linear: LinearKernel<'a>,
}

impl<'a> Convolution<'a> {
    /// Reads the bias and checks that the weight [outputs, channels of a group, kernel height, kernel width] is there.
    ///
    /// # Errors
    /// Returns what [`Weights::tensor`] does.
    pub fn load(
        weights: &'a dyn Weights,
        weight: &'a Parameter,
        bias: Option<&Parameter>,
        window: Window,
        groups: usize,
    ) -> Result<Self, ForwardError> {
        let channels = weight.shape().get(1).copied().unwrap_or(0);
        Ok(Self { window, groups, channels, linear: LinearKernel::load(weights, weight, bias)? })
    }

    /// Fills `out` with one row of outputs for each position, positions row by row, and returns the
    /// (height, width) of the positions. `patches` is memory for the unfolded input.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the grid has other channels or is smaller than the kernel, or the outputs are not a
    /// multiple of the groups.
    pub fn apply(
        &self,
        grid: Grid<'_>,
        patches: &mut Matrix,
        out: &mut Matrix,
    ) -> Result<(usize, usize), ForwardError> {
        let misfit = || {
            let detail = format!(
                "{} channels of {} × {} for {} groups of {} and {:?}",
                grid.channels, grid.height, grid.width, self.groups, self.channels, self.window
            );
            ForwardError::operands("a convolution", detail)
        };
        let size = self.window.output_size(grid.height, grid.width).ok_or_else(misfit)?;
        let outputs = self.linear.outputs();
        if self.channels.checked_mul(self.groups) != Some(grid.channels)
            || !outputs.is_multiple_of(self.groups)
        {
            return Err(misfit());
        }
        if self.groups == 1 {
            self.group(0, &self.linear, grid, size, patches, out)?;
            return Ok(size);
        }
        out.resize(size.0.saturating_mul(size.1), outputs, "the output of a convolution")?;
        let (of_group, mut part) = (outputs / self.groups, Matrix::new());
        for group in 0..self.groups {
            let columns = group * of_group..(group + 1) * of_group;
            let linear = self.linear.of_outputs(columns.clone()).ok_or_else(misfit)?;
            self.group(group, &linear, grid, size, patches, &mut part)?;
            let rows = out.values_mut().chunks_exact_mut(outputs);
            for (row, values) in rows.zip(part.values().chunks_exact(of_group)) {
                row.get_mut(columns.clone()).ok_or_else(misfit)?.copy_from_slice(values);
            }
        }
        Ok(size)
    }

    /// Fills `out` with the outputs of one group.
    fn group(
        &self,
        group: usize,
        linear: &LinearKernel<'_>,
        grid: Grid<'_>,
        (high, wide): (usize, usize),
        patches: &mut Matrix,
        out: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let is_interleaved = grid.layout == GridLayout::Interleaved;
        if is_interleaved && self.groups == 1 && self.window == Window::square(1, 1, 0) {
            return linear.multiply(grid.values, linear, Activation::Identity, out);
        }
        self.unfold(grid, group, high, wide, patches)?;
        let area = self.window.kernel.0.saturating_mul(self.window.kernel.1);
        if is_interleaved && area > 1 {
            let right = ChannelsLast { linear, area, channels: self.channels };
            return linear.multiply(patches.values(), &right, Activation::Identity, out);
        }
        linear.multiply(patches.values(), linear, Activation::Identity, out)
    }

    /// Unfolds a grid (im2col): row (y, x) holds what lies under the kernel there, with zeros for the padding, in the order in
    /// which it is copied in runs: [channel, kernel row, kernel column] from a planar grid, [kernel row, kernel column, channel]
    /// from an interleaved one.
    fn unfold(
        &self,
        grid: Grid<'_>,
        group: usize,
        high: usize,
        wide: usize,
        patches: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let what = "the unfolded input of a convolution";
        let Window { kernel, stride, padding, extra } = self.window;
        let area = kernel.0.saturating_mul(kernel.1);
        let length = area.saturating_mul(self.channels);
        patches.resize(high.saturating_mul(wide), length, what)?;
        let Grid { values, height, width, .. } = grid;
        // Values of a position that lie together, the distance of positions, of planes, and where the group begins.
        let (unit, position, plane, first) = match grid.layout {
            GridLayout::Planar => (1, 1, height * width, group * self.channels * height * width),
            GridLayout::Interleaved => (self.channels, grid.channels, 0, group * self.channels),
        };
        let row_of_positions = (wide * length).max(1);
        patches.values_mut().par_chunks_mut(row_of_positions).enumerate().for_each(|(y, patches)| {
            if padding != (0, 0) || extra != (0, 0) {
                patches.fill(0.0);
            }
            let rows = taps(kernel.0, y * stride.0, padding.0, height);
            for (x, patch) in patches.chunks_exact_mut(length.max(1)).enumerate() {
                let mut columns = taps(kernel.1, x * stride.1, padding.1, width);
                let count = columns.clone().count();
                let Some((tap_x, column)) = columns.next() else { continue };
                let (runs, run) = if unit == position { (1, count * unit) } else { (count, unit) };
                for (number, patch) in patch.chunks_exact_mut((area * unit).max(1)).enumerate() {
                    for (tap_y, row) in rows.clone() {
                        for step in 0..runs {
                            let from = first + number * plane + (row * width + column + step) * position;
                            let to = (tap_y * kernel.1 + tap_x + step) * unit;
                            let slots = patch.get_mut(to..to + run);
                            if let (Some(slots), Some(values)) = (slots, values.get(from..from + run)) {
                                slots.copy_from_slice(values);
                            }
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

/// Reads the weight of a convolution with its inputs in the order of an unfolded interleaved grid: [outputs, kernel row, kernel
/// column, channel]. To reorder a weight costs less than to reorder patches wherever there are more positions than
/// outputs, and little where there are fewer.
struct ChannelsLast<'a> {
    linear: &'a LinearKernel<'a>,
    /// Places of the kernel.
    area: usize,
    channels: usize,
}

impl Rows for ChannelsLast<'_> {
    fn rows<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], ForwardError> {
        let mut read = Vec::new();
        let values = self.linear.rows(rows, &mut read)?;
        buffer.resize(values.len(), 0.0);
        let length = self.area.saturating_mul(self.channels).max(1);
        for (slots, row) in buffer.chunks_exact_mut(length).zip(values.chunks_exact(length)) {
            for (channel, kernel) in row.chunks_exact(self.area).enumerate() {
                for (slot, value) in slots.iter_mut().skip(channel).step_by(self.channels).zip(kernel) {
                    *slot = *value;
                }
            }
        }
        Ok(buffer)
    }

    fn in_memory(&self, _: Range<usize>) -> Option<&[f32]> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryWeights, Scope};

    fn ramp(count: usize) -> Vec<f32> {
        (0..count).map(|value| ((value * 37 + 11) % 19) as f32 - 9.0).collect()
    }

    /// Computes the definition of a convolution, for a planar grid.
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
            Window { kernel: (2, 3), stride: (3, 1), padding: (0, 2), extra: (1, 0) },
        ] {
            let x = ramp(channels * height * width);
            let weight = ramp(outputs * channels * window.kernel.0 * window.kernel.1);
            let mut weights = MemoryWeights::new();
            let shape = [outputs, channels, window.kernel.0, window.kernel.1];
            weights.insert("proj.weight", &shape, weight.clone()).unwrap();
            let parameter = Scope::root().pp("proj").weight("weight", &shape).unwrap();
            let convolution = Convolution::load(&weights, &parameter, None, window, 1).unwrap();
            let expected = expected(&x, (channels, height, width), &weight, outputs, window);

            let mut out = Matrix::new();
            let planar = Grid::new(&x, channels, height, width, GridLayout::Planar).unwrap();
            let size = convolution.apply(planar, &mut Matrix::new(), &mut out).unwrap();
            assert_eq!(Some(size), window.output_size(height, width));
            assert_eq!(out.values(), expected, "{window:?}");

            let tokens: Vec<f32> = (0..height * width)
                .flat_map(|position| (0..channels).map(move |c| c * height * width + position))
                .map(|index| x[index])
                .collect();
            let interleaved = Grid::new(&tokens, channels, height, width, GridLayout::Interleaved).unwrap();
            convolution.apply(interleaved, &mut Matrix::new(), &mut out).unwrap();
            assert_eq!(out.values(), expected, "{window:?}, interleaved");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        assert!(Grid::new(&[0.0; 11], 3, 2, 2, GridLayout::Planar).is_err());
        assert!(Grid::new(&[], 0, 2, 2, GridLayout::Planar).is_err());
        assert_eq!(Window::square(3, 0, 0).output_size(9, 9), None);
        assert_eq!(Window::square(0, 1, 0).output_size(9, 9), None);
        assert_eq!(Window::square(5, 1, 1).output_size(2, 9), None);
        assert_eq!(Window::square(1, 1, usize::MAX).output_size(2, 2), None);
        let mut weights = MemoryWeights::new();
        weights.insert("proj.weight", &[1, 2, 3, 3], vec![0.0; 18]).unwrap();
        let parameter = Scope::root().pp("proj").weight("weight", &[1, 2, 3, 3]).unwrap();
        let convolution = Convolution::load(&weights, &parameter, None, Window::square(3, 1, 0), 1).unwrap();
        let values = [0.0; 12];
        let mut out = Matrix::new();
        for (channels, height, width) in [(3, 2, 2), (2, 2, 3)] {
            let grid = Grid::new(&values, channels, height, width, GridLayout::Planar).unwrap();
            assert!(convolution.apply(grid, &mut Matrix::new(), &mut out).is_err());
        }
    }
}
