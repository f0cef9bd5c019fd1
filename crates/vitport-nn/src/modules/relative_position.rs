//! Defines the relative position bias of BEiT: a learned number for each head and each distance of two patches, which is added
//! to their score (Bao et al. 2021, arXiv:2106.08254, after Raffel et al. 2020, arXiv:1910.10683).

use crate::error::ForwardError;
use crate::kernels::attention::ScoreBias;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Counts the rows of a table that belong to the class token: to the patches, from them, and to itself.
const OF_CLASS_TOKEN: usize = 3;

/// Holds a table of biases for a grid of patches, after a class token or alone.
#[derive(Debug, Clone)]
pub struct RelativePositionBias {
    table: Parameter,
    grid: (usize, usize),
    heads: usize,
    has_class_token: bool,
}

impl RelativePositionBias {
    /// Registers `relative_position_bias_table` [(2 rows − 1)(2 columns − 1) + 3, heads] for a grid of (rows, columns) patches.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, grid: (usize, usize), heads: usize) -> Result<Self, ForwardError> {
        Self::for_grid(scope, grid, heads, true)
    }

    /// Registers `relative_position_bias_table` [(2 rows − 1)(2 columns − 1), heads] for a grid of patches without a class token.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn of_patches(scope: &Scope, grid: (usize, usize), heads: usize) -> Result<Self, ForwardError> {
        Self::for_grid(scope, grid, heads, false)
    }

    /// Registers `relative_position_bias_table` [(2 side − 1)², heads] for a window of side² patches, as in Swin.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn of_window(scope: &Scope, side: usize, heads: usize) -> Result<Self, ForwardError> {
        Self::of_patches(scope, (side, side), heads)
    }

    fn for_grid(
        scope: &Scope,
        grid: (usize, usize),
        heads: usize,
        has_class_token: bool,
    ) -> Result<Self, ForwardError> {
        let side = |patches: usize| patches.saturating_mul(2).saturating_sub(1);
        let of_class_token = if has_class_token { OF_CLASS_TOKEN } else { 0 };
        let distances = side(grid.0).saturating_mul(side(grid.1)).saturating_add(of_class_token);
        let table = scope.parameter("relative_position_bias_table", &[distances, heads])?;
        Ok(Self { table, grid, heads, has_class_token })
    }

    /// Reads the table.
    ///
    /// # Errors
    /// Returns what [`Parameter::read`] does.
    pub fn read(&self, cx: &Context<'_>) -> Result<PositionBias, ForwardError> {
        let values = self.table.read(cx.weights())?;
        let of_head = |head: usize| values.iter().skip(head).step_by(self.heads).copied().collect();
        let heads = (0..self.heads).map(of_head).collect();
        Ok(PositionBias { heads, grid: self.grid, has_class_token: self.has_class_token })
    }
}

/// Holds the biases of such a table, head by head.
#[derive(Debug, Clone)]
pub struct PositionBias {
    heads: Vec<Vec<f32>>,
    grid: (usize, usize),
    has_class_token: bool,
}

impl PositionBias {
    /// Returns the biases of these heads for a window of `side` × `side` tokens, each a table with a row for each vertical distance.
    pub(super) fn of_window(heads: Vec<Vec<f32>>, side: usize) -> Self {
        Self::of_patches(heads, (side, side), false)
    }

    /// Returns the biases of these heads for a grid of (rows, columns) patches, each a table with a row for each vertical distance. A
    /// class token has none.
    pub(super) fn of_patches(mut heads: Vec<Vec<f32>>, grid: (usize, usize), has_class_token: bool) -> Self {
        if has_class_token {
            heads.iter_mut().for_each(|table| table.extend([0.0; OF_CLASS_TOKEN]));
        }
        Self { heads, grid, has_class_token }
    }

    /// Returns the sum of two tables for the same grid, of which one may be missing.
    pub fn sum(one: Option<Self>, other: Option<&Self>) -> Option<Self> {
        match (one, other) {
            (Some(mut one), Some(other)) => {
                let values = one.heads.iter_mut().flatten().zip(other.heads.iter().flatten());
                values.for_each(|(value, addend)| *value += addend);
                Some(one)
            }
            (one, other) => one.or(other.cloned()),
        }
    }

    /// Fails unless there are as many tokens as this is for.
    pub(super) fn check(&self, tokens: usize) -> Result<(), ForwardError> {
        let (rows, columns) = self.grid;
        let class_token = usize::from(self.has_class_token);
        if rows.saturating_mul(columns).saturating_add(class_token) == tokens {
            return Ok(());
        }
        let detail = format!(
            "{tokens} tokens, where {class_token} class tokens and {rows} × {columns} patches are needed"
        );
        Err(ForwardError::operands("a relative position bias", detail))
    }
}

impl ScoreBias for PositionBias {
    fn add(&self, head: usize, query: usize, scores: &mut [f32]) {
        let (rows, columns) = self.grid;
        let table = self.heads.get(head).map_or(&[][..], Vec::as_slice);
        if !self.has_class_token {
            return add_between_patches(table, (rows, columns), query, scores);
        }
        let (patches, of_class_token) = table.split_at(table.len().saturating_sub(OF_CLASS_TOKEN));
        let &[to_patches, from_patches, to_itself] = of_class_token else { return };
        let Some((class_token, keys)) = scores.split_first_mut() else { return };
        let Some(patch) = query.checked_sub(1) else {
            *class_token += to_itself;
            keys.iter_mut().for_each(|score| *score += to_patches);
            return;
        };
        *class_token += from_patches;
        add_between_patches(patches, (rows, columns), patch, keys);
    }
}

/// Adds the biases between one patch of a grid and all.
fn add_between_patches(patches: &[f32], (rows, columns): (usize, usize), patch: usize, keys: &mut [f32]) {
    // A row of the table holds the horizontal distances from −(columns − 1) to columns − 1, query minus key.
    let (row, column) = (patch / columns.max(1), patch % columns.max(1));
    let distances = columns.saturating_mul(2).saturating_sub(1).max(1);
    for (key_row, keys) in keys.chunks_mut(columns.max(1)).enumerate() {
        let distance = (row + rows).saturating_sub(1 + key_row);
        let first = distance.saturating_mul(distances).saturating_add(column);
        let biases = patches.get(first..first.saturating_add(columns)).unwrap_or_default();
        keys.iter_mut().zip(biases.iter().rev()).for_each(|(score, bias)| *score += bias);
    }
}
