//! The way back: where each source tensor's bytes lie in the target's tensors.
//!
//! A mapping that can be inverted has lost nothing. The lint test of every rule file carries a fixture forth and back
//! and compares bits; accounts use it to say whether a conversion is reversible.

use std::collections::BTreeMap;

use vitport_checkpoint::Tensor;

use crate::plan::{Part, Plan};

/// Where a run of a source tensor's elements lies in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inverse {
    /// The source tensor's name in its file.
    pub source: String,
    /// First element in the source's own row-major order.
    pub source_first: u64,
    /// Name of the target tensor.
    pub target: String,
    /// First element in the target's row-major order.
    pub target_first: u64,
    /// Number of elements.
    pub elements: u64,
    /// If the target holds the run in another order than the file: the view of the source whose row-major order that is. `source_first`
    /// is then counted in the view's order, too.
    pub view: Option<Tensor>,
}

/// Target tensors whose making cannot be undone bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} tensors are cast, or products of two source tensors, and cannot be undone bit for bit, the first being {}", .targets.len(), .targets.first().map_or("", String::as_str))]
pub struct NotReversible {
    /// Their names.
    pub targets: Vec<String>,
}

/// Where every source tensor that is not dropped lies in the target, by source name.
///
/// # Errors
/// [`NotReversible`] if the plan folds factors into weights or casts them.
pub fn inverse(plan: &Plan) -> Result<BTreeMap<String, Vec<Inverse>>, NotReversible> {
    let folded: Vec<String> =
        plan.targets.iter().filter(|t| !t.is_reversible()).map(|t| t.name.to_string()).collect();
    if !folded.is_empty() {
        return Err(NotReversible { targets: folded });
    }
    let mut ways: BTreeMap<String, Vec<Inverse>> = BTreeMap::new();
    for target in &plan.targets {
        let mut place = 0_u64;
        for part in &target.parts {
            if let Part::Slice { tensor, first, elements } = part {
                ways.entry(tensor.name.to_string()).or_default().push(Inverse {
                    source: tensor.name.to_string(),
                    source_first: *first,
                    target: target.name.to_string(),
                    target_first: place,
                    elements: *elements,
                    view: (!tensor.is_contiguous()).then(|| Tensor::clone(tensor)),
                });
            }
            place = place.saturating_add(part.elements());
        }
    }
    for runs in ways.values_mut() {
        runs.sort_by_key(|run| run.source_first);
    }
    Ok(ways)
}
