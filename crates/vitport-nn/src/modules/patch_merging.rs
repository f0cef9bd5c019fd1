//! Defines patch merging: four tokens that are neighbours become one of another width (Liu et al. 2021, arXiv:2103.14030).

use super::feature_map::FeatureMap;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;

/// Puts four neighbours into one row, normalises it and reduces its width.
#[derive(Debug, Clone)]
pub struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
    is_normalized_first: bool,
}

impl PatchMerging {
    /// Puts the layers together. The norm is before the reduction, or after it.
    pub fn new(norm: LayerNorm, reduction: Linear, is_normalized_first: bool) -> Self {
        Self { norm, reduction, is_normalized_first }
    }

    /// Halves the height and the width of a map. Where one is odd, zeros stand in place of the row or column that is not there.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has another width.
    pub fn forward(&self, map: FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let (height, width) = (map.height.div_ceil(2), map.width.div_ceil(2));
        let columns = map.tokens.columns();
        let mut merged = Matrix::new();
        merged.resize(height.saturating_mul(width), columns.saturating_mul(4), "merged patches")?;
        for (index, row) in merged.values_mut().chunks_exact_mut(columns.saturating_mul(4).max(1)).enumerate()
        {
            let (y, x) = (index / width * 2, index % width * 2);
            let neighbours = [(y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)];
            for (part, (y, x)) in row.chunks_exact_mut(columns.max(1)).zip(neighbours) {
                let is_there = y < map.height && x < map.width;
                match is_there.then(|| map.tokens.row(y * map.width + x)).flatten() {
                    Some(token) => part.copy_from_slice(token),
                    None => part.fill(0.0),
                }
            }
        }
        cx.recycle(map.tokens);
        let tokens = match self.is_normalized_first {
            true => self.reduction.forward(&self.norm.forward(&merged, cx)?, cx)?,
            false => self.norm.forward(&self.reduction.forward(&merged, cx)?, cx)?,
        };
        Ok(FeatureMap { tokens, height, width })
    }
}
