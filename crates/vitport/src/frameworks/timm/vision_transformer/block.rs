//! timm's `Block`: x + ls1(attn(norm1(x))), then x + ls2(mlp(norm2(x))).

use super::super::layers::activation;
use super::config::{Config, MlpLayer};
use super::norm::Norm;
use crate::nn::{
    Activation, Attention, Context, ForwardError, Gate, GatedMlp, LayerScale, Linear, Matrix, Mlp, Qkv,
    Scope, SelfAttention,
};

pub(super) struct Block {
    norm1: Norm,
    attn: BlockAttention,
    ls1: Option<LayerScale>,
    norm2: Norm,
    mlp: BlockMlp,
    ls2: Option<LayerScale>,
}

impl Block {
    pub(super) fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let dim = config.embed_dim;
        let scale = |name: &str| {
            config.layer_scale.then(|| LayerScale::new(&scope.pp(name), "gamma", dim)).transpose()
        };
        Ok(Self {
            norm1: Norm::new(&scope.pp("norm1"), config, dim)?,
            attn: BlockAttention::new(&scope.pp("attn"), config)?,
            ls1: scale("ls1")?,
            norm2: Norm::new(&scope.pp("norm2"), config, dim)?,
            mlp: BlockMlp::new(&scope.pp("mlp"), config)?,
            ls2: scale("ls2")?,
        })
    }

    pub(super) fn forward(&self, tokens: &mut Matrix, cx: &mut Context<'_>) -> Result<(), ForwardError> {
        let normalized = self.norm1.forward(tokens, cx)?;
        let branch = self.attn.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.ls1.as_ref(), tokens, branch, cx)?;
        let normalized = self.norm2.forward(tokens, cx)?;
        let branch = self.mlp.forward(&normalized, cx)?;
        cx.recycle(normalized);
        LayerScale::add(self.ls2.as_ref(), tokens, branch, cx)
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
        let norm = |name: &str| Norm::new(&scope.pp(name), config, heads.dim);
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

/// Stands for timm's `Mlp`, `SwiGLUPacked` and `SwiGLU`.
enum BlockMlp {
    Plain(Mlp),
    Gated(GatedMlp),
}

impl BlockMlp {
    fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let (dim, hidden, bias) = (config.embed_dim, config.mlp_dim, config.mlp_bias);
        let activation = activation(&config.act_layer)?;
        let inner = |name: &str, width: usize| Linear::new(&scope.pp(name), dim, width, bias);
        let fc2 = || Linear::new(&scope.pp("fc2"), hidden, dim, bias);
        Ok(match config.mlp_layer {
            MlpLayer::Mlp => Self::Plain(Mlp::new(inner("fc1", hidden)?, activation, fc2()?)),
            MlpLayer::SwiGLUPacked => {
                let gate = Gate::Packed(inner("fc1", hidden.saturating_mul(2))?);
                Self::Gated(GatedMlp::new(gate, activation, fc2()?))
            }
            MlpLayer::SwiGLU => {
                let gate = Gate::Separate([inner("fc1_g", hidden)?, inner("fc1_x", hidden)?]);
                Self::Gated(GatedMlp::new(gate, activation, fc2()?))
            }
        })
    }

    fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        match self {
            Self::Plain(mlp) => mlp.forward(x, cx),
            Self::Gated(mlp) => mlp.forward(x, cx),
        }
    }
}
