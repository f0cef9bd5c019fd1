//! Defines what comes out of a network at its end.

use super::linear::Linear;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::observer::Outputs;

/// Returns the pooled features, a row, as an output, and what a linear layer makes of them as another, if there is one, with
/// the size of its terms. `names` are those of the two outputs.
///
/// # Errors
/// Returns [`ForwardError`] when a tensor is missing or the layer takes other features.
pub fn outputs_of_head(
    [features, scores]: [&'static str; 2],
    pooled: &Matrix,
    head: Option<&Linear>,
    cx: &mut Context<'_>,
) -> Result<Outputs, ForwardError> {
    let mut outputs = Outputs::new();
    outputs.push(features, pooled.values());
    if let Some(head) = head {
        let values = head.forward(pooled, cx)?.into_values();
        outputs.push_sum(scores, values, head.size_of_terms(pooled.values(), cx)?);
    }
    Ok(outputs)
}
