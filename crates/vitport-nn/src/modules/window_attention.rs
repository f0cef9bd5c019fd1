//! Defines attention in windows: each token attends to those of its own window, and in every other block the windows are shifted
//! (Liu et al. 2021, arXiv:2103.14030).

use super::attention::{Positions, SelfAttention};
use super::continuous_position::ContinuousPositionBias;
use super::feature_map::FeatureMap;
use super::relative_position::{PositionBias, RelativePositionBias};
use crate::error::ForwardError;
use crate::kernels::attention::ScoreBias;
use crate::matrix::Matrix;
use crate::network::Context;

/// Says where the bias of each distance of two tokens comes from.
#[derive(Debug, Clone)]
pub enum WindowTable {
    /// Means that it is learned for windows of one size.
    Learned(RelativePositionBias),
    /// Means that it is computed. Where the map is smaller than a window, the window is as large as the map.
    Computed(Box<ContinuousPositionBias>),
}

/// Computes self-attention in square windows of a map, with a bias for each distance of two tokens.
#[derive(Debug, Clone)]
pub struct WindowAttention {
    attention: SelfAttention,
    table: WindowTable,
    window: usize,
    shift: usize,
    apart: f32,
}

impl WindowAttention {
    /// Puts the layers together, for windows of `window` × `window` tokens that are moved down and right by `shift` of them. The
    /// table is one for a grid of a window's size without a class token. `apart` is added to the scores of tokens that a shift has
    /// brought into one window from opposite edges of the map.
    pub fn new(
        attention: SelfAttention,
        table: WindowTable,
        [window, shift]: [usize; 2],
        apart: f32,
    ) -> Self {
        Self { attention, table, window, shift, apart }
    }

    /// Lets the tokens of each window attend to each other; the rows of the result are the map's. Windows that are as large as
    /// the map are not shifted.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, or the map is not a whole number of windows.
    pub fn forward(&self, map: &FeatureMap, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let (height, width) = (map.height, map.width);
        let window = match &self.table {
            WindowTable::Learned(_) => self.window,
            WindowTable::Computed(_) => self.window.min(height).min(width),
        };
        let is_whole = |edge: usize| window > 0 && edge > 0 && edge.is_multiple_of(window);
        if !is_whole(height) || !is_whole(width) {
            let detail = format!("a map of {height} × {width} for windows of {window}");
            return Err(ForwardError::operands("attention in windows", detail));
        }
        let shift = if height.min(width) <= window { 0 } else { self.shift };
        let places = places([height, width], window, shift);
        let order: Vec<usize> = places.iter().map(|place| place.row).collect();
        let windows = rows(&map.tokens, &order, cx)?;
        let table = match &self.table {
            WindowTable::Learned(table) => table.read(cx)?,
            WindowTable::Computed(table) => table.of_window(window, cx)?,
        };
        let bias = WindowBias {
            table,
            apart: self.apart,
            tokens: window.saturating_mul(window),
            regions: (shift > 0).then(|| places.iter().map(|place| place.region).collect()),
        };
        let attended = self.attention.forward_at(&windows, Positions::InWindows(&bias), cx)?;
        cx.recycle(windows);
        let mut back = vec![0; order.len()];
        for (place, &row) in order.iter().enumerate() {
            if let Some(entry) = back.get_mut(row) {
                *entry = place;
            }
        }
        let out = rows(&attended, &back, cx)?;
        cx.recycle(attended);
        Ok(out)
    }
}

/// Describes a token of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Counts the row of the map's tokens.
    row: usize,
    /// Numbers the part of the map that it comes from: tokens of one window that come from several do not attend to each other.
    region: u8,
}

/// Returns the tokens of a map, window after window, when it is rolled up and left by `shift`.
fn places([height, width]: [usize; 2], window: usize, shift: usize) -> Vec<Place> {
    let region = |at: usize, edge: usize| match () {
        () if at < edge.saturating_sub(window) => 0,
        () if at < edge.saturating_sub(shift) => 1,
        () => 2_u8,
    };
    let starts = |edge: usize| (0..edge).step_by(window.max(1));
    let mut all = Vec::with_capacity(height.saturating_mul(width));
    for top in starts(height) {
        for left in starts(width) {
            for y in top..top.saturating_add(window).min(height) {
                for x in left..left.saturating_add(window).min(width) {
                    let (row, column) = ((y + shift) % height, (x + shift) % width);
                    all.push(Place {
                        row: row * width + column,
                        region: region(y, height) * 3 + region(x, width),
                    });
                }
            }
        }
    }
    all
}

/// Returns the rows of these numbers, in their order.
pub(super) fn rows(x: &Matrix, order: &[usize], cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
    let mut out = cx.scratch(order.len().saturating_mul(x.columns()));
    out.resize(order.len(), x.columns(), "tokens in another order")?;
    for (to, &from) in out.values_mut().chunks_exact_mut(x.columns().max(1)).zip(order) {
        to.copy_from_slice(x.row(from).unwrap_or_default());
    }
    Ok(out)
}

/// Holds what is added to the scores of tokens that lie window after window.
#[derive(Debug)]
pub struct WindowBias {
    table: PositionBias,
    /// Is added where tokens come from different regions.
    apart: f32,
    /// Counts the tokens of a window.
    tokens: usize,
    /// Gives the region of each token, where windows are shifted.
    regions: Option<Vec<u8>>,
}

impl WindowBias {
    /// Returns the number of tokens of a window; fails unless all tokens are whole windows.
    pub(super) fn window_of(&self, tokens: usize) -> Result<usize, ForwardError> {
        if self.tokens > 0 && tokens.is_multiple_of(self.tokens) {
            return Ok(self.tokens);
        }
        let detail = format!("{tokens} tokens in windows of {}", self.tokens);
        Err(ForwardError::operands("attention in windows", detail))
    }
}

impl ScoreBias for WindowBias {
    fn add(&self, head: usize, query: usize, scores: &mut [f32]) {
        let within = query % self.tokens.max(1);
        self.table.add(head, within, scores);
        let Some(regions) = &self.regions else { return };
        let of_window = regions.get(query.saturating_sub(within)..).unwrap_or_default();
        let own = of_window.get(within);
        for (score, region) in scores.iter_mut().zip(of_window) {
            if Some(region) != own {
                *score += self.apart;
            }
        }
    }
}
