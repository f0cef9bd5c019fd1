//! What lies next to a network, in groups, and why it is not part of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::Tensor;

use super::candidates::{Candidate, parts};
use crate::plan::Dropped;

/// Says what is known of weights next to a network that nothing else is known of.
pub(super) const UNKNOWN: &str = "a head or another part next to the network; no output of it is converted";

/// Says what is known of tensors next to a network that look like no weights.
pub(super) const NO_WEIGHTS: &str = "next to the network, and no tensor that the network has";

/// Returns what lies next to the network that was taken, a group for each part of the file.
pub(super) fn reasons(outside: &[Arc<Tensor>], taken: &Candidate, all: &[Candidate]) -> Vec<Dropped> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<&str, usize, RandomState> = HashMap::default();
    for tensor in outside {
        let path = path_of(&tensor.name, &taken.prefix);
        let next = groups.len();
        let place = *places.entry(path).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.tensors.push(tensor),
            None => groups.push(Group { path, tensors: vec![tensor], is_again: false }),
        }
    }
    let place = |tensor: &Arc<Tensor>| (tensor.storage, tensor.offset);
    let own: HashSet<(usize, u64), RandomState> = taken.tensors.iter().map(place).collect();
    for group in &mut groups {
        group.is_again =
            group.tensors.iter().all(|tensor| tensor.elements() > 0 && own.contains(&place(tensor)));
    }
    groups.iter().map(|group| group.dropped(taken, all)).collect()
}

/// Returns the path of a tensor up to where it leaves the network's.
fn path_of<'a>(name: &'a str, prefix: &str) -> &'a str {
    let same = name.bytes().zip(prefix.bytes()).take_while(|(one, other)| one == other).count();
    let shared = name.get(..same).and_then(|shared| shared.rfind(['.', '/'])).map_or(0, |at| at + 1);
    let rest = name.get(shared..).unwrap_or_default();
    let end = rest.find(['.', '/']).map_or(name.len(), |at| shared + at);
    name.get(..end).unwrap_or(name)
}

/// Describes tensors that leave the network's path together.
struct Group<'a> {
    path: &'a str,
    tensors: Vec<&'a Arc<Tensor>>,
    /// Says whether they are the network's own, under other names.
    is_again: bool,
}

impl Group<'_> {
    fn dropped(&self, taken: &Candidate, all: &[Candidate]) -> Dropped {
        let name = match self.tensors.as_slice() {
            [only] => only.name.to_string(),
            _ if self.path.contains('/') => format!("{}/*", self.path),
            _ => format!("{}.*", self.path),
        };
        let bytes = self.tensors.iter().fold(0_u64, |sum, tensor| sum.saturating_add(tensor.bytes()));
        Dropped { name, tensors: self.tensors.len(), bytes, reason: self.reason(taken, all) }
    }

    /// Says what it is, by its names.
    fn reason(&self, taken: &Candidate, all: &[Candidate]) -> String {
        if taken.prefix.ends_with('/') {
            return format!("not under {}, where the network's arrays are", taken.prefix);
        }
        let is_inside = |candidate: &&Candidate| candidate.prefix.starts_with(self.path);
        if let Some(other) = all.iter().filter(|other| other.prefix != taken.prefix).find(is_inside) {
            return format!("holds another network, under {}, which --key chooses", other.prefix);
        }
        if self.is_again {
            return "the network's own tensors under other names".to_owned();
        }
        let own = parts(self.path).last().map(|part| part.to_ascii_lowercase()).unwrap_or_default();
        let ends = |ending: &str| self.tensors.iter().any(|tensor| tensor.name.ends_with(ending));
        let holds = |part: &str| self.tensors.iter().any(|tensor| tensor.name.contains(part));
        let words = |list: &[&str]| own.split(['_', '-']).any(|word| list.contains(&word));
        let reason =
            if ["optim", "sched", "scaler", "rng", "random_state"].iter().any(|word| own.contains(word)) {
                "the state of a training run"
            } else if words(&["loss", "losses", "criterion", "criteria", "center"]) {
                "a loss, which only training uses"
            } else if words(&[
                "acc",
                "accuracy",
                "metric",
                "metrics",
                "auroc",
                "auc",
                "f1",
                "confmat",
                "precision",
                "recall",
            ]) || ends(".confmat")
            {
                "a metric, which only training uses"
            } else if own == "mask_token" {
                "stands for masked patches in pretraining"
            } else if words(&["decoder", "mask"]) {
                "a decoder of pretraining"
            } else if own.contains("predictor") {
                "a predictor of self-supervised training"
            } else if own.contains("prototype") {
                "prototypes of self-supervised training"
            } else if own.starts_with("text") {
                "the text tower of a CLIP, or what goes with it"
            } else if taken.prefix.contains("visual.") && own == "head" {
                "the projection into the space that images and texts share"
            } else if is_projection(&own) || holds("last_layer.") || holds(".mlp.") && own.contains("head") {
                "a projection head of self-supervised training"
            } else if ["n_averaged", "step", "initted", "num_updates", "decay"].contains(&own.as_str()) {
                "a counter of averaged weights"
            } else if taken.prefix.contains("visual.")
                && words(&["token", "ln", "positional", "transformer", "logit"])
            {
                "the text tower of a CLIP, or what goes with it"
            } else if self.tensors.iter().any(|tensor| tensor.shape.len() >= 2) {
                UNKNOWN
            } else {
                NO_WEIGHTS
            };
        reason.to_owned()
    }
}

/// Returns whether a part's name is that of a projection head.
fn is_projection(name: &str) -> bool {
    let known = ["dino_head", "ibot_head", "student_head", "teacher_head", "proj_head", "projection"];
    name.contains("projector") || known.iter().any(|known| name.contains(known))
}
