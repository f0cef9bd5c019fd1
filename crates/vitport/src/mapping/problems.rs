//! Everything that keeps a plan from being made, collected before anything is said: an error that names only the first
//! unmapped tensor costs its reader one run a tensor.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use vitport_checkpoint::escape;

use super::nearest::group_of;

/// Gives one reason why a plan cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum Problem {
    /// Lists source tensors that no rule uses.
    Unmapped {
        /// Holds the names with their numbers replaced by `{n}`.
        group: String,
        /// Lists the names.
        names: Vec<String>,
        /// Names the rule whose pattern comes nearest.
        nearest: Option<String>,
    },
    /// Lists source tensors that a rule needs and the checkpoint lacks.
    Missing {
        /// Holds the names with their numbers replaced by `{n}`.
        group: String,
        /// Lists the names.
        names: Vec<String>,
        /// Describes the rule.
        rule: String,
    },
    /// Reports that two rules make the same target tensor.
    MadeTwice {
        /// Holds the target's name.
        name: String,
    },
    /// Reports a tensor whose shape or dtype does not allow what a rule asks for.
    Unfit {
        /// Holds the tensor's name.
        name: String,
        /// Says why it does not fit.
        reason: String,
    },
    /// Lists tensors that the target network does not have.
    NotInTarget {
        /// Holds the names with their numbers replaced by `{n}`.
        group: String,
        /// Lists the names.
        names: Vec<String>,
    },
    /// Lists tensors that the target network needs and no rule makes.
    NotMade {
        /// Holds the names with their numbers replaced by `{n}`.
        group: String,
        /// Lists the names.
        names: Vec<String>,
        /// Names the rule whose pattern comes nearest.
        nearest: Option<String>,
    },
    /// Reports a rule that asks for something that the source does not define.
    Rule {
        /// Describes the rule.
        rule: String,
        /// Says what is undefined.
        reason: String,
    },
}

/// Lists all reasons at once; displays as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Problems {
    /// Holds at least one.
    pub list: Vec<Problem>,
}

/// Limits the groups of names that are shown next to the rule that comes nearest; looking for it takes time.
pub(super) const WITH_NEAREST: usize = 32;

/// Says how many groups the one-line form names before it only counts.
const SHOWN: usize = 6;

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said();
        for (position, (problem, others)) in said.iter().take(SHOWN).enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            match problem {
                Problem::Unfit { name, reason } if *others > 0 => {
                    let tensors = if *others == 1 { "other" } else { "others" };
                    write!(
                        f,
                        "the tensor {} and {others} {tensors} do not fit: {}",
                        escape(name),
                        escape(reason)
                    )?;
                }
                problem => write!(f, "{problem}")?,
            }
        }
        match said.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more of that kind (`vitport plan --json` lists all)"),
        }
    }
}

impl Problems {
    /// Returns what is said: of tensors that do not fit for the same reason the first, with the number of the others.
    fn said(&self) -> Vec<(&Problem, usize)> {
        let mut said: Vec<(&Problem, usize)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for problem in &self.list {
            let place = match problem {
                Problem::Unfit { reason, .. } => *places.entry(reason).or_insert(said.len()),
                _ => said.len(),
            };
            match said.get_mut(place) {
                Some((_, others)) => *others = others.saturating_add(1),
                None => said.push((problem, 0)),
            }
        }
        said
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = |nearest: &Option<String>| match nearest {
            Some(rule) => format!(" (nearest rule: {})", escape(rule)),
            None => String::new(),
        };
        match self {
            Problem::Unmapped { group, names, nearest } => {
                write!(f, "no rule uses {}{}", Group(group, names), near(nearest))
            }
            Problem::Missing { group, names, rule } => {
                write!(
                    f,
                    "the checkpoint lacks {}, which the rule {} needs",
                    Group(group, names),
                    escape(rule)
                )
            }
            Problem::MadeTwice { name } => write!(f, "two rules make the tensor {}", escape(name)),
            Problem::Unfit { name, reason } => {
                write!(f, "the tensor {} does not fit: {}", escape(name), escape(reason))
            }
            Problem::NotInTarget { group, names } => {
                write!(f, "the target network has no {}", Group(group, names))
            }
            Problem::NotMade { group, names, nearest } => {
                write!(
                    f,
                    "no rule makes {}, which the target network needs{}",
                    Group(group, names),
                    near(nearest)
                )
            }
            Problem::Rule { rule, reason } => {
                write!(f, "the rule {} cannot be used: {}", escape(rule), escape(reason))
            }
        }
    }
}

/// Shows a group of names: the name itself if there is one, else the group and how many.
struct Group<'a>(&'a str, &'a [String]);

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            [name] => write!(f, "{}", escape(name)),
            names => write!(f, "{} ({} tensors)", escape(self.0), names.len()),
        }
    }
}

/// Returns names by their group, in the order in which the groups first appear.
pub(super) fn grouped(names: impl IntoIterator<Item = String>) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for name in names {
        let group = group_of(&name);
        let next = groups.len();
        let place = *places.entry(group.clone()).or_insert(next);
        match groups.get_mut(place) {
            Some((_, members)) => members.push(name),
            None => groups.push((group, vec![name])),
        }
    }
    groups
}
