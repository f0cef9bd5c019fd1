//! Computes tables of relative position biases of the MLPs that make them ([`DistanceTable`]), in float64.

use crate::plan::DistanceTable;

/// Is the bias of what must not be seen: no score comes near it, and the softmax of what is left is 0.
const HIDDEN: f64 = -1e9;

/// Returns the table, row-major, of the weights and biases of both layers.
pub(super) fn distance_table(
    table: &DistanceTable,
    [weight1, bias1, weight2, bias2]: &[Vec<f64>; 4],
) -> Vec<f64> {
    let reach = i64::try_from(table.side).unwrap_or(0).saturating_sub(1);
    let coordinate = |distance: i64| {
        let distance = distance as f64;
        distance.signum() * distance.abs().ln_1p()
    };
    let mut values = Vec::new();
    for y in (-reach..=reach).map(coordinate) {
        for x in (-reach..=reach).map(coordinate) {
            let first = weight1.chunks_exact(2).zip(bias1).map(|(weight, bias)| match weight {
                [of_y, of_x] => (of_y * y + of_x * x + bias).max(0.0),
                _ => 0.0,
            });
            let hidden: Vec<f64> = first.collect();
            let rows = weight2.chunks_exact(hidden.len().max(1)).zip(bias2);
            values.extend(rows.map(|(row, bias)| {
                row.iter().zip(&hidden).map(|(weight, value)| weight * value).sum::<f64>() + bias
            }));
        }
    }
    let to_class_token = if table.hides_class_token { HIDDEN } else { 0.0 };
    for bias in [0.0, to_class_token, 0.0] {
        values.extend(bias2.iter().map(|_| bias));
    }
    values
}
