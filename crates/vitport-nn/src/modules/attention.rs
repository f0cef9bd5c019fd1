//! Defines multi-head attention.

use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::attention::{Heads, Projection, attention};
use crate::matrix::Matrix;
use crate::network::Context;

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
        let out = self.attend([whole(&query), whole(&key), whole(&value)], cx)?;
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
        let out = self.attend([Projection::whole(&query), part(0), part(pair.columns() / 2)], cx)?;
        [query, pair].into_iter().for_each(|matrix| cx.recycle(matrix));
        Ok(out)
    }

    fn attend(
        &self,
        [query, key, value]: [Projection<'_>; 3],
        cx: &mut Context<'_>,
    ) -> Result<Matrix, ForwardError> {
        let width = self.heads.count.saturating_mul(self.heads.dim);
        let mut attended = cx.scratch(query.tokens().saturating_mul(width));
        attention(query, key, value, self.heads, &mut attended)?;
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
    /// Means a layer each for queries, keys and values, as in transformers.
    Separate([Linear; 3]),
}

/// Computes the attention of tokens to each other.
#[derive(Debug, Clone)]
pub struct SelfAttention {
    qkv: Qkv,
    attention: Attention,
}

impl SelfAttention {
    /// Puts the layers together.
    pub fn new(qkv: Qkv, heads: Heads, proj: Linear) -> Self {
        Self { qkv, attention: Attention::new(heads, proj) }
    }

    /// Lets tokens × width attend to each other.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match &self.qkv {
            Qkv::Fused(layer) => {
                let qkv = layer.forward(x, cx)?;
                let width = layer.outputs() / 3;
                let part = |index: usize| Projection::starting_at(&qkv, index.saturating_mul(width));
                let out = self.attention.attend([part(0), part(1), part(2)], cx)?;
                cx.recycle(qkv);
                Ok(out)
            }
            Qkv::Separate([query, key, value]) => {
                let (query, key, value) = (query.forward(x, cx)?, key.forward(x, cx)?, value.forward(x, cx)?);
                self.attention.forward(query, key, value, cx)
            }
        }
    }
}
