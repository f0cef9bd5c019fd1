//! What a rule of a mapping does, and when.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::pattern::Pattern;

/// A fact that must be true, or must not be, for a rule to hold. Its name may have variables: `qkv_bias.{s}` is asked for each
/// stage by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub name: Pattern,
    pub wanted: bool,
}

/// One axis of a shape in a rule: a number, or a fact that is one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Dimension {
    Number(u64),
    Count(String),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Rename { source: Pattern, target: Pattern },
    Split { source: Pattern, targets: Vec<Pattern> },
    Concat { sources: Vec<Pattern>, target: Pattern, axes: Option<Vec<Vec<usize>>> },
    Transpose { source: Pattern, target: Pattern },
    Permute { source: Pattern, target: Pattern, axes: Vec<Vec<usize>> },
    Reshape { source: Pattern, target: Pattern, shape: Vec<Dimension> },
    Pad { source: Pattern, target: Pattern, rows: u64 },
    Fold { source: Pattern, target: Pattern, factors: Pattern },
    Zeros { target: Pattern, shape: Vec<Dimension> },
    Identity { target: Pattern, size: Dimension },
    Drop { source: Pattern, reason: String },
}

impl Action {
    /// Returns the patterns of the source names that it reads.
    pub fn sources(&self) -> Vec<&Pattern> {
        match self {
            Action::Rename { source, .. }
            | Action::Split { source, .. }
            | Action::Transpose { source, .. }
            | Action::Permute { source, .. }
            | Action::Reshape { source, .. }
            | Action::Pad { source, .. }
            | Action::Drop { source, .. } => vec![source],
            Action::Fold { source, factors, .. } => vec![source, factors],
            Action::Concat { sources, .. } => sources.iter().collect(),
            Action::Zeros { .. } | Action::Identity { .. } => Vec::new(),
        }
    }

    /// Returns the patterns of the target names that it makes.
    pub fn targets(&self) -> Vec<&Pattern> {
        match self {
            Action::Rename { target, .. }
            | Action::Concat { target, .. }
            | Action::Transpose { target, .. }
            | Action::Permute { target, .. }
            | Action::Reshape { target, .. }
            | Action::Pad { target, .. }
            | Action::Fold { target, .. }
            | Action::Zeros { target, .. }
            | Action::Identity { target, .. } => vec![target],
            Action::Split { targets, .. } => targets.iter().collect(),
            Action::Drop { .. } => Vec::new(),
        }
    }
}

/// One entry of a mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The table it stands in, as in `when.head.rename`.
    pub table: String,
    pub flags: Vec<Flag>,
    pub action: Action,
}

impl Rule {
    /// Returns the variables of all its patterns.
    pub fn variables(&self) -> BTreeSet<&str> {
        let flags = self.flags.iter().map(|flag| &flag.name);
        let patterns = self.action.sources().into_iter().chain(self.action.targets()).chain(flags);
        patterns.flat_map(Pattern::variables).collect()
    }

    /// Returns the rule as a person would point at it.
    pub fn describe(&self) -> String {
        let (sources, targets) = (self.action.sources(), self.action.targets());
        let join =
            |patterns: &[&Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        match (sources.is_empty(), targets.is_empty()) {
            (true, _) => format!("[{}] {}", self.table, join(&targets)),
            (_, true) => format!("[{}] {}", self.table, join(&sources)),
            _ => format!("[{}] {} = {}", self.table, join(&sources), join(&targets)),
        }
    }
}
