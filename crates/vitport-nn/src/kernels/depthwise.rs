//! Computes a depth-wise convolution: a kernel of its own and one addend for each channel. Batch normalisation after it is
//! folded into both (`modules::BatchNorm2d`).

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::{Grid, GridLayout, Window, taps};
use crate::error::ForwardError;

/// Describes a convolution of each channel with a kernel of its own: `torch.nn.Conv2d` with as many groups as channels.
#[derive(Debug)]
pub struct DepthwiseConvolution {
    window: Window,
    channels: usize,
    /// Is [kernel row × kernel column, channel].
    taps: Vec<f32>,
    addend: Vec<f32>,
}

impl DepthwiseConvolution {
    /// Takes kernels [channels, 1, kernel height, kernel width], multiplies that of each channel by its factor if there are
    /// `factors`, and adds `addend` to what comes out of each channel.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when the sizes do not go together.
    pub fn new(
        kernels: &[f32],
        factors: Option<&[f64]>,
        addend: Vec<f32>,
        window: Window,
    ) -> Result<Self, ForwardError> {
        let channels = addend.len();
        let (high, wide) = window.kernel;
        let area = high.checked_mul(wide).filter(|&area| area > 0 && channels > 0);
        let area =
            area.filter(|area| area.checked_mul(channels) == Some(kernels.len())).ok_or_else(|| {
                let detail = format!("{} values for {channels} channels, {window:?}", kernels.len());
                ForwardError::operands("a depth-wise convolution", detail)
            })?;
        let mut taps = vec![0.0; kernels.len()];
        for (channel, kernel) in kernels.chunks_exact(area).enumerate() {
            let factor = factors.and_then(|factors| factors.get(channel)).copied().unwrap_or(1.0);
            for (slot, &value) in taps.iter_mut().skip(channel).step_by(channels).zip(kernel) {
                *slot = (f64::from(value) * factor) as f32;
            }
        }
        Ok(Self { window, channels, taps, addend })
    }

    /// Returns the (height, width) of what comes out of a grid of this height and width.
    pub fn output_size(&self, height: usize, width: usize) -> Option<(usize, usize)> {
        self.window.output_size(height, width)
    }

    /// Fills `out` [positions, channels] from an interleaved grid.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when grid or `out` have other sizes.
    pub fn apply(&self, grid: Grid<'_>, out: &mut [f32]) -> Result<(), ForwardError> {
        let (channels, height, width) = grid.sizes();
        let size = self.output_size(height, width);
        let fits = grid.layout() == GridLayout::Interleaved && channels == self.channels;
        let wide = match size {
            Some((high, wide))
                if fits
                    && high.checked_mul(wide).and_then(|p| p.checked_mul(channels)) == Some(out.len()) =>
            {
                wide
            }
            _ => {
                return Err(ForwardError::operands(
                    "a depth-wise convolution",
                    format!(
                        "{channels} channels of {height} × {width} into {} values for {} and {:?}",
                        out.len(),
                        self.channels,
                        self.window
                    ),
                ));
            }
        };
        let row_of_positions = (wide * channels).max(1);
        out.par_chunks_mut(row_of_positions)
            .enumerate()
            .for_each(|(y, out)| pulp::Arch::new().dispatch(Row { convolution: self, grid, y, out }));
        Ok(())
    }
}

/// Computes one row of positions of what comes out.
struct Row<'a, 'b> {
    convolution: &'a DepthwiseConvolution,
    grid: Grid<'a>,
    y: usize,
    out: &'b mut [f32],
}

