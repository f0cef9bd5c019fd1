//! Scaled dot-product attention, softmax(q kᵀ · scale) v for each head (Vaswani et al. 2017,
//! arXiv:1706.03762, eq. 1). Blocks of queries are shared out among threads, and the products of one
//! block run on one thread. Queries, keys and values are read where they lie, whether in one fused
//! matrix or in three.

use rayon::prelude::*;

use super::elementary::exp;
use super::error::ForwardError;
use super::matrix::Matrix;
use super::product::{View, ViewMut, times, times_transposed};

/// Queries in a block: enough for an efficient product, few enough that a block's scores stay in cache.
const MOST_QUERIES_IN_A_BLOCK: usize = 128;

/// Queries, keys or values of all heads: a range of the columns of a matrix of tokens, head after head.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a> {
    tokens: &'a Matrix,
    first_column: usize,
}

impl<'a> Projection<'a> {
    /// A matrix whose columns are the heads, one after the other.
    pub fn whole(tokens: &'a Matrix) -> Self {
        Self { tokens, first_column: 0 }
    }

    /// The heads begin at `first_column`, as in timm's fused qkv.
    pub fn starting_at(tokens: &'a Matrix, first_column: usize) -> Self {
        Self { tokens, first_column }
    }

    /// The columns of one head, for `rows` tokens from `first_row` on.
    fn head(&self, head: usize, head_dim: usize, first_row: usize, rows: usize) -> Option<View<'a>> {
        let stride = self.tokens.columns();
        let column = self.first_column.checked_add(head.checked_mul(head_dim)?)?;
        if column.checked_add(head_dim)? > stride || first_row.checked_add(rows)? > self.tokens.rows() {
            return None;
        }
        let offset = first_row.checked_mul(stride)?.checked_add(column)?;
        View::new(self.tokens.values(), offset, rows, head_dim, stride)
    }
}

/// How a width is cut into heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Number of heads.
    pub count: usize,
    /// Width of one head.
    pub dim: usize,
    /// What the scores are multiplied by before the softmax: in ViT the head's width to the power
    /// −1/2, in CvT the whole width's.
    pub scale: f32,
}

/// Fills `out` [queries, heads × head width] with the attended values.
///
/// # Errors
/// [`ForwardError::Operands`] when the projections are too narrow for the heads, or keys and values
/// differ in number.
pub fn attention(
    queries: Projection<'_>,
    keys: Projection<'_>,
    values: Projection<'_>,
    heads: Heads,
    out: &mut Matrix,
) -> Result<(), ForwardError> {
    let misfit = || {
        ForwardError::operands(
            "attention",
            format!(
                "{} heads of {} for {} × {} queries, {} × {} keys and {} × {} values",
                heads.count,
                heads.dim,
                queries.tokens.rows(),
                queries.tokens.columns(),
                keys.tokens.rows(),
                keys.tokens.columns(),
                values.tokens.rows(),
                values.tokens.columns()
            ),
        )
    };
    let width = heads.count.checked_mul(heads.dim).filter(|&width| width > 0).ok_or_else(misfit)?;
    let (count, key_count) = (queries.tokens.rows(), keys.tokens.rows());
    if count == 0 || key_count == 0 || values.tokens.rows() != key_count {
        return Err(misfit());
    }
    out.resize(count, width, "the output of attention")?;
    let threads = rayon::current_num_threads();
    let blocks = threads * count.div_ceil(threads * MOST_QUERIES_IN_A_BLOCK);
    let block = count.div_ceil(blocks);
    out.values_mut().par_chunks_mut(block * width).enumerate().try_for_each_init(
        Matrix::new,
        |scores, (index, out)| {
            let rows = out.len() / width;
            scores.resize(rows, key_count, "the scores of attention")?;
            (0..heads.count)
                .try_for_each(|head| {
                    let query = queries.head(head, heads.dim, index * block, rows)?;
                    let key = keys.head(head, heads.dim, 0, key_count)?;
                    let value = values.head(head, heads.dim, 0, key_count)?;
                    let all = ViewMut::new(scores.values_mut(), 0, rows, key_count, key_count)?;
                    times_transposed(all, query, key, heads.scale)?;
                    softmax(scores.values_mut(), key_count);
                    let weights = View::new(scores.values(), 0, rows, key_count, key_count)?;
                    times(ViewMut::new(out, head * heads.dim, rows, heads.dim, width)?, weights, value)
                })
                .ok_or_else(misfit)
        },
    )
}

