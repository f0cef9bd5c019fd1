//! Defines the blocks of Swin and SwinV2, and stages of them.

use super::feature_map::FeatureMap;
use super::layer_norm::LayerNorm;
use super::mlp::Mlp;
use super::patch_merging::PatchMerging;
use super::window_attention::WindowAttention;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;

/// Computes x + attention(norm(x)), then x + MLP(norm(x)); or x + norm(attention(x)), then x + norm(MLP(x)).
#[derive(Debug, Clone)]
pub struct WindowBlock {
    norms: [LayerNorm; 2],
    attention: WindowAttention,
    mlp: Mlp,
    norms_branches: bool,
}

impl WindowBlock {
    /// Puts the layers together, the norms those of the attention and of the MLP, which they come before.
    pub fn new(norms: [LayerNorm; 2], attention: WindowAttention, mlp: Mlp) -> Self {
        Self { norms, attention, mlp, norms_branches: false }
    }

    /// Returns the block with its norms after the attention and the MLP (Liu et al. 2021, arXiv:2111.09883, section 3.2).
    #[must_use]
    pub fn normalized_after(self) -> Self {
        Self { norms_branches: true, ..self }
    }

    /// Adds both branches to a map.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, or the map is not a whole number of windows.
    pub fn forward(&self, map: &mut FeatureMap, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        let [before, after] = &self.norms;
        if self.norms_branches {
            let branch = self.attention.forward(map, cx)?;
            add(&mut map.tokens, before.forward(&branch, cx)?, branch, cx)?;
            let branch = self.mlp.forward(&map.tokens, cx)?;
            return add(&mut map.tokens, after.forward(&branch, cx)?, branch, cx);
        }
        let normalized =
            FeatureMap { tokens: before.forward(&map.tokens, cx)?, height: map.height, width: map.width };
        let branch = self.attention.forward(&normalized, cx)?;
        add(&mut map.tokens, branch, normalized.tokens, cx)?;
        let normalized = after.forward(&map.tokens, cx)?;
        let branch = self.mlp.forward(&normalized, cx)?;
        add(&mut map.tokens, branch, normalized, cx)
    }
}

/// Adds a matrix to x, and gives the memory of it and another back.
fn add(x: &mut Matrix, branch: Matrix, other: Matrix, cx: &mut Context<'_>) -> Result<(), ForwardError> {
    x.add(&branch)?;
    [branch, other].into_iter().for_each(|matrix| cx.recycle(matrix));
    Ok(())
}

/// Holds the blocks of a stage, and what merges patches before them.
#[derive(Debug, Clone)]
pub struct WindowStage {
    merging: Option<PatchMerging>,
    blocks: Vec<WindowBlock>,
}

impl WindowStage {
    /// Puts the parts together.
    pub fn new(merging: Option<PatchMerging>, blocks: Vec<WindowBlock>) -> Self {
        Self { merging, blocks }
    }

    /// Runs the stage. `place` names its blocks, each of which is a place that can be compared.
    ///
    /// # Errors
    /// Returns what its parts do.
    pub fn forward(
        &self,
        mut map: FeatureMap,
        place: impl Fn(usize) -> String,
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        if let Some(merging) = &self.merging {
            map = merging.forward(map, cx)?;
        }
        for (index, block) in self.blocks.iter().enumerate() {
            block.forward(&mut map, cx)?;
            cx.trace(&place(index), &map.tokens);
        }
        Ok(map)
    }
}
