//! What the way back would leave out without a word: elements of a tensor of which others are read. A conversion writes zeros there, such as
//! the position of a class token that a source does not embed; other numbers are part of another network.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use vitport_checkpoint::{Checkpoint, CheckpointError, Tensor};

use crate::folder::to_f64;
use crate::plan::{Part, Plan};
use crate::source::SourceError;

/// Gives the elements that are read at a time.
const AT_A_TIME: u64 = 1 << 16;

/// Holds the elements of a tensor that are read, as pairs of the first and the one behind the last.
type Ranges = Vec<(u64, u64)>;

/// Returns which element of a tensor the first of a view of it is; none if one of them does not lie in order.
fn place(whole: &Tensor, view: &Tensor) -> Option<u64> {
    let is_in_order = whole.storage == view.storage && whole.is_contiguous() && view.is_contiguous();
    is_in_order.then(|| view.offset.checked_sub(whole.offset)).flatten()
}

/// Returns the name of a tensor whose elements before, between or behind those that the plan reads are not all zero. Tensors of which none
/// is read are another matter.
///
/// # Errors
/// Returns [`SourceError`] if it cannot be read.
pub(super) fn values(plan: &Plan, checkpoint: &Checkpoint) -> Result<Option<String>, SourceError> {
    let mut read: HashMap<&str, Ranges, RandomState> = HashMap::default();
    for part in plan.targets.iter().flat_map(|target| &target.parts) {
        if let Part::Slice { tensor: view, first, elements } = part {
            let whole = checkpoint.tensor(&view.name);
            let first = whole.and_then(|whole| place(whole, view)?.checked_add(*first));
            // Of a view whose elements lie otherwise, the tensor counts as read.
            let range = match (first, whole) {
                (Some(first), _) => (first, first.saturating_add(*elements)),
                (None, whole) => (0, whole.map_or(0, |whole| whole.elements())),
            };
            read.entry(&view.name).or_default().push(range);
        }
    }
    for (name, mut ranges) in read {
        let Some(tensor) = checkpoint.tensor(name) else { continue };
        ranges.push((tensor.elements(), tensor.elements()));
        ranges.sort_unstable();
        let mut reached = 0;
        for (first, end) in ranges {
            if first > reached && !are_zero(checkpoint, tensor, reached, first)? {
                return Ok(Some(name.to_owned()));
            }
            reached = reached.max(end);
        }
    }
    Ok(None)
}

/// Returns whether all elements from the first up to the last are zero.
fn are_zero(checkpoint: &Checkpoint, tensor: &Tensor, first: u64, end: u64) -> Result<bool, CheckpointError> {
    if !tensor.dtype.is_float() {
        return Ok(true);
    }
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut at = first;
    while at < end {
        let count = (end - at).min(AT_A_TIME);
        let mut bytes = vec![0; size(count.saturating_mul(tensor.dtype.size()))];
        checkpoint.read(tensor, at, &mut bytes)?;
        let mut values = vec![0.0; size(count)];
        to_f64(tensor.dtype, &bytes, &mut values);
        if values.iter().any(|value| *value != 0.0) {
            return Ok(false);
        }
        at = at.saturating_add(count);
    }
    Ok(true)
}