/// Turns each row of `columns` scores into weights that sum to one.
fn softmax(scores: &mut [f32], columns: usize) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(columns) {
                let largest = fold(row, f32::NEG_INFINITY, |a, b| if a > b { a } else { b });
                for score in row.iter_mut() {
                    *score = exp(*score - largest);
                }
                let scale = 1.0 / fold(row, 0.0, |a, b| a + b);
                for weight in row.iter_mut() {
                    *weight *= scale;
                }
            }
        },
    );
}

/// Reduces `values` in sixteen lanes.
#[inline(always)]
fn fold(values: &[f32], start: f32, combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 16];
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(start, |a, &b| combine(a, b));
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, value);
        }
    }
    lanes.into_iter().fold(rest, combine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(rows: usize, columns: usize, seed: u32) -> Matrix {
        let mut state = seed;
        let values = (0..rows * columns)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        Matrix::from_values(rows, columns, values).unwrap()
    }

    /// The definition, in float64.
    fn expected(
        q: &[f32],
        k: &[f32],
        v: &[f32],
        stride: [usize; 3],
        queries: usize,
        heads: Heads,
    ) -> Vec<f64> {
        let keys = k.len().div_ceil(stride[1]);
        let mut out = Vec::new();
        for query in 0..queries {
            for head in 0..heads.count {
                let at = |x: &[f32], stride: usize, row: usize, i: usize| {
                    f64::from(x[row * stride + head * heads.dim + i])
                };
                let scores: Vec<f64> = (0..keys)
                    .map(|key| {
                        let dot: f64 = (0..heads.dim)
                            .map(|i| at(q, stride[0], query, i) * at(k, stride[1], key, i))
                            .sum();
                        (dot * f64::from(heads.scale)).exp()
                    })
                    .collect();
                let sum: f64 = scores.iter().sum();
                for i in 0..heads.dim {
                    out.push(
                        scores.iter().enumerate().map(|(key, s)| s * at(v, stride[2], key, i)).sum::<f64>()
                            / sum,
                    );
                }
            }
        }
        out
    }

    fn close(out: &Matrix, expected: &[f64]) {
        assert_eq!(out.values().len(), expected.len());
        for (value, expected) in out.values().iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-6, "{value}, not {expected}");
        }
    }

    #[test]
    fn fused_and_separate_projections() {
        let heads = Heads { count: 3, dim: 5, scale: 2.0 };
        for tokens in [1, 2, 19, 300] {
            let qkv = noise(tokens, 45, 7);
            let mut out = Matrix::new();
            let part = |first| Projection::starting_at(&qkv, first);
            attention(part(0), part(15), part(30), heads, &mut out).unwrap();
            let x = qkv.values();
            close(&out, &expected(x, &x[15..], &x[30..], [45; 3], tokens, heads));
        }
        let (q, k, v) = (noise(300, 15, 1), noise(70, 15, 2), noise(70, 16, 3));
        let mut out = Matrix::new();
        attention(Projection::whole(&q), Projection::whole(&k), Projection::whole(&v), heads, &mut out)
            .unwrap();
        close(&out, &expected(q.values(), k.values(), v.values(), [15, 15, 16], 300, heads));
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let heads = Heads { count: 1, dim: 4, scale: 1e6 };
        let q = noise(3, 4, 5);
        let mut out = Matrix::new();
        attention(Projection::whole(&q), Projection::whole(&q), Projection::whole(&q), heads, &mut out)
            .unwrap();
        assert!(out.values().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn projections_that_do_not_fit_are_errors() {
        let (q, k) = (noise(3, 8, 1), noise(4, 8, 2));
        let whole = Projection::whole;
        let mut out = Matrix::new();
        let fits = Heads { count: 2, dim: 4, scale: 1.0 };
        assert!(attention(whole(&q), whole(&k), whole(&k), fits, &mut out).is_ok());
        assert!(attention(whole(&q), whole(&k), whole(&q), fits, &mut out).is_err());
        assert!(attention(Projection::starting_at(&q, 1), whole(&k), whole(&k), fits, &mut out).is_err());
        for count in [0, 3, usize::MAX] {
            assert!(attention(whole(&q), whole(&k), whole(&k), Heads { count, ..fits }, &mut out).is_err());
        }
    }
}