impl WithSimd for Row<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let DepthwiseConvolution { window, taps: kernels, addend, .. } = self.convolution;
        let (channels, height, width) = self.grid.sizes();
        let (kernel_high, kernel_wide) = window.kernel;
        let rows = taps(kernel_high, self.y * window.stride.0, window.padding.0, height);
        let (addend, last_addend) = S::as_simd_f32s(addend);
        // For each tap that lies inside the grid, its factors and the values under it.
        let mut inside = Vec::with_capacity(kernel_high * kernel_wide);
        for (x, sums) in self.out.chunks_exact_mut(channels).enumerate() {
            inside.clear();
            for (tap_y, row) in rows.clone() {
                for (tap_x, column) in taps(kernel_wide, x * window.stride.1, window.padding.1, width) {
                    let factors = kernels.chunks_exact(channels).nth(tap_y * kernel_wide + tap_x);
                    let values = self.grid.values().chunks_exact(channels).nth(row * width + column);
                    let (Some(factors), Some(values)) = (factors, values) else { continue };
                    inside.push((S::as_simd_f32s(factors), S::as_simd_f32s(values)));
                }
            }
            let (sums, last_sum) = S::as_mut_simd_f32s(sums);
            for (place, (sum, addend)) in sums.iter_mut().zip(addend).enumerate() {
                let mut total = *addend;
                for ((factors, _), (values, _)) in &inside {
                    let (Some(factor), Some(value)) = (factors.get(place), values.get(place)) else {
                        continue;
                    };
                    total = simd.mul_add_e_f32s(*factor, *value, total);
                }
                *sum = total;
            }
            if !last_sum.is_empty() {
                let mut total = simd.partial_load_f32s(last_addend);
                for ((_, factors), (_, values)) in &inside {
                    let (factor, value) = (simd.partial_load_f32s(factors), simd.partial_load_f32s(values));
                    total = simd.mul_add_e_f32s(factor, value, total);
                }
                simd.partial_store_f32s(last_sum, total);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_its_own_kernel_factor_and_addend() {
        let kernel = [0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        let other = [0.0, 0.0, 0.0, 0.0, 1.0, 10.0, 0.0, 0.0, 0.0];
        let kernels = [kernel, other].concat();
        // 3 × 3 positions; channel 0 counts 1 to 9, channel 1 from 10 to 90.
        let x: Vec<f32> = (1..=9).flat_map(|value| [value as f32, 10.0 * value as f32]).collect();
        let grid = Grid::new(&x, 2, 3, 3, GridLayout::Interleaved).unwrap();
        let window = Window::square(3, 2, 1);
        let convolution =
            DepthwiseConvolution::new(&kernels, Some(&[0.5, 1.0]), vec![0.5, -1.0], window).unwrap();
        assert_eq!(convolution.output_size(3, 3), Some((2, 2)));
        let mut out = [0.0; 8];
        convolution.apply(grid, &mut out).unwrap();
        // Channel 0: (above + 2 centre) / 2 + 0.5; channel 1: centre + 10 right − 1.
        assert_eq!(out, [1.5, 209.0, 3.5, 29.0, 9.5, 869.0, 12.5, 89.0]);

        assert!(convolution.apply(grid, &mut [0.0; 6]).is_err());
        let planar = Grid::new(&x, 2, 3, 3, GridLayout::Planar).unwrap();
        assert!(convolution.apply(planar, &mut out).is_err());
    }

    /// Tests more and fewer channels than a vector has, on kernels that reach over the edges.
    #[test]
    fn any_number_of_channels() {
        let value = |seed: usize| ((seed * 7919 + 13) % 101) as f32 - 50.0;
        for (channels, kernel, stride) in [(1, 3, 1), (15, 3, 2), (16, 1, 1), (37, 5, 2), (64, 3, 1)] {
            let (height, width, area) = (6, 7, kernel * kernel);
            let kernels: Vec<f32> = (0..channels * area).map(value).collect();
            let x: Vec<f32> = (0..height * width * channels).map(|seed| value(seed + 7)).collect();
            let window = Window::square(kernel, stride, kernel / 2);
            let convolution = DepthwiseConvolution::new(&kernels, None, vec![3.0; channels], window).unwrap();
            let (high, wide) = convolution.output_size(height, width).unwrap();
            let mut out = vec![0.0; high * wide * channels];
            let grid = Grid::new(&x, channels, height, width, GridLayout::Interleaved).unwrap();
            convolution.apply(grid, &mut out).unwrap();
            for (place, found) in out.into_iter().enumerate() {
                let (position, channel) = (place / channels, place % channels);
                let (y, x_position) = (position / wide * stride, position % wide * stride);
                let mut sum = 3.0;
                for tap in 0..area {
                    let row = (y + tap / kernel).checked_sub(kernel / 2).filter(|&row| row < height);
                    let column = (x_position + tap % kernel).checked_sub(kernel / 2).filter(|&c| c < width);
                    if let (Some(row), Some(column)) = (row, column) {
                        sum += kernels[channel * area + tap] * x[(row * width + column) * channels + channel];
                    }
                }
                assert_eq!(found, sum, "{channels} channels, kernel {kernel}: {position}, {channel}");
            }
        }
    }
}
