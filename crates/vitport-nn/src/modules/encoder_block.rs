//! Defines the block of vision transformers: attention and an MLP, each after a norm and added to what it is given (Dosovitskiy
//! et al. 2020, arXiv:2010.11929, eq. 2 and 3).

use super::attention::{Positions, SelfAttention};
use super::gated_mlp::GatedMlp;
use super::layer_scale::LayerScale;
use super::log_position::PositionTable;
use super::mlp::Mlp;
use super::norm::Norm;
use super::relative_position::PositionBias;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;

/// Computes an MLP with or without a gate.
#[derive(Debug, Clone)]
pub enum FeedForward {
    /// Has two layers and an activation between them.
    Plain(Mlp),
    /// Has a gate.
    Gated(GatedMlp),
}

impl FeedForward {
    /// Computes tokens × outputs.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match self {
            Self::Plain(mlp) => mlp.forward(x, cx),
            Self::Gated(mlp) => mlp.forward(x, cx),
        }
    }
}

/// Computes x + scale1(attention(norm1(x))), then x + scale2(mlp(norm2(x))).
#[derive(Debug, Clone)]
pub struct EncoderBlock {
    /// Normalises what the attention reads.
    pub norm1: Norm,
    /// Lets the tokens attend to each other.
    pub attention: SelfAttention,
    /// Scales what the attention adds; none where it is added as it is.
    pub scale1: Option<LayerScale>,
    /// Normalises what the MLP reads.
    pub norm2: Norm,
    /// Computes each token's by itself.
    pub mlp: FeedForward,
    /// Scales what the MLP adds; none where it is added as it is.
    pub scale2: Option<LayerScale>,
}

impl EncoderBlock {
    /// Adds both branches to x, tokens × width, which lie at those positions.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, x has another width or the positions are those of other tokens.
    pub fn forward(
        &self,
        x: &mut Matrix,
        positions: Positions<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let attention = |x: &Matrix, cx: &mut Context<'_>| self.attention.forward_at(x, positions, cx);
        self.norm1.add_branch(x, self.scale1.as_ref(), cx, attention)?;
        self.norm2.add_branch(x, self.scale2.as_ref(), cx, |x, cx| self.mlp.forward(x, cx))
    }
}

/// Holds blocks whose attention adds biases for the distances of patches, as in BEiT and timm's ViTs with relative positions: of a table of each block's own, of one that
/// all share, of both or of none.
#[derive(Debug, Clone)]
pub struct BiasedBlocks {
    /// Lists the blocks, each with its own table.
    pub blocks: Vec<(EncoderBlock, Option<PositionTable>)>,
    /// Holds the table that all share.
    pub shared: Option<PositionTable>,
}

impl BiasedBlocks {
    /// Runs the blocks on x, tokens × width. `place` names each, as a place that can be compared.
    ///
    /// # Errors
    /// Returns what [`EncoderBlock::forward`] does.
    pub fn forward(
        &self,
        x: &mut Matrix,
        place: impl Fn(usize) -> String,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        let shared = self.shared.as_ref().map(|table| table.read(cx)).transpose()?;
        for (index, (block, table)) in self.blocks.iter().enumerate() {
            let own = table.as_ref().map(|table| table.read(cx)).transpose()?;
            let bias = PositionBias::sum(own, shared.as_ref());
            block.forward(x, bias.as_ref().map_or(Positions::Embedded, Positions::Biased), cx)?;
            cx.trace(&place(index), x);
        }
        Ok(())
    }
}
