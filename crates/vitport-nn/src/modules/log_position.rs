//! Defines the relative position bias that an MLP makes of the logarithms of distances, sign(d) ln(1 + |d|): timm's `RelPosMlp` in the
//! mode `cr` (timm/layers/pos_embed_rel.py; after Liu et al. 2021, arXiv:2111.09883, section 3.3).

use super::linear::Linear;
use super::mlp::Mlp;
use super::relative_position::{PositionBias, RelativePositionBias};
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Scope;

/// Makes the table of biases for a grid of patches. A class token has none.
#[derive(Debug, Clone)]
pub struct LogPositionBias {
    mlp: Mlp,
    grid: (usize, usize),
    has_class_token: bool,
}

impl LogPositionBias {
    /// Makes `mlp.fc1`, from two coordinates to `hidden` features, and `mlp.fc2`, to `heads`, both with biases and ReLU between them, for
    /// a grid of (rows, columns) patches.
    ///
    /// # Errors
    /// Returns what [`Linear::new`] does.
    pub fn new(
        scope: &Scope,
        grid: (usize, usize),
        [hidden, heads]: [usize; 2],
        has_class_token: bool,
    ) -> Result<Self, ForwardError> {
        let (names, sizes) = (["mlp.fc1", "mlp.fc2"], [2, hidden, heads]);
        let mlp = Mlp::with_biases(Linear::new, scope, names, sizes, Activation::Relu)?;
        Ok(Self { mlp, grid, has_class_token })
    }

    /// Computes the table.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing.
    pub fn read(&self, cx: &mut Context<'_>) -> Result<PositionBias, ForwardError> {
        let along = |patches: usize| {
            let reach = patches.saturating_sub(1);
            (0..patches.saturating_mul(2).saturating_sub(1)).map(move |index| coordinate(index, reach))
        };
        let coordinates: Vec<f32> =
            along(self.grid.0).flat_map(|y| along(self.grid.1).flat_map(move |x| [y, x])).collect();
        let table = self.mlp.forward(&Matrix::from_values(coordinates.len() / 2, 2, coordinates)?, cx)?;
        let heads = table.columns();
        let of_head = |head: usize| table.values().iter().skip(head).step_by(heads.max(1)).copied().collect();
        let heads = (0..heads).map(of_head).collect();
        Ok(PositionBias::of_patches(heads, self.grid, self.has_class_token))
    }
}

/// Returns the coordinate of the distance `index` − `reach`.
fn coordinate(index: usize, reach: usize) -> f32 {
    let distance = index as f64 - reach as f64;
    (distance.signum() * distance.abs().ln_1p()) as f32
}

/// Holds a table of biases for a grid of patches, or what makes one.
#[derive(Debug, Clone)]
pub enum PositionTable {
    /// Was learned.
    Learned(RelativePositionBias),
    /// Is computed in each forward pass.
    Computed(Box<LogPositionBias>),
}

impl PositionTable {
    /// Returns the biases.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing.
    pub fn read(&self, cx: &mut Context<'_>) -> Result<PositionBias, ForwardError> {
        match self {
            Self::Learned(table) => table.read(cx),
            Self::Computed(table) => table.read(cx),
        }
    }
}
