//! Which of several copies of a network is the one that its field publishes and uses.

use super::candidates::Candidate;

/// Lists conventions: the part of a name that is taken, those that are not, and who says so.
const CONVENTIONS: [(&str, &[&str], &str); 7] = [
    ("teacher", &["student"], "DINO, DINOv2, iBOT and lightly publish the teacher"),
    ("base_encoder", &["momentum_encoder"], "MoCo v3 publishes the base encoder"),
    ("target_encoder", &["encoder"], "MSN publishes the target encoder"),
    (
        "state_dict_ema",
        &["state_dict", "model"],
        "timm's loader takes the averaged weights, state_dict_ema, first",
    ),
    ("model_ema", &["state_dict", "model"], "timm's loader takes the averaged weights, model_ema, first"),
    ("state_dict", &["model"], "timm's loader takes state_dict before model"),
    ("ema_model", &["online_model"], "ema-pytorch computes with the averaged model"),
];

/// Returns the candidate that is taken before all others, and by which convention.
///
/// Only copies of one network are told apart so: a teacher of another size is another network, as in distillation.
pub(super) fn preferred<'a>(candidates: &[&'a Candidate]) -> Option<(&'a Candidate, &'static str)> {
    let first = candidates.first()?.shapes();
    if candidates.iter().skip(1).any(|other| !is_like(&first, &other.shapes())) {
        return None;
    }
    candidates.iter().find_map(|candidate| {
        let mut others = candidates.iter().filter(|other| other.prefix != candidate.prefix);
        let reason = before(candidate, others.next()?)?;
        others.all(|other| before(candidate, other).is_some()).then_some((*candidate, reason))
    })
}

/// Returns whether two networks have the same body: what one of them has more is no tensor with another shape in the other.
fn is_like(one: &[(&str, &[u64])], other: &[(&str, &[u64])]) -> bool {
    let mut shared = 0_usize;
    for (name, shape) in one {
        if let Ok(at) = other.binary_search_by(|(known, _)| known.cmp(name)) {
            if other.get(at).is_none_or(|(_, known)| known != shape) {
                return false;
            }
            shared += 1;
        }
    }
    shared * 2 > one.len().max(other.len())
}

/// Returns the convention by which one is taken and not the other.
fn before(one: &Candidate, other: &Candidate) -> Option<&'static str> {
    let (one, other) = (one.parts(), other.parts());
    let (taken, left) = one.iter().zip(&other).find(|(one, other)| one != other)?;
    let by = CONVENTIONS.iter().find(|(wanted, unwanted, _)| {
        unwanted.iter().any(|unwanted| is_role(taken, wanted, left, unwanted))
    })?;
    Some(by.2)
}

/// Returns whether two names differ in these words only: `teacher_backbone` and `student_backbone` in `teacher` and `student`.
fn is_role(taken: &str, wanted: &str, left: &str, unwanted: &str) -> bool {
    let rest = |name: &str, word: &str| -> Option<(String, String)> {
        let (before, after) = name.split_once(word)?;
        let is_word =
            (before.is_empty() || before.ends_with('_')) && (after.is_empty() || after.starts_with('_'));
        is_word.then(|| (before.to_owned(), after.to_owned()))
    };
    matches!((rest(taken, wanted), rest(left, unwanted)), (Some(one), Some(other)) if one == other)
}
