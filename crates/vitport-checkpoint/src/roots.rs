//! Which part of a checkpoint holds the weights that are meant.
//!
//! A bare state dict is its own root. A training run's checkpoint keeps the weights one or two dicts
//! down, often twice (as trained, and averaged), next to the optimizer's state. Where names decide, they
//! are tried in the order of timm's `load_state_dict` (`timm/models/_helpers.py`: averaged weights first,
//! then `state_dict`, then `model`), followed by the names that other projects use.

use schemars::JsonSchema;
use serde::Serialize;

use crate::contents::{Branch, Contents};
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;

/// Describes a nested part of a checkpoint that holds tensors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Root {
    /// Holds its dotted path, such as `state_dict`; empty for the top of the file.
    pub path: String,
    /// Holds the number of tensors in it, those of its own parts included.
    pub tensors: usize,
    /// Is true for an optimizer's state and the like, which is never chosen by itself.
    pub training_state: bool,
}

/// Describes how the selected root was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RootChoice {
    /// Says why this one.
    pub how: ChosenBy,
    /// Holds the other roots that could have been meant.
    pub alternatives: Vec<Root>,
}

/// Describes why a root was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChosenBy {
    /// Means that the top of the file holds the tensors itself.
    TopLevel,
    /// Means that it is the only candidate.
    OnlyOne,
    /// Means that its name comes first in the order of known names.
    KnownName,
    /// Means that nothing could be chosen, and [`Checkpoint::survey`](crate::Checkpoint::survey) shows everything.
    Undecided,
    /// Means that its tensors show it ([`Checkpoint::select_by_structure`](crate::Checkpoint::select_by_structure)).
    Structure,
    /// Means that [`Checkpoint::select`](crate::Checkpoint::select) was called.
    Caller,
}

/// Names under which weights are kept, most wanted first.
const KNOWN: [&str; 26] = [
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "params_ema",
    "ema",
    "state_dict",
    "model",
    "model_state_dict",
    "model_state",
    "net_state_dict",
    "net",
    "network",
    "module",
    "params",
    "parameters",
    "weights",
    "teacher",
    "student",
    "backbone",
    "encoder_state_dict",
    "target_encoder",
    "ema_model",
    "generator_ema",
    "generator",
    "_model",
    "weight",
];

/// Lists the words in the name of a part that a training run needs to go on, and nobody else.
const TRAINING: [&str; 8] = ["optim", "sched", "scaler", "rng", "amp", "loss", "criterion", "random_state"];

/// Returns whether a name is that of a part which a training run needs to go on.
pub(crate) fn is_training_state(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    TRAINING.iter().any(|word| match *word {
        "amp" | "rng" | "loss" => name.split(['_', '.']).any(|part| part == *word),
        word => name.contains(word),
    })
}

/// Returns the part of a path after its last key separator, given its parent.
fn own_name<'a>(branch: &'a Branch, parent: &Branch) -> &'a str {
    branch.path.get(parent.prefix_len()..).unwrap_or(&branch.path)
}

impl Branch {
    fn root(&self, top: &Branch) -> Root {
        Root {
            path: self.path.clone(),
            tensors: self.tensors.len(),
            training_state: self.depth > 0 && is_training_state(own_name(self, top)),
        }
    }
}

/// Returns the children of a branch: the branches one level further down inside its range.
fn children(contents: &Contents, parent: usize) -> impl Iterator<Item = (usize, &Branch)> {
    let depth = contents.branches.get(parent).map_or(0, |branch| branch.depth);
    contents
        .branches
        .iter()
        .enumerate()
        .skip(parent + 1)
        .take_while(move |(_, branch)| branch.depth > depth)
        .filter(move |(_, branch)| branch.depth == depth + 1)
}

/// Returns all roots: outermost dicts that hold tensors themselves, and the parts of training state as wholes.
pub(crate) fn list(contents: &Contents) -> Vec<Root> {
    let Some(top) = contents.branches.first() else {
        return Vec::new();
    };
    let mut roots = Vec::new();
    let mut covered = usize::MAX;
    for branch in &contents.branches {
        if covered < branch.depth {
            continue;
        }
        covered = usize::MAX;
        let root = branch.root(top);
        if branch.direct > 0 || root.training_state {
            covered = if branch.depth == 0 { usize::MAX } else { branch.depth };
            roots.push(root);
        }
    }
    roots
}

/// Returns the branch with this path.
pub(crate) fn find(contents: &Contents, path: &str) -> Result<usize, Fault> {
    let mut found = contents.branches.iter().enumerate().filter(|(_, branch)| branch.path == path);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => {
            refuse(Reason::Contradiction, format!("two parts of the file are both called '{}'", escape(path)))
        }
        (None, _) => refuse(
            Reason::Ambiguous,
            format!(
                "nothing called '{}' holds tensors here; there is {}",
                escape(path),
                describe(&list(contents))
            ),
        ),
    }
}

/// Finds the root that is meant.
pub(crate) fn choose(contents: &Contents) -> Result<(usize, ChosenBy), Fault> {
    let Some(top) =
        contents.branches.first().filter(|top| !top.tensors.is_empty() || !top.unsupported.is_empty())
    else {
        return refuse(Reason::NoTensors, "the file holds no tensors");
    };
    let mut at = 0;
    let mut how = ChosenBy::TopLevel;
    loop {
        let here = contents.branches.get(at).unwrap_or(top);
        let candidates: Vec<(usize, &str, &Branch)> = children(contents, at)
            .map(|(index, branch)| (index, own_name(branch, here), branch))
            .filter(|(_, name, _)| !is_training_state(name))
            .collect();
        let known = KNOWN.iter().find_map(|known| candidates.iter().find(|(_, name, _)| name == known));
        if let Some(&(index, _, branch)) = known
            && branch.tensors.len() >= here.direct
        {
            how = if candidates.len() == 1 { ChosenBy::OnlyOne } else { ChosenBy::KnownName };
            at = index;
            continue;
        }
        if here.direct > 0 {
            return Ok((at, how));
        }
        match candidates.as_slice() {
            [(index, _, _)] => {
                at = *index;
                how = if how == ChosenBy::KnownName { how } else { ChosenBy::OnlyOne };
            }
            [] => return open_question(contents),
            _ if here.depth == 0 => return open_question(contents),
            _ => return Ok((at, how)),
        }
    }
}

fn open_question<T>(contents: &Contents) -> Result<T, Fault> {
    let roots = list(contents);
    refuse(Reason::Ambiguous, format!("the weights could be any of several parts: {}", describe(&roots)))
}

/// Names roots with their tensor counts, the first dozen of them.
fn describe(roots: &[Root]) -> String {
    let mut parts: Vec<String> = roots
        .iter()
        .take(12)
        .map(|root| match root.path.as_str() {
            "" => format!("the top level ({})", count(root.tensors)),
            path => format!("'{}' ({})", escape(path), count(root.tensors)),
        })
        .collect();
    if let Some(more) = roots.len().checked_sub(12).filter(|more| *more > 0) {
        parts.push(format!("{more} more"));
    }
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

fn count(tensors: usize) -> String {
    if tensors == 1 { "1 tensor".into() } else { format!("{tensors} tensors") }
}
