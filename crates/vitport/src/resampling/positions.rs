//! Embeddings of positions, as timm's `resample_abs_pos_embed` resamples them (timm/layers/pos_embed.py, 1.0.31), those of the tokens
//! before the patches as they are.
//!
//! The weights of PyTorch's `interpolate` with antialiasing are computed in float32, with a multiplication and an addition rounded once where the processor
//! can (ATen/native/cpu/UpSampleKernel.cpp, `_compute_indices_min_size_weights_aa`). Those that Pillow computes in float64
//! ([`crate::image`]) are up to 1e-6 away, which is more than a resampled tensor may be, so each operation is PyTorch's here.

use super::Interpolation;

/// Says of which patches in a row one patch of another grid is made.
struct Window {
    first: usize,
    weights: Vec<f32>,
}

/// Resamples embeddings, row-major, of `channels` numbers each, from one grid of rows and columns to another. What stands before the
/// last `rows × columns` of them is kept.
pub(super) fn resample(
    values: &[f32],
    channels: usize,
    [from, to]: [[usize; 2]; 2],
    how: Interpolation,
) -> Vec<f32> {
    let patches = from[0].saturating_mul(from[1]).saturating_mul(channels);
    let Some((prefix, grid)) =
        values.len().checked_sub(patches).and_then(|before| values.split_at_checked(before))
    else {
        return Vec::new();
    };
    // As PyTorch does: along the rows first.
    let row = from[1].saturating_mul(channels).max(1);
    let wide: Vec<f32> =
        grid.chunks(row).flat_map(|row| along(row, channels, [from[1], to[1]], how)).collect();
    let mut resampled = prefix.to_vec();
    resampled.extend(along(&wide, to[1].saturating_mul(channels), [from[0], to[0]], how));
    resampled
}

/// Resamples `from` pieces of `width` numbers to `to`.
fn along(values: &[f32], width: usize, [from, to]: [usize; 2], how: Interpolation) -> Vec<f32> {
    if from == to {
        return values.to_vec();
    }
    let mut resampled = Vec::with_capacity(to.saturating_mul(width));
    let windows = match how {
        Interpolation::Bicubic => cubic_windows(from, to),
        Interpolation::Bilinear => linear_windows(from, to, false),
        Interpolation::BilinearWithCorners => linear_windows(from, to, true),
    };
    for window in windows {
        let pieces = values.chunks(width.max(1)).skip(window.first).zip(&window.weights);
        let mut sums = vec![0.0_f32; width];
        for (piece, weight) in pieces {
            sums.iter_mut().zip(piece).for_each(|(sum, value)| *sum = value.mul_add(*weight, *sum));
        }
        resampled.extend(sums);
    }
    resampled
}

/// Computes `_compute_indices_min_size_weights_aa` for each of `to` places.
fn cubic_windows(from: usize, to: usize) -> Vec<Window> {
    const REACH: f32 = 2.0;
    let scale = from as f32 / to as f32;
    let support = if scale >= 1.0 { REACH * scale } else { REACH };
    let inverse = if scale >= 1.0 { 1.0 / scale } else { 1.0 };
    let of = |place: usize| {
        let centre = (f64::from(scale) * (place as f64 + 0.5)) as f32;
        // Both casts truncate towards zero, as in C.
        let first = (f64::from(centre - support) + 0.5).max(0.0) as usize;
        let end = ((f64::from(centre + support) + 0.5) as usize).min(from);
        let distance = |at: usize| ((f64::from(at as f32 - centre) + 0.5) * f64::from(inverse)) as f32;
        let weights: Vec<f32> = (first..end).map(|at| cubic(distance(at).abs())).collect();
        let sum = weights.iter().fold(0.0_f32, |sum, weight| sum + weight);
        Window { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
    };
    (0..to).map(of).collect()
}

/// Computes `compute_source_index_and_lambda` for each of `to` places (ATen/native/UpSample.h).
fn linear_windows(from: usize, to: usize, keeps_corners: bool) -> Vec<Window> {
    let steps = |edge: usize| if keeps_corners { edge.saturating_sub(1) } else { edge };
    let scale = steps(from) as f32 / steps(to).max(1) as f32;
    let of = |place: usize| {
        let at = if keeps_corners { scale * place as f32 } else { scale * (place as f32 + 0.5) - 0.5 };
        let at = at.max(0.0);
        let first = (at as usize).min(from.saturating_sub(1));
        let share = (at - first as f32).clamp(0.0, 1.0);
        // The last one has none behind it.
        let weights = if first + 1 < from { vec![1.0 - share, share] } else { vec![1.0] };
        Window { first, weights }
    };
    (0..to).map(of).collect()
}

/// Computes the cubic kernel with a = −0.5.
fn cubic(x: f32) -> f32 {
    const A: f32 = -0.5;
    if x < 1.0 {
        ((A + 2.0).mul_add(x, -(A + 3.0)) * x).mul_add(x, 1.0)
    } else if x < 2.0 {
        A.mul_add(x, -5.0 * A).mul_add(x, 8.0 * A).mul_add(x, -4.0 * A)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_everywhere_stays_it_and_the_prefix_is_kept() {
        let grids = [[[3, 4], [7, 2]], [[4, 4], [9, 9]], [[9, 9], [4, 4]], [[1, 1], [3, 3]]];
        let ways = [Interpolation::Bicubic, Interpolation::Bilinear, Interpolation::BilinearWithCorners];
        for (grids, how) in grids.into_iter().flat_map(|grids| ways.map(|how| (grids, how))) {
            let count = grids[0][0] * grids[0][1];
            let mut values = vec![5.0, 6.0];
            values.extend([0.25, -1.0].repeat(count));
            let resampled = resample(&values, 2, grids, how);
            assert_eq!(resampled.len(), 2 + grids[1][0] * grids[1][1] * 2);
            assert_eq!(resampled[..2], [5.0, 6.0]);
            let is_same = |pair: &[f32]| (pair[0] - 0.25).abs() < 1e-6 && (pair[1] + 1.0).abs() < 1e-6;
            assert!(resampled[2..].chunks(2).all(is_same), "{grids:?}, {how:?}");
        }
    }

    #[test]
    fn lines_between_two_places() {
        let row = [0.0, 1.0, 2.0];
        let of = |how| resample(&row, 1, [[1, 3], [1, 5]], how);
        assert_eq!(of(Interpolation::BilinearWithCorners), [0.0, 0.5, 1.0, 1.5, 2.0]);
        let plain = of(Interpolation::Bilinear);
        let wanted = [0.0, 0.4, 1.0, 1.6, 2.0];
        assert!(plain.iter().zip(wanted).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{plain:?}");
    }

    #[test]
    fn fewer_values_than_patches_make_none() {
        assert!(resample(&[1.0; 5], 2, [[2, 2], [3, 3]], Interpolation::Bicubic).is_empty());
    }
}
