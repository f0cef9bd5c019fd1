//! Every beginning of names under which a known source stands.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use vitport_checkpoint::Tensor;

use crate::facts::FactError;
use crate::state_dict::{StateDict, without_wrappers};

/// Lists beginnings of names that a network of one kind has: of each group at least one.
pub type Anchors = Vec<Vec<&'static str>>;

/// Limits the networks that a file may hold. Each is looked at as a whole.
const MOST: usize = 64;

/// Limits the keys and modules around a network: more of a name's parts are not looked at.
const DEEPEST: usize = 24;

/// Names what PyTorch's optimizers keep for each parameter.
const OF_OPTIMIZERS: [&str; 9] = [
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "step",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "acc_delta",
    "exp_inf",
];

/// Describes a network that a file holds.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Holds what stands before its names in the whole file, such as `state_dict.module.`; empty, or with its dot or slash.
    pub prefix: String,
    /// Holds its tensors, under their full names.
    pub tensors: Vec<Arc<Tensor>>,
}

impl Candidate {
    /// Returns the bytes that its tensors take.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.bytes()))
    }

    /// Returns what stands before its names, in its parts.
    pub fn parts(&self) -> Vec<&str> {
        parts(&self.prefix)
    }

    /// Returns names and shapes, which are the same where a network is there a second time.
    pub fn shapes(&self) -> Vec<(&str, &[u64])> {
        let bare = |tensor: &Arc<Tensor>| tensor.name.len().min(self.prefix.len());
        let mut shapes: Vec<_> = self
            .tensors
            .iter()
            .map(|tensor| (tensor.name.get(bare(tensor)..).unwrap_or_default(), tensor.shape.as_slice()))
            .collect();
        shapes.sort_unstable();
        shapes
    }

    /// Returns whether each tensor is what an optimizer keeps for a parameter, under the parameter's name: PyTorch's distributed state
    /// dicts name them so.
    fn is_optimizer_state(&self) -> bool {
        let is_kept = |tensor: &Arc<Tensor>| {
            tensor.name.rsplit_once('.').is_some_and(|(_, last)| OF_OPTIMIZERS.contains(&last))
        };
        self.tensors.iter().all(is_kept)
    }

    /// Returns whether another candidate's names are for the same elements of the file.
    fn is_again(&self, other: &Self) -> bool {
        let place = |tensor: &Arc<Tensor>| (tensor.storage, tensor.offset, tensor.shape.clone());
        self.tensors.len() == other.tensors.len()
            && self.tensors.iter().map(place).eq(other.tensors.iter().map(place))
    }
}

/// Returns the parts of a dotted path, or of one of Flax's.
pub(super) fn parts(path: &str) -> Vec<&str> {
    path.split(['.', '/']).filter(|part| !part.is_empty()).collect()
}

/// Returns every network in a file, in the file's order.
///
/// # Errors
/// Returns [`FactError::Limit`] for more than 64.
pub(super) fn find(
    tensors: &[Arc<Tensor>],
    shapes: &[Anchors],
    is_known: impl Fn(&StateDict) -> bool,
) -> Result<Vec<Candidate>, FactError> {
    let mut found: Vec<Candidate> = Vec::new();
    let mut kinds: Vec<(String, &Anchors)> = Vec::new();
    for (prefix, anchors) in prefixes(tensors, shapes) {
        if kinds.iter().any(|(outer, anchors)| is_part_of(prefix, outer, anchors)) {
            continue;
        }
        if found.len() >= MOST {
            let what =
                format!("the file holds more than {MOST} networks; save the one that is meant by itself");
            return Err(FactError::Limit { what });
        }
        if found.iter().any(|candidate| candidate.prefix == prefix)
            || !is_known(&StateDict::under(tensors, prefix))
        {
            continue;
        }
        let under = tensors.iter().filter(|tensor| tensor.name.starts_with(prefix));
        let candidate = Candidate { prefix: prefix.to_owned(), tensors: under.cloned().collect() };
        if candidate.is_optimizer_state() {
            continue;
        }
        kinds.push((candidate.prefix.clone(), anchors));
        if !found.iter().any(|known| known.is_again(&candidate)) {
            found.push(candidate);
        }
    }
    Ok(found)
}

/// Returns the beginnings under which all anchors of a kind stand, the shortest first, then in the file's order.
fn prefixes<'a>(tensors: &'a [Arc<Tensor>], shapes: &'a [Anchors]) -> Vec<(&'a str, &'a Anchors)> {
    let mut seen: HashMap<(usize, &str), (usize, u64), RandomState> = HashMap::default();
    for tensor in tensors {
        let name: &str = &tensor.name;
        let starts = name.match_indices(['.', '/']).map(|(at, _)| at + 1);
        for at in std::iter::once(0).chain(starts).take(DEEPEST) {
            let Some((prefix, rest)) = name.split_at_checked(at) else { continue };
            let bare = without_wrappers(rest);
            if bare.len() < rest.len() && !rest.starts_with(bare.split('.').next().unwrap_or_default()) {
                continue;
            }
            for (kind, anchors) in shapes.iter().enumerate() {
                for (group, beginnings) in anchors.iter().enumerate() {
                    if beginnings.iter().any(|beginning| bare.starts_with(beginning)) {
                        let next = seen.len();
                        seen.entry((kind, prefix)).or_insert((next, 0)).1 |= 1 << (group % 64);
                    }
                }
            }
        }
    }
    let mut whole: Vec<(usize, &str, &Anchors)> = seen
        .into_iter()
        .filter_map(|((kind, prefix), (order, groups))| {
            let anchors = shapes.get(kind)?;
            (groups.count_ones() as usize == anchors.len()).then_some((order, prefix, anchors))
        })
        .collect();
    whole.sort_unstable_by_key(|(order, prefix, _)| (parts(prefix).len(), *order));
    whole.into_iter().map(|(_, prefix, anchors)| (prefix, anchors)).collect()
}

/// Returns whether a prefix lies among the parts of a network that was found already, as a stage of it.
fn is_part_of(prefix: &str, outer: &str, anchors: &Anchors) -> bool {
    let Some(first) = prefix.strip_prefix(outer).and_then(|rest| parts(rest).first().copied()) else {
        return false;
    };
    let unnumbered = |part: &str| part.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let first = unnumbered(first);
    anchors.iter().flatten().any(|anchor| parts(anchor).first().is_some_and(|part| unnumbered(part) == first))
}
