//! `forward_head`: how the tokens after the blocks become one vector, and what the head makes of it.

use super::super::layers::activation;
use super::config::{Config, Pooling};
use super::norm;
use crate::nn::{
    AttentionPool, Context, ForwardError, LayerNorm, Linear, Matrix, Mlp, Norm, Outputs, PoolQkv, Scope,
    mean_of_rows, outputs_of_head, token, without_leading,
};

pub(super) struct Head {
    pooling: Pooling,
    /// Counts the tokens in front that pooling does not read.
    left_out: usize,
    attn_pool: Option<AttentionPool>,
    fc_norm: Option<Norm>,
    head: Option<Linear>,
    /// Gives the head of the distillation token; none inside where there is neither head.
    distilled: Option<Option<Linear>>,
}

impl Head {
    pub(super) fn new(scope: &Scope, config: &Config) -> Result<Self, ForwardError> {
        let dim = config.embed_dim;
        let linear = |name: &str| {
            (config.num_classes > 0)
                .then(|| Linear::new(&scope.pp(name), dim, config.num_classes, true))
                .transpose()
        };
        Ok(Self {
            pooling: config.global_pool,
            left_out: if config.pool_include_prefix { 0 } else { config.prefix_tokens() },
            attn_pool: (config.global_pool == Pooling::Map)
                .then(|| attention_pool(&scope.pp("attn_pool"), config))
                .transpose()?,
            fc_norm: (config.final_norm && config.fc_norm)
                .then(|| norm::new(&scope.pp("fc_norm"), config, dim))
                .transpose()?,
            head: linear("head")?,
            distilled: config.dist_token.then(|| linear("head_dist")).transpose()?,
        })
    }

    pub(super) fn forward(&self, tokens: &Matrix, cx: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        if let Some(head_dist) = &self.distilled {
            return self.forward_distilled(tokens, head_dist.as_ref(), cx);
        }
        let pooled = self.pool(tokens, cx)?;
        let normalized = match &self.fc_norm {
            Some(norm) => norm.forward(&pooled, cx)?,
            None => pooled.clone(),
        };
        let mut outputs = outputs_of_head(["pre_logits", "logits"], &normalized, self.head.as_ref(), cx)?;
        outputs.push("pool", pooled.into_values());
        Ok(outputs)
    }

    fn pool(&self, tokens: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let pooled = |values: Vec<f32>| Matrix::from_values(1, values.len(), values);
        let read = || without_leading(tokens, self.left_out);
        match (self.pooling, &self.attn_pool) {
            (_, Some(attn_pool)) => attn_pool.forward(&read()?, cx),
            (Pooling::None | Pooling::Map, None) => Ok(tokens.clone()),
            (Pooling::Token, None) => token(tokens, 0),
            (Pooling::Avg, None) => pooled(mean_of_rows(&read()?)),
            (Pooling::Max, None) => pooled(largest_of_rows(&read()?)),
            (Pooling::AvgMax, None) => {
                let patches = read()?;
                let pairs = mean_of_rows(&patches).into_iter().zip(largest_of_rows(&patches));
                pooled(pairs.map(|(mean, largest)| 0.5 * (mean + largest)).collect())
            }
        }
    }

    /// Computes what timm does in evaluation, the mean of what both heads make of their tokens.
    fn forward_distilled(
        &self,
        tokens: &Matrix,
        head_dist: Option<&Linear>,
        cx: &mut Context<'_>,
    ) -> Result<Outputs, ForwardError> {
        let half = |one: &[f32], other: &[f32]| -> Vec<f32> {
            one.iter().zip(other).map(|(one, other)| (one + other) / 2.0).collect()
        };
        let (class, dist) = (token(tokens, 0)?, token(tokens, 1)?);
        let mut outputs = Outputs::new();
        outputs.push("pre_logits", half(class.values(), dist.values()));
        if let (Some(head), Some(head_dist)) = (&self.head, head_dist) {
            let (cls_logits, dist_logits) = (head.forward(&class, cx)?, head_dist.forward(&dist, cx)?);
            let logits = half(cls_logits.values(), dist_logits.values());
            let sizes =
                [head.size_of_terms(class.values(), cx)?, head_dist.size_of_terms(dist.values(), cx)?];
            outputs.push_sum("cls_logits", cls_logits.into_values(), sizes[0]);
            outputs.push_sum("distillation_logits", dist_logits.into_values(), sizes[1]);
            outputs.push_sum("logits", logits, (sizes[0] + sizes[1]) / 2.0);
        }
        Ok(outputs)
    }
}

/// Builds timm's `AttentionPoolLatent` as `VisionTransformer` makes it: one latent, no positions, no QK norm, biases everywhere,
/// and an MLP of the blocks' activation and ratio without a gate. Its norm is of the network's class.
fn attention_pool(scope: &Scope, config: &Config) -> Result<AttentionPool, ForwardError> {
    let dim = config.embed_dim;
    let linear = |name: &str, outputs: usize| Linear::new(&scope.pp(name), dim, outputs, true);
    let latent = scope.parameter("latent", &[1, 1, dim])?;
    let qkv = PoolQkv::QueryAndRest(linear("q", dim)?, linear("kv", dim.saturating_mul(2))?);
    let proj = linear("proj", dim)?;
    let norm = LayerNorm::new(&scope.pp("norm"), dim, config.norm_eps)?;
    let sizes = [dim, config.mlp_dim, dim];
    let activation = activation(&config.act_layer)?;
    let mlp = Mlp::with_biases(Linear::new, scope, ["mlp.fc1", "mlp.fc2"], sizes, activation)?;
    Ok(AttentionPool::new(latent, qkv, config.heads(), proj, norm, mlp))
}

/// Returns the largest value of each column.
fn largest_of_rows(tokens: &Matrix) -> Vec<f32> {
    let mut largest = vec![f32::NEG_INFINITY; tokens.columns()];
    for row in tokens.values().chunks_exact(tokens.columns().max(1)) {
        // Unlike f32::max, a comparison keeps NaN.
        largest.iter_mut().zip(row).for_each(|(most, &value)| {
            if value > *most || value.is_nan() {
                *most = value;
            }
        });
    }
    largest
}
