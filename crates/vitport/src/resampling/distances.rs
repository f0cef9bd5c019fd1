//! Biases of the distances of two patches, as timm's `resize_rel_pos_bias_table` resamples them (timm/layers/pos_embed_rel.py, 1.0.31,
//! after BEiT's fine-tuning): each bias keeps its place, at distances that grow as a geometric series, and those between are read off
//! straight lines (timm/layers/interpolate.py, `RegularGridInterpolator`).

/// Resamples the tables of `heads` heads, row-major `[distances, heads]`, from windows of `from` patches on each side to windows of `to`.
/// Rows behind those of distances are kept.
pub(super) fn resample(values: &[f32], heads: usize, [from, to]: [usize; 2]) -> Vec<f32> {
    let [before, after] = [from, to].map(|edge| edge.saturating_mul(2).saturating_sub(1));
    let rows = before.saturating_mul(before).saturating_mul(heads);
    let Some((table, others)) = values.split_at_checked(rows) else { return Vec::new() };
    if before == after {
        return values.to_vec();
    }
    let lines = lines(&places(before, after), after);
    let value = |row: usize, column: usize, head: usize| {
        let at = row.saturating_mul(before).saturating_add(column).saturating_mul(heads).saturating_add(head);
        f64::from(table.get(at).copied().unwrap_or(f32::NAN))
    };
    let mut resampled = Vec::with_capacity(after.saturating_mul(after).saturating_mul(heads));
    for down in &lines {
        for across in &lines {
            for head in 0..heads {
                let at = |row: usize| {
                    let [left, right] = across.ends.map(|column| value(row, column, head));
                    across.between(left, right)
                };
                let [upper, lower] = down.ends.map(at);
                resampled.push(down.between(upper, lower) as f32);
            }
        }
    }
    resampled.extend(others);
    resampled
}

/// Says between which two places of a table one of another lies.
struct Line {
    ends: [usize; 2],
    /// Gives the shares of both ends.
    shares: [f64; 2],
}

impl Line {
    fn between(&self, left: f64, right: f64) -> f64 {
        left * self.shares[0] + right * self.shares[1]
    }
}

/// Returns where `after` distances, one apart, lie between `places`; those beyond the outermost have its value.
fn lines(places: &[f32], after: usize) -> Vec<Line> {
    let outermost = places.len().saturating_sub(1);
    let middle = (after / 2) as f32;
    let line = |index: usize| {
        let x = index as f32 - middle;
        let right = places.iter().take_while(|place| **place < x).count().min(outermost);
        let left = right.saturating_sub(1);
        let place = |at: usize| places.get(at).copied().unwrap_or_default();
        let [from_left, to_right] = [(x - place(left)).max(0.0), (place(right) - x).max(0.0)].map(f64::from);
        let whole = from_left + to_right;
        let shares = if whole > 0.0 { [to_right / whole, from_left / whole] } else { [0.5, 0.5] };
        Line { ends: [left, right], shares }
    };
    (0..after).map(line).collect()
}

/// Returns the places of `before` distances on a line of `after`: a geometric series on each side whose sum is half of the line.
fn places(before: usize, after: usize) -> Vec<f32> {
    let (steps, half) = (before / 2, (after / 2) as f64);
    let (mut low, mut high) = (1.01_f64, 1.5_f64);
    let mut ratio = low;
    let power = |ratio: f64, steps: usize| ratio.powi(i32::try_from(steps).unwrap_or(i32::MAX));
    while high - low > 1e-6 {
        ratio = (low + high) / 2.0;
        let sum = (1.0 - power(ratio, steps)) / (1.0 - ratio);
        if sum > half {
            high = ratio;
        } else {
            low = ratio;
        }
    }
    let mut side = Vec::with_capacity(steps);
    let mut place = 1.0;
    for step in 0..steps {
        side.push(place as f32);
        place += power(ratio, step.saturating_add(1));
    }
    let negative = side.iter().rev().map(|place| -place);
    negative.chain([0.0]).chain(side.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_everywhere_stays_it_and_the_last_rows_are_kept() {
        for windows in [[3, 5], [5, 3], [4, 9], [1, 4]] {
            let before = (2 * windows[0] - 1) * (2 * windows[0] - 1);
            let after = (2 * windows[1] - 1) * (2 * windows[1] - 1);
            let mut values = [0.5, -2.0].repeat(before);
            values.extend([7.0, 8.0, 9.0, 10.0]);
            let resampled = resample(&values, 2, windows);
            assert_eq!(resampled.len(), 2 * after + 4);
            assert_eq!(resampled[2 * after..], [7.0, 8.0, 9.0, 10.0]);
            let is_same = |pair: &[f32]| (pair[0] - 0.5).abs() < 1e-6 && (pair[1] + 2.0).abs() < 1e-6;
            assert!(resampled[..2 * after].chunks(2).all(is_same), "{windows:?}");
        }
    }

    #[test]
    fn the_middle_stays_the_middle() {
        let table: Vec<f32> = (0_u8..25).map(f32::from).collect();
        let resampled = resample(&table, 1, [3, 5]);
        assert_eq!(resampled[40], table[12]);
        assert!(places(5, 9).windows(2).all(|pair| pair[0] < pair[1]));
    }
}
