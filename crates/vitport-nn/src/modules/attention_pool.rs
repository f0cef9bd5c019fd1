//! Defines attention pooling with one learned query.

use super::attention::Attention;
use super::layer_norm::LayerNorm;
use super::linear::Linear;
use super::mlp::Mlp;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::attention::Heads;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Parameter;

/// Says where the query, the keys and the values come from.
#[derive(Debug, Clone)]
pub enum PoolQkv {
    /// Means one layer for all three, one after the other, as `torch.nn.MultiheadAttention` has it.
    Fused(Linear),
    /// Means a layer for the query and one for keys and values, as in timm's `AttentionPoolLatent`.
    QueryAndRest(Linear, Linear),
}

/// Lets a learned token attend to all others, and adds an MLP of the result after a norm: SigLIP's pooling (Zhai et al. 2023,
/// arXiv:2303.15343), timm's `AttentionPoolLatent` with one latent.
#[derive(Debug, Clone)]
pub struct AttentionPool {
    latent: Parameter,
    qkv: PoolQkv,
    attention: Attention,
    norm: LayerNorm,
    mlp: Mlp,
}

impl AttentionPool {
    /// Puts the layers together. `latent` is the learned token, `[1, 1, width]`.
    pub fn new(
        latent: Parameter,
        qkv: PoolQkv,
        heads: Heads,
        proj: Linear,
        norm: LayerNorm,
        mlp: Mlp,
    ) -> Self {
        Self { latent, qkv, attention: Attention::new(heads, proj), norm, mlp }
    }

    /// Pools tokens × width to one row.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the tokens have another width.
    pub fn forward(&self, tokens: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let latent = self.latent.read(cx.weights())?;
        let latent = Matrix::from_values(1, latent.len(), latent)?;
        let (query, rest) = match &self.qkv {
            PoolQkv::Fused(layer) => {
                let (third, all) = (layer.outputs() / 3, layer.outputs());
                let query = layer.forward_part(&latent, 0..third, Activation::Identity, cx)?;
                (query, layer.forward_part(tokens, third..all, Activation::Identity, cx)?)
            }
            PoolQkv::QueryAndRest(query, rest) => (query.forward(&latent, cx)?, rest.forward(tokens, cx)?),
        };
        let mut pooled = self.attention.of_pair(query, rest, cx)?;
        let normalized = self.norm.forward(&pooled, cx)?;
        let output = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        pooled.add(&output)?;
        cx.recycle(output);
        Ok(pooled)
    }
}
