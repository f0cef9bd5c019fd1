//! Defines the rotary position embedding of DINOv3: queries and keys of patches are rotated by angles in proportion to where the
//! patches lie (Siméoni et al. 2025, arXiv:2508.10104, after Su et al. 2021, arXiv:2104.09864).

use rayon::prelude::*;

use crate::error::ForwardError;
use crate::kernels::attention::Heads;
use crate::matrix::Matrix;

/// Holds the angles of a grid of patches.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Holds the cosine and the sine of each angle, patch after patch.
    turns: Vec<(f32, f32)>,
    /// Counts the angles of a patch, half of a head's width.
    angles: usize,
}

impl Rotation {
    /// Computes the angles of a grid of (rows, columns) patches for heads of that width: the centres of the patches, −1 to 1
    /// from edge to edge, times 2π θ^(−4k / head width) for k = 0, 1 …; all of the vertical positions, then all of the
    /// horizontal ones.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when the width of a head is no multiple of 4.
    pub fn of_centers(
        (rows, columns): (usize, usize),
        head_width: usize,
        theta: f64,
    ) -> Result<Self, ForwardError> {
        if head_width == 0 || !head_width.is_multiple_of(4) {
            let detail =
                format!("a rotary position embedding needs heads of 4, 8 … numbers, not {head_width}");
            return Err(ForwardError::config(detail));
        }
        let center = |index: usize, count: usize| 2.0 * (index as f64 + 0.5) / count as f64 - 1.0;
        let frequency = |k: usize| theta.powf(-4.0 * k as f64 / head_width as f64);
        let frequencies: Vec<f64> = (0..head_width / 4).map(frequency).collect();
        let mut turns = Vec::new();
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for position in [center(row, rows), center(column, columns)] {
                turns.extend(frequencies.iter().map(|frequency| {
                    let (sine, cosine) = (std::f64::consts::TAU * position * frequency).sin_cos();
                    (cosine as f32, sine as f32)
                }));
            }
        }
        Ok(Self { turns, angles: head_width / 2 })
    }

    /// Rotates the heads that begin at `first_column` of the last rows, which are the patches.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when there are fewer tokens than patches, or heads of another width.
    pub(super) fn apply(
        &self,
        x: &mut Matrix,
        first_column: usize,
        heads: Heads,
    ) -> Result<(), ForwardError> {
        let (tokens, columns) = (x.rows(), x.columns());
        let patches = self.turns.len().checked_div(self.angles).unwrap_or(0);
        let width = heads.count.saturating_mul(heads.dim);
        let end = first_column.saturating_add(width);
        let others = tokens.checked_sub(patches).filter(|_| heads.dim == 2 * self.angles && end <= columns);
        let Some(others) = others.filter(|_| columns > 0) else {
            let detail = format!("{patches} patches among {tokens} tokens, heads of {}", heads.dim);
            return Err(ForwardError::operands("a rotation", detail));
        };
        let rows = x.values_mut().par_chunks_mut(columns).skip(others);
        rows.zip(self.turns.par_chunks(self.angles)).for_each(|(row, turns)| {
            let row = row.get_mut(first_column..end).unwrap_or_default();
            for head in row.chunks_exact_mut(heads.dim) {
                let (first, second) = head.split_at_mut(self.angles);
                for ((a, b), (cosine, sine)) in first.iter_mut().zip(second).zip(turns) {
                    (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
                }
            }
        });
        Ok(())
    }
}
