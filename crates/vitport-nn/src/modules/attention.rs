//! Defines multi-head attention.

use super::cosine::{CosineScale, normalize};
use super::linear::Linear;
use super::relative_position::PositionBias;
use super::rotation::Rotation;
use super::window_attention::WindowBias;
use crate::error::ForwardError;
use crate::kernels::attention::{Heads, Projection, Visible, attention};
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Parameter;

/// Computes softmax(q kᵀ · scale) v for each head, and a projection after it.
#[derive(Debug, Clone)]
pub struct Attention {
    heads: Heads,
    proj: Linear,
}

impl Attention {
    /// Puts the heads and the output projection together.
    pub fn new(heads: Heads, proj: Linear) -> Self {
        Self { heads, proj }
    }

    /// Attends with queries, keys and values, each tokens × width, and projects the result.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the sizes do not go together.
    pub fn forward(
        &self,
        query: Matrix,
        key: Matrix,
        value: Matrix,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let whole = Projection::whole;
        let out = self.attend([whole(&query), whole(&key), whole(&value)], Visible::All, cx)?;
        [query, key, value].into_iter().for_each(|matrix| cx.recycle(matrix));
        Ok(out)
    }

    /// Attends with queries, tokens × width, and a matrix of keys and then values in one row, and projects the result.
    ///
    /// # Errors
    /// Returns what [`Attention::forward`] does.
    pub(super) fn of_pair(
        &self,
        query: Matrix,
        pair: Matrix,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let part = |first| Projection::starting_at(&pair, first);
        let out =
            self.attend([Projection::whole(&query), part(0), part(pair.columns() / 2)], Visible::All, cx)?;
        [query, pair].into_iter().for_each(|matrix| cx.recycle(matrix));
        Ok(out)
    }

    fn attend(
        &self,
        [query, key, value]: [Projection<'_>; 3],
        reach: Visible<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let width = self.heads.count.saturating_mul(self.heads.dim);
        let mut attended = cx.scratch(query.tokens().saturating_mul(width));
        attention(query, key, value, self.heads, reach, &mut attended)?;
        let out = self.proj.forward(&attended, cx)?;
        cx.recycle(attended);
        Ok(out)
    }
}

/// Says where queries, keys and values of a self-attention come from.
#[derive(Debug, Clone)]
pub enum Qkv {
    /// Means that one layer makes all three, one after the other, as in timm.
    Fused(Linear),
    /// Means the same with biases of their own for queries and values, and none for keys, as in timm's BEiT and EVA.
    FusedWithBiases {
        /// Makes all three, without biases.
        layer: Linear,
        /// Is added to the queries.
        query_bias: Parameter,
        /// Is added to the values.
        value_bias: Parameter,
    },
    /// Means a layer each for queries, keys and values, as in transformers.
    Separate([Linear; 3]),
}

/// Says what attention knows of where the tokens lie.
#[derive(Debug, Clone, Copy)]
pub enum Positions<'a> {
    /// Means nothing: they are embedded in the tokens, if at all.
    Embedded,
    /// Adds biases to the scores.
    Biased(&'a PositionBias),
    /// Rotates queries and keys.
    Rotated(&'a Rotation),
    /// Means that tokens lie window after window and attend to those of their own, with biases added to the scores.
    InWindows(&'a WindowBias),
}

/// Computes the attention of tokens to each other.
#[derive(Debug, Clone)]
pub struct SelfAttention {
    qkv: Qkv,
    attention: Attention,
    cosine: Option<Box<CosineScale>>,
}

impl SelfAttention {
    /// Puts the layers together.
    pub fn new(qkv: Qkv, heads: Heads, proj: Linear) -> Self {
        Self { qkv, attention: Attention::new(heads, proj), cosine: None }
    }

    /// Returns the attention with cosines of queries and keys for scores, times these factors and the scale of the heads.
    #[must_use]
    pub fn of_cosines(self, factors: CosineScale) -> Self {
        Self { cosine: Some(Box::new(factors)), ..self }
    }

    /// Lets tokens × width attend to each other.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        self.forward_at(x, Positions::Embedded, cx)
    }

    /// Lets tokens × width attend to each other, which lie at those positions.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing, x has another width or the positions are those of other tokens.
    pub fn forward_at(
        &self,
        x: &Matrix,
        positions: Positions<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let heads = self.attention.heads;
        let reach = match positions {
            Positions::Biased(bias) => {
                bias.check(x.rows())?;
                Visible::Biased(bias)
            }
            Positions::InWindows(bias) => Visible::Window(bias.window_of(x.rows())?, bias),
            Positions::Embedded | Positions::Rotated(_) => Visible::All,
        };
        let rotated = |x: &mut Matrix, first_column| match positions {
            Positions::Rotated(rotation) => rotation.apply(x, first_column, heads),
            _ => Ok(()),
        };
        let factors = self.cosine.as_ref().map(|cosine| cosine.factors(cx)).transpose()?;
        // Queries are as long as the factors.
        let scaled = |x: &mut Matrix, first_column, is_query: bool| match &factors {
            Some(factors) => normalize(x, first_column, heads, is_query.then_some(factors)),
            None => Ok(()),
        };
        let whole = Projection::whole;
        match &self.qkv {
            Qkv::Fused(layer) | Qkv::FusedWithBiases { layer, .. } => {
                let mut qkv = layer.forward(x, cx)?;
                let width = layer.outputs() / 3;
                if let Qkv::FusedWithBiases { query_bias, value_bias, .. } = &self.qkv {
                    let zeros = vec![0.0; width];
                    let [query, value] = [query_bias.read(cx.weights())?, value_bias.read(cx.weights())?];
                    qkv.add_to_rows(&[query, zeros, value].concat())?;
                }
                rotated(&mut qkv, 0)?;
                rotated(&mut qkv, width)?;
                scaled(&mut qkv, 0, true)?;
                scaled(&mut qkv, width, false)?;
                let part = |index: usize| Projection::starting_at(&qkv, index.saturating_mul(width));
                let out = self.attention.attend([part(0), part(1), part(2)], reach, cx)?;
                cx.recycle(qkv);
                Ok(out)
            }
            Qkv::Separate([query, key, value]) => {
                let (mut query, mut key) = (query.forward(x, cx)?, key.forward(x, cx)?);
                let value = value.forward(x, cx)?;
                rotated(&mut query, 0)?;
                rotated(&mut key, 0)?;
                scaled(&mut query, 0, true)?;
                scaled(&mut key, 0, false)?;
                let out = self.attention.attend([whole(&query), whole(&key), whole(&value)], reach, cx)?;
                [query, key, value].into_iter().for_each(|matrix| cx.recycle(matrix));
                Ok(out)
            }
        }
    }
}
