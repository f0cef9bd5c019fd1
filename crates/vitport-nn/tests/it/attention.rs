//! Makes attention from the parameters of a row.

use serde::Deserialize;
use vitport_nn::{
    Attention, AttentionPool, Context, ForwardError, Heads, LayerNorm, Linear, Matrix, Mlp, PoolQkv,
    PositionBias, Positions, Qkv, RelativePositionBias, Rotation, Scope, SelfAttention,
};

use crate::case::Case;
use crate::run::{activation, fused_with_biases, heads};

/// A module and its parameters, as in the table. What only the inputs depend on is not read.
#[derive(Deserialize)]
#[serde(tag = "module", rename_all = "snake_case")]
pub enum AttentionModule {
    PooledAttention { width: usize, heads: usize, hidden: usize, activation: String, eps: f64, fused: bool },
    SelfAttention { width: usize, heads: usize, scale: f32, fused: bool, bias: bool },
    Attention { width: usize, heads: usize, scale: f32 },
    BiasedAttention { width: usize, heads: usize, grid: (usize, usize), shared: bool },
    RotatedAttention { width: usize, heads: usize, grid: (usize, usize), theta: f64, fused: bool },
}

impl AttentionModule {
    /// Makes the module and runs it on the row's inputs.
    pub fn forward(self, case: &Case, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let root = Scope::root();
        match self {
            Self::PooledAttention { width, heads, hidden, activation: name, eps, fused } => {
                let linear = |name: &str, outputs| Linear::new(&root.pp(name), width, outputs, true);
                let sizes = [width, hidden, width];
                let mlp =
                    Mlp::with_biases(Linear::new, &root, ["mlp.fc1", "mlp.fc2"], sizes, activation(&name))?;
                let heads = Heads::of_width(heads, width);
                let shape = [1, 1, width];
                let pool = if fused {
                    let names = ["in_proj_weight", "in_proj_bias"];
                    let qkv = Linear::named(&root.pp("attention"), names, width, 3 * width)?;
                    AttentionPool::new(
                        root.parameter("probe", &shape)?,
                        PoolQkv::Fused(qkv),
                        heads,
                        linear("attention.out_proj", width)?,
                        LayerNorm::new(&root.pp("layernorm"), width, eps)?,
                        mlp,
                    )
                } else {
                    AttentionPool::new(
                        root.parameter("latent", &shape)?,
                        PoolQkv::QueryAndRest(linear("q", width)?, linear("kv", 2 * width)?),
                        heads,
                        linear("proj", width)?,
                        LayerNorm::new(&root.pp("norm"), width, eps)?,
                        mlp,
                    )
                };
                pool.forward(&case.matrix("x"), cx)
            }
            Self::SelfAttention { width, heads: count, scale, fused, bias } => {
                let linear = |name: &str, outputs| Linear::new(&root.pp(name), width, outputs, bias);
                let qkv = if fused {
                    Qkv::Fused(linear("qkv", 3 * width)?)
                } else {
                    Qkv::Separate([linear("query", width)?, linear("key", width)?, linear("value", width)?])
                };
                let proj = Linear::new(&root.pp("proj"), width, width, true)?;
                SelfAttention::new(qkv, heads(count, width, scale), proj).forward(&case.matrix("x"), cx)
            }
            Self::Attention { width, heads: count, scale } => {
                let proj = Linear::new(&root.pp("proj"), width, width, true)?;
                let attention = Attention::new(heads(count, width, scale), proj);
                attention.forward(case.matrix("q"), case.matrix("k"), case.matrix("v"), cx)
            }
            Self::BiasedAttention { width, heads: count, grid, shared } => {
                let table = RelativePositionBias::new(&root, grid, count)?.read(cx)?;
                let shared = shared.then(|| RelativePositionBias::new(&root.pp("shared"), grid, count));
                let shared = shared.transpose()?.map(|table| table.read(cx)).transpose()?;
                let table = PositionBias::sum(Some(table), shared.as_ref()).unwrap();
                let attention = fused_with_biases(&root, width, count)?;
                attention.forward_at(&case.matrix("x"), Positions::Biased(&table), cx)
            }
            Self::RotatedAttention { width, heads: count, grid, theta, fused } => {
                let attention = if fused {
                    fused_with_biases(&root, width, count)?
                } else {
                    let linear = |name: &str, bias| Linear::new(&root.pp(name), width, width, bias);
                    let separate =
                        [linear("q_proj", true)?, linear("k_proj", false)?, linear("v_proj", true)?];
                    SelfAttention::new(
                        Qkv::Separate(separate),
                        Heads::of_width(count, width),
                        linear("proj", true)?,
                    )
                };
                let rotation = Rotation::of_centers(grid, width / count, theta)?;
                attention.forward_at(&case.matrix("x"), Positions::Rotated(&rotation), cx)
            }
        }
    }
}
