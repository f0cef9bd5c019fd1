//! timm's `Block`: x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))).

use super::super::layers::activation;
use super::config::{Config, MlpLayer};
use super::norm;
use crate::nn::{
    Activation, Attention, Context, FeedForward, ForwardError, Gate, GatedMlp, LayerScale, Linear, Matrix,
    Mlp, Norm, Qkv, Scope, SelfAttention,
};

pub(super) struct Block {
    norm1: Norm,
    attn: BlockAttention,
    ls1: Option<LayerScale>,
    norm2: Norm,
    mlp: FeedForward,
    ls2: Option<LayerScale>,
}

impl Block {
    pub(super) fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let dim = config.embed_dim;
        let scale = |name: &str| {
            config.layer_scale.then(|| LayerScale::new(&scope.pp(name), "gamma", dim)).transpose()
        };
        Ok(Self {
            norm1: norm::new(&scope.pp("norm1"), config, dim)?,
            attn: BlockAttention::new(&scope.pp("attn"), config)?,
            ls1: scale("ls1")?,
            norm2: norm::new(&scope.pp("norm2"), config, dim)?,
            mlp: mlp(&scope.pp("mlp"), config)?,
            ls2: scale("ls2")?,
        })
    }

    pub(super) fn forward(&self, tokens: &mut Matrix, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        self.norm1.add_branch(tokens, self.ls1.as_ref(), cx, |x, cx| self.attn.forward(x, cx))?;
        self.norm2.add_branch(tokens, self.ls2.as_ref(), cx, |x, cx| self.mlp.forward(x, cx))
    }
}

/// Stands for timm's `Attention` without and with QK norm.
enum BlockAttention {
    Plain(SelfAttention),
    Normalized { qkv: Linear, norms: Box<[Norm; 2]>, head_dim: usize, attention: Attention },
}

impl BlockAttention {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (dim, heads) = (config.embed_dim, config.heads());
        let qkv = Linear::new(&scope.pp("qkv"), dim, dim.saturating_mul(3), config.qkv_bias)?;
        let proj = Linear::new(&scope.pp("proj"), dim, dim, config.proj_bias)?;
        if !config.qk_norm {
            return Ok(Self::Plain(SelfAttention::new(Qkv::Fused(qkv), heads, proj)));
        }
        let norm = |name: &str| norm::new(&scope.pp(name), config, heads.dim);
        let norms = Box::new([norm("q_norm")?, norm("k_norm")?]);
        Ok(Self::Normalized { qkv, norms, head_dim: heads.dim, attention: Attention::new(heads, proj) })
    }

    fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let (qkv, norms, head_dim, attention) = match self {
            Self::Plain(attention) => return attention.forward(x, cx),
            Self::Normalized { qkv, norms, head_dim, attention } => (qkv, norms, *head_dim, attention),
        };
        let width = qkv.outputs() / 3;
        let part = |index: usize, cx: &mut Context<'_>| {
            let first = index.saturating_mul(width);
            qkv.forward_part(x, first..first.saturating_add(width), Activation::Identity, cx)
        };
        let [q_norm, k_norm] = &**norms;
        let query = of_each_head(q_norm, part(0, cx)?, head_dim, cx)?;
        let key = of_each_head(k_norm, part(1, cx)?, head_dim, cx)?;
        let value = part(2, cx)?;
        attention.forward(query, key, value, cx)
    }
}

/// Normalises each head of tokens × width by itself.
fn of_each_head(norm: &Norm, x: Matrix, dim: usize, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
    let (rows, width) = (x.rows(), x.columns());
    let heads = rows.saturating_mul(width.checked_div(dim).unwrap_or(0));
    let normalized = norm.forward(&Matrix::from_values(heads, dim, x.into_values())?, cx)?;
    Matrix::from_values(rows, width, normalized.into_values())
}

/// Builds timm's `Mlp`, `SwiGLUPacked` or `SwiGLU`.
fn mlp(scope: &Scope, config: &Config) -> Result<FeedForward, ForwardError> {
    let (dim, hidden, bias) = (config.embed_dim, config.mlp_dim, config.mlp_bias);
    let activation = activation(&config.act_layer)?;
    let inner = |name: &str, width: usize| Linear::new(&scope.pp(name), dim, width, bias);
    let fc2 = || Linear::new(&scope.pp("fc2"), hidden, dim, bias);
    Ok(match config.mlp_layer {
        MlpLayer::Mlp => FeedForward::Plain(Mlp::new(inner("fc1", hidden)?, activation, fc2()?)),
        MlpLayer::SwiGLUPacked => {
            let gate = Gate::Packed(inner("fc1", hidden.saturating_mul(2))?);
            FeedForward::Gated(GatedMlp::new(gate, activation, fc2()?))
        }
        MlpLayer::SwiGLU => {
            let gate = Gate::Separate([inner("fc1_g", hidden)?, inner("fc1_x", hidden)?]);
            FeedForward::Gated(GatedMlp::new(gate, activation, fc2()?))
        }
    })
}
