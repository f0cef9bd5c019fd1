//! Defines the continuous relative position bias of SwinV2: an MLP makes the bias of each distance of two tokens of a window, on a
//! logarithmic scale (Liu et al. 2021, arXiv:2111.09883, section 3.3).

use super::linear::Linear;
use super::mlp::Mlp;
use super::relative_position::PositionBias;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Scope;

/// Is what a distance as long as the window is before its logarithm is taken.
const FARTHEST: f64 = 8.0;
/// Is what the sigmoid of a bias is multiplied by.
const LARGEST: f32 = 16.0;

/// Makes tables of biases for windows of any size.
#[derive(Debug, Clone)]
pub struct ContinuousPositionBias {
    mlp: Mlp,
    pretrained_window: usize,
}

impl ContinuousPositionBias {
    /// Makes both layers under these names: from two coordinates to `hidden` features, with biases and ReLU, and to `heads`, without.
    /// Distances count in windows of `pretrained_window` tokens along an edge; with 0, in those that the table is for.
    ///
    /// # Errors
    /// Returns what [`Linear::new`] does.
    pub fn named(
        scope: &Scope,
        [fc1, fc2]: [&str; 2],
        [hidden, heads]: [usize; 2],
        pretrained_window: usize,
    ) -> Result<Self, ForwardError> {
        let fc1 = Linear::new(&scope.pp(fc1), 2, hidden, true)?;
        let fc2 = Linear::new(&scope.pp(fc2), hidden, heads, false)?;
        Ok(Self { mlp: Mlp::new(fc1, Activation::Relu, fc2), pretrained_window })
    }

    /// Computes the biases for a window of `side` × `side` tokens.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing.
    pub(super) fn of_window(&self, side: usize, cx: &mut Context<'_>) -> Result<PositionBias, ForwardError> {
        let reach = side.saturating_sub(1);
        let unit = if self.pretrained_window > 0 { self.pretrained_window - 1 } else { reach };
        let coordinate = |index: usize| {
            let distance = (index as f64 - reach as f64) / unit.max(1) as f64 * FARTHEST;
            (distance.signum() * (distance.abs() + 1.0).log2() / FARTHEST.log2()) as f32
        };
        let distances = 0..side.saturating_mul(2).saturating_sub(1);
        let pairs = distances.clone().flat_map(|y| distances.clone().map(move |x| [y, x]));
        let coordinates: Vec<f32> = pairs.flat_map(|pair| pair.map(coordinate)).collect();
        let rows = distances.len().saturating_mul(distances.len());
        let mut table = self.mlp.forward(&Matrix::from_values(rows, 2, coordinates)?, cx)?;
        Activation::Sigmoid.apply(&mut table);
        let heads = table.columns();
        let of_head = |head: usize| {
            table.values().iter().skip(head).step_by(heads.max(1)).map(|gate| LARGEST * gate).collect()
        };
        Ok(PositionBias::of_window((0..heads).map(of_head).collect(), side))
    }
}
