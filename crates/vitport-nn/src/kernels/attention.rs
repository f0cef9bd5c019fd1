//! Computes scaled dot-product attention, softmax(q kᵀ · scale) v for each head (Vaswani et al. 2017, arXiv:1706.03762, eq. 1).
//! Heads, and blocks of queries where there are many, are shared out among threads, and the products of one head run on one
//! thread. Queries, keys and values are read where they lie, whether in one fused matrix or in three.

use std::cell::RefCell;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::elementary::exp;
use super::panel::PanelBuffer;
use super::product::{Product, times};
use super::view::{Block, View, cut};
use crate::error::ForwardError;
use crate::matrix::Matrix;

/// Counts the scores of a block: 256 KiB, which stay in a core's second cache.
const SCORES_OF_A_BLOCK: usize = 1 << 16;
/// Gives the fewest queries that are worth packing a head's keys and values for again.
const LEAST_BLOCK_QUERIES: usize = 32;
/// Aligns the rows of a block's scores: they begin at multiples of this, the most lanes of a vector.
const LANES: usize = 16;

/// Holds queries, keys or values of all heads: a range of the columns of a matrix of tokens, head after head.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a> {
    tokens: &'a Matrix,
    first_column: usize,
}

impl<'a> Projection<'a> {
    /// Takes a matrix whose columns are the heads, one after the other.
    pub fn whole(tokens: &'a Matrix) -> Self {
        Self { tokens, first_column: 0 }
    }

    /// Takes heads that begin at `first_column`, as in timm's fused qkv.
    pub fn starting_at(tokens: &'a Matrix, first_column: usize) -> Self {
        Self { tokens, first_column }
    }

    /// Returns the number of tokens.
    pub fn tokens(&self) -> usize {
        self.tokens.rows()
    }

    /// Returns the `head_dim` columns from number `column` of the heads on, of `rows` tokens from number `first_row` on.
    fn head(&self, column: usize, head_dim: usize, first_row: usize, rows: usize) -> Option<View<'a>> {
        let stride = self.tokens.columns();
        let column = self.first_column.checked_add(column)?;
        if column.checked_add(head_dim)? > stride {
            return None;
        }
        let offset = first_row.checked_mul(stride)?.checked_add(column)?;
        View::new(self.tokens.values(), offset, rows, head_dim, stride)
    }
}

/// Says how a width is cut into heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Counts the heads.
    pub count: usize,
    /// Gives the width of one head.
    pub dim: usize,
    /// Gives what the scores are multiplied by before the softmax: in ViT the head's width to the power −1/2, in CvT the whole
    /// width's.
    pub scale: f32,
}

impl Heads {
    /// Returns `count` heads of a width that they share, scores multiplied by the head's width to the power −1/2.
    pub fn of_width(count: usize, width: usize) -> Self {
        let dim = width.checked_div(count).unwrap_or(0);
        Self { count, dim, scale: (dim as f64).powf(-0.5) as f32 }
    }
}

/// Knows what is added to the scaled scores before the softmax.
pub trait ScoreBias: Sync {
    /// Adds to the scores that the query of number `query` has in that head, one for each key.
    fn add(&self, head: usize, query: usize, scores: &mut [f32]);
}

/// Says which keys a query attends to.
#[derive(Clone, Copy)]
pub enum Visible<'a> {
    /// Means all of them.
    All,
    /// Means all, with these biases added to their scores.
    Biased(&'a dyn ScoreBias),
    /// Means those of its own window, with these biases: tokens lie window after window, so many in each.
    Window(usize, &'a dyn ScoreBias),
}

impl<'a> Visible<'a> {
    fn bias(self) -> Option<&'a dyn ScoreBias> {
        match self {
            Self::All => None,
            Self::Biased(bias) | Self::Window(_, bias) => Some(bias),
        }
    }
}

