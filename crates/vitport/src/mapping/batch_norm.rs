//! `[batch_norm]`: `"source" = "target"` renames all tensors of a batch norm. The number of batches that it has seen is 0 where a file
//! does not hold it, which the flag [`COUNTED`] tells: PyTorch before 0.4.1 did not count them, and reads such files so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::operations::{Operation, fill, rename};

/// Names the table.
pub(super) const TABLE: &str = "batch_norm";
/// Names the fact that says whether the source's batch norms have counted batches.
pub(super) const COUNTED: &str = "num_batches_tracked";

const TENSORS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// Holds an operation, and what [`COUNTED`] must be for it to hold.
type Conditional = (Option<bool>, Arc<dyn Operation>);

/// Returns what the entries of a table stand for.
///
/// # Errors
/// Returns what is wrong with an entry, in words.
pub(super) fn operations(entries: &BTreeMap<String, String>) -> Result<Vec<Conditional>, String> {
    let mut all = Vec::new();
    for (source, target) in entries {
        let [from, to] = [source, target].map(|name| move |tensor: &str| format!("{name}.{tensor}"));
        let renamed = |tensor: &str| rename::renaming(&from(tensor), to(tensor));
        for tensor in TENSORS {
            all.push((None, renamed(tensor)?));
        }
        all.push((Some(true), renamed(COUNTED)?));
        all.push((Some(false), fill::no_count(&to(COUNTED))?));
    }
    Ok(all)
}
