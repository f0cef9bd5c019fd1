//! One entry of a mapping file: an operation, and when it is applied.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::operations::Operation;
use super::pattern::Pattern;

/// Names a fact that must be true, or must not be, for a rule to hold. Its name may have variables: `qkv_bias.{s}` is asked for
/// each stage by itself.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    pub name: Pattern,
    pub wanted: bool,
}

/// Holds one entry of a mapping file.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    /// Names the table that it stands in, as in `when.head.rename`.
    pub table: String,
    pub flags: Vec<Flag>,
    pub operation: Arc<dyn Operation>,
}

impl Rule {
    /// Returns the variables of all its patterns.
    pub fn variables(&self) -> BTreeSet<&str> {
        let flags = self.flags.iter().map(|flag| &flag.name);
        let patterns = self.operation.sources().into_iter().chain(self.operation.targets()).chain(flags);
        patterns.flat_map(Pattern::variables).collect()
    }

    /// Returns the rule as a person would point at it.
    pub fn describe(&self) -> String {
        format!("[{}] {}", self.table, self.operation.describe())
    }
}
