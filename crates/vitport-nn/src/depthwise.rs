//! Depth-wise convolution followed by batch normalisation at inference, folded into one: each
//! channel's kernel is multiplied by weight / √(running variance + eps), and what is left of the
//! normalisation is one addend per channel (Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.1).

use rayon::prelude::*;

use super::convolution::{Grid, Layout, Window, taps};
use super::error::ForwardError;
use super::weights::Weights;

/// Default of `torch.nn.BatchNorm2d`.
pub const BATCH_NORM_EPS: f64 = 1e-5;

/// A convolution of each channel with a kernel of its own (`torch.nn.Conv2d` with as many groups as
/// channels and no bias) and the batch normalisation behind it.
#[derive(Debug)]
pub struct DepthwiseConvolution {
    window: Window,
    channels: usize,
    /// [kernel row × kernel column, channel].
    taps: Vec<f32>,
    addend: Vec<f32>,
}

impl DepthwiseConvolution {
    /// Reads `{convolution}.weight` [channels, 1, kernel height, kernel width] and the `weight`,
    /// `bias`, `running_mean` and `running_var` of `{normalization}`, each `[channels]`.
    ///
    /// # Errors
    /// What [`Weights::tensor`] returns.
    pub fn load(
        weights: &dyn Weights,
        convolution: &str,
        normalization: &str,
        channels: usize,
        window: Window,
        eps: f64,
    ) -> Result<Self, ForwardError> {
        let (high, wide) = window.kernel;
        let area = high.checked_mul(wide).filter(|&area| area > 0 && channels > 0);
        let area = area.ok_or_else(|| {
            ForwardError::operands("a depth-wise convolution", format!("{channels} channels, {window:?}"))
        })?;
        let kernels = weights.tensor(&format!("{convolution}.weight"), &[channels, 1, high, wide])?;
        let of_channels = |name: &str| weights.tensor(&format!("{normalization}.{name}"), &[channels]);
        let (weight, bias) = (of_channels("weight")?, of_channels("bias")?);
        let (mean, variance) = (of_channels("running_mean")?, of_channels("running_var")?);

        let mut taps = vec![0.0; kernels.len()];
        let mut addend = Vec::with_capacity(channels);
        let statistics = weight.iter().zip(bias.iter()).zip(mean.iter().zip(variance.iter()));
        for (channel, (kernel, ((&weight, &bias), (&mean, &variance)))) in
            kernels.chunks_exact(area).zip(statistics).enumerate()
        {
            let scale = f64::from(weight) / (f64::from(variance) + eps).sqrt();
            addend.push((f64::from(bias) - f64::from(mean) * scale) as f32);
            for (slot, &value) in taps.iter_mut().skip(channel).step_by(channels).zip(kernel) {
                *slot = (f64::from(value) * scale) as f32;
            }
        }
        Ok(Self { window, channels, taps, addend })
    }

    /// (height, width) of what comes out of a grid of this height and width.
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
        let fits = grid.layout() == Layout::Interleaved && channels == self.channels;
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
        out.par_chunks_mut(row_of_positions).enumerate().for_each(|(y, out)| {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || self.fill_row(grid, y, out),
            );
        });
        Ok(())
    }

    /// One row of positions.
    #[inline(always)]
    fn fill_row(&self, grid: Grid<'_>, y: usize, out: &mut [f32]) {
        let (channels, height, width) = grid.sizes();
        let (kernel_high, kernel_wide) = self.window.kernel;
        let rows = taps(kernel_high, y * self.window.stride.0, self.window.padding.0, height);
        for (x, sums) in out.chunks_exact_mut(channels).enumerate() {
            sums.copy_from_slice(&self.addend);
            let columns = taps(kernel_wide, x * self.window.stride.1, self.window.padding.1, width);
            for (tap_y, row) in rows.clone() {
                for (tap_x, column) in columns.clone() {
                    let kernel = self.taps.chunks_exact(channels).nth(tap_y * kernel_wide + tap_x);
                    let values = grid.values().chunks_exact(channels).nth(row * width + column);
                    let (Some(kernel), Some(values)) = (kernel, values) else { continue };
                    for ((sum, factor), value) in sums.iter_mut().zip(kernel).zip(values) {
                        *sum += factor * value;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    #[test]
    fn each_channel_has_its_own_kernel_and_normalisation() {
        let mut weights = StateDict::new();
        let kernel = [0.0, 1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0];
        let other = [0.0, 0.0, 0.0, 0.0, 1.0, 10.0, 0.0, 0.0, 0.0];
        weights.insert("conv.weight", &[2, 1, 3, 3], [kernel, other].concat()).unwrap();
        for (name, values) in [
            ("weight", [1.0, 3.0]),
            ("bias", [0.5, 0.0]),
            ("running_mean", [0.0, 1.0]),
            ("running_var", [4.0, 9.0]),
        ] {
            weights.insert(format!("bn.{name}"), &[2], values.to_vec()).unwrap();
        }
        // 3 × 3 positions; channel 0 counts 1 to 9, channel 1 from 10 to 90.
        let x: Vec<f32> = (1..=9).flat_map(|value| [value as f32, 10.0 * value as f32]).collect();
        let grid = Grid::new(&x, 2, 3, 3, Layout::Interleaved).unwrap();
        let convolution =
            DepthwiseConvolution::load(&weights, "conv", "bn", 2, Window::square(3, 2, 1), 0.0).unwrap();
        assert_eq!(convolution.output_size(3, 3), Some((2, 2)));
        let mut out = [0.0; 8];
        convolution.apply(grid, &mut out).unwrap();
        // Channel 0: (above + 2 centre) / 2 + 0.5; channel 1: centre + 10 right − 1.
        assert_eq!(out, [1.5, 209.0, 3.5, 29.0, 9.5, 869.0, 12.5, 89.0]);

        assert!(convolution.apply(grid, &mut [0.0; 6]).is_err());
        let planar = Grid::new(&x, 2, 3, 3, Layout::Planar).unwrap();
        assert!(convolution.apply(planar, &mut out).is_err());
    }
}