/// Fills `out` [queries, heads × head width] with the attended values.
///
/// # Errors
/// [`ForwardError::Operands`] when the projections are too narrow for the heads, keys and values differ in number, or tokens are
/// no whole number of windows.
pub fn attention(
    queries: Projection<'_>,
    keys: Projection<'_>,
    values: Projection<'_>,
    heads: Heads,
    reach: Visible<'_>,
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
    // Queries and keys of a window.
    let (own, own_keys) = match reach {
        Visible::Window(tokens, _) if tokens > 0 && count == key_count && count.is_multiple_of(tokens) => {
            (tokens, tokens)
        }
        Visible::Window(..) => return Err(misfit()),
        Visible::All | Visible::Biased(_) => (count, key_count),
    };
    out.resize(count, width, "the output of attention")?;
    let stride = own_keys.checked_next_multiple_of(LANES).ok_or_else(misfit)?;
    let most = (SCORES_OF_A_BLOCK / stride).max(LEAST_BLOCK_QUERIES);
    let block_rows = own.div_ceil(own.div_ceil(most));
    let windows = out.values_mut().chunks_mut(own.saturating_mul(width)).enumerate();
    let blocks: Vec<_> = windows
        .flat_map(|(window, out)| {
            cut(out, width, block_rows, heads.dim).into_iter().map(move |block| (window, block))
        })
        .collect();
    blocks.into_par_iter().with_max_len(1).try_for_each(|(window, mut block)| {
        SCRATCH.with_borrow_mut(|buffer| {
            buffer.scores.resize(block.rows.len(), stride, "the scores of attention")?;
            let (column, dim) = (block.first_column, heads.dim);
            let (first, first_key) = (window.saturating_mul(own), window.saturating_mul(own_keys));
            let query = queries.head(column, dim, first, own).ok_or_else(misfit)?;
            let key = keys.head(column, dim, first_key, own_keys).ok_or_else(misfit)?;
            let value = values.head(column, dim, first_key, own_keys).ok_or_else(misfit)?;
            let place = Place { first_query: first, bias: reach.bias() };
            buffer.attend([query, key, value], heads, &place, &mut block).ok_or_else(misfit)
        })
    })
}

/// Says where the queries of a head stand among all, and what is added to their scores.
struct Place<'a> {
    first_query: usize,
    bias: Option<&'a dyn ScoreBias>,
}

/// Holds the buffers that a thread needs during one head.
#[derive(Debug, Default)]
struct Scratch {
    panel: PanelBuffer,
    scores: Matrix,
}

thread_local! {
    /// Holds memory that is kept from head to head, because fresh memory costs a page fault every four kilobytes.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Computes one head for a block of queries; returns none when the sizes do not fit.
    fn attend(
        &mut self,
        [query, key, value]: [View<'_>; 3],
        heads: Heads,
        place: &Place<'_>,
        block: &mut Block<'_>,
    ) -> Option<()> {
        let (rows, stride) = (self.scores.rows(), self.scores.columns());
        let scores = self.scores.values_mut();
        let mut slots: Vec<&mut [f32]> = scores.chunks_exact_mut(stride).collect();
        let product =
            Product { left: query, first_row: block.first_row, right: key, finish: None, ahead: None };
        product.run(&mut self.panel, &mut slots)?;
        let head = block.first_column.checked_div(heads.dim)?;
        for (row, slots) in slots.iter_mut().enumerate() {
            let (scores, rest) = slots.split_at_mut_checked(key.rows())?;
            rest.fill(f32::NEG_INFINITY);
            if let Some(bias) = place.bias {
                scores.iter_mut().for_each(|score| *score *= heads.scale);
                bias.add(head, place.first_query.checked_add(block.first_row)?.checked_add(row)?, scores);
            }
        }
        let scale = if place.bias.is_some() { 1.0 } else { heads.scale };
        pulp::Arch::new().dispatch(Softmax { scores, columns: stride, scale });
        let weights = View::new(scores, 0, rows, key.rows(), stride)?;
        times(weights, value, &mut self.panel, &mut block.rows)
    }
}

/// Gives the lowest scaled score, as a difference to the row's largest, whose weight counts. Lower ones count less than 2e-35;
/// they are nothing, as their weights and products would soon be subnormal numbers, with which many processors are far slower.
const LOWEST: f32 = -80.0;

/// Makes of each row of `columns` scores, a multiple of [`LANES`], weights of the scaled scores that
/// sum to one. Scores of −∞ become nothing.
struct Softmax<'a> {
    scores: &'a mut [f32],
    columns: usize,
    scale: f32,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let scale = simd.splat_f32s(self.scale);
        let (lowest, nothing) = (simd.splat_f32s(LOWEST), simd.splat_f32s(0.0));
        for row in self.scores.chunks_exact_mut(self.columns) {
            let row = S::as_mut_simd_f32s(row).0;
            let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
            for score in &*row {
                largest = simd.max_f32s(*score, largest);
            }
            let largest = simd.splat_f32s(simd.reduce_max_f32s(largest));
            let mut total = simd.splat_f32s(0.0);
            for score in &mut *row {
                let scaled = simd.mul_f32s(simd.sub_f32s(*score, largest), scale);
                *score = simd.select_f32s(simd.less_than_f32s(scaled, lowest), nothing, exp(simd, scaled));
                total = simd.add_f32s(total, *score);
            }
            let share = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(total));
            for weight in row {
                *weight = simd.mul_f32s(*weight, share);
            }
        }
    }
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

    /// Computes the definition in float64.
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

    /// Returns what comes of whole matrices of queries, keys and values.
    fn attended(of: [&Matrix; 3], heads: Heads) -> Matrix {
        let mut out = Matrix::new();
        let [query, key, value] = of.map(Projection::whole);
        attention(query, key, value, heads, Visible::All, &mut out).unwrap();
        out
    }

    #[test]
    fn fused_and_separate_projections() {
        let heads = Heads { count: 3, dim: 5, scale: 2.0 };
        for tokens in [1, 2, 19, 300] {
            let qkv = noise(tokens, 45, 7);
            let mut out = Matrix::new();
            let part = |first| Projection::starting_at(&qkv, first);
            attention(part(0), part(15), part(30), heads, Visible::All, &mut out).unwrap();
            let x = qkv.values();
            close(&out, &expected(x, &x[15..], &x[30..], [45; 3], tokens, heads));
        }
        let (q, k, v) = (noise(300, 15, 1), noise(70, 15, 2), noise(70, 16, 3));
        let out = attended([&q, &k, &v], heads);
        close(&out, &expected(q.values(), k.values(), v.values(), [15, 15, 16], 300, heads));
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let heads = Heads { count: 1, dim: 4, scale: 1e6 };
        let q = noise(3, 4, 5);
        let out = attended([&q, &q, &q], heads);
        assert!(out.values().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn scores_far_below_the_largest_count_nothing() {
        let heads = Heads { count: 1, dim: 1, scale: 1.0 };
        let tokens = |values: &[f32]| Matrix::from_values(values.len(), 1, values.to_vec()).unwrap();
        let (q, v) = (tokens(&[1.0]), tokens(&[0.0, 1.0]));
        for (score, weight) in [(-200.0, 0.0), (-80.5, 0.0), (-79.5, 2.97e-35)] {
            let k = tokens(&[0.0, score]);
            let out = attended([&q, &k, &v], heads);
            let found = out.values()[0];
            assert!((found - weight).abs() <= 1e-2 * weight, "{score}: {found:e}, not {weight:e}");
        }
    }

    #[test]
    fn projections_that_do_not_fit_are_errors() {
        let (q, k) = (noise(3, 8, 1), noise(4, 8, 2));
        let whole = Projection::whole;
        let mut out = Matrix::new();
        let fits = Heads { count: 2, dim: 4, scale: 1.0 };
        assert!(attention(whole(&q), whole(&k), whole(&k), fits, Visible::All, &mut out).is_ok());
        assert!(attention(whole(&q), whole(&k), whole(&q), fits, Visible::All, &mut out).is_err());
        assert!(
            attention(Projection::starting_at(&q, 1), whole(&k), whole(&k), fits, Visible::All, &mut out)
                .is_err()
        );
        for count in [0, 3, usize::MAX] {
            assert!(
                attention(whole(&q), whole(&k), whole(&k), Heads { count, ..fits }, Visible::All, &mut out)
                    .is_err()
            );
        }
    }
}
