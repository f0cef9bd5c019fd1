//! Which of several copies of a network is the one that its field publishes and uses.

use super::candidates::{Candidate, parts};
use super::inside::HEADS;

/// Lists conventions: the part of a name that is taken, those that are not, and who says so.
const CONVENTIONS: [(&str, &[&str], &str); 8] = [
    ("teacher", &["student"], "DINO, DINOv2, iBOT and lightly publish the teacher"),
    ("base_encoder", &["momentum_encoder"], "MoCo v3 publishes the base encoder"),
    ("target_encoder", &["encoder"], "MSN and I-JEPA publish the target encoder"),
    (
        "state_dict_ema",
        &["state_dict", "model"],
        "timm's loader takes the averaged weights, state_dict_ema, first",
    ),
    ("model_ema", &["state_dict", "model"], "timm's loader takes the averaged weights, model_ema, first"),
    ("state_dict", &["model"], "timm's loader takes state_dict before model"),
    (
        "state_dict",
        &["current_model_state"],
        "Lightning's WeightAveraging keeps the averaged weights as state_dict",
    ),
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

/// Returns whether two networks have the same body: what one of them has more is a part that the other has nothing of, such as a
/// head, and no tensor has another shape in the other.
fn is_like(one: &[(&str, &[u64])], other: &[(&str, &[u64])]) -> bool {
    let mut shared = 0_usize;
    for (name, shape) in one {
        match other.binary_search_by(|(known, _)| known.cmp(name)) {
            Ok(at) if other.get(at).is_none_or(|(_, known)| known != shape) => return false,
            Ok(_) => shared += 1,
            Err(_) if has_part(other, name) => return false,
            Err(_) => {}
        }
    }
    let is_more = |(name, _): &(&str, &[u64])| {
        one.binary_search_by(|(known, _)| known.cmp(name)).is_err() && has_part(one, name)
    };
    shared * 2 > one.len().max(other.len()) && !other.iter().any(is_more)
}

/// Returns whether a network has something of the part that a name is of, as `blocks` of `blocks.2.norm1.weight`. Heads differ.
fn has_part(network: &[(&str, &[u64])], name: &str) -> bool {
    let Some(part) = parts(name).first().copied().filter(|part| !HEADS.contains(part)) else { return false };
    ['.', '/'].iter().any(|separator| {
        let beginning = format!("{part}{separator}");
        let first = network.partition_point(|(known, _)| **known < *beginning);
        network.get(first).is_some_and(|(known, _)| known.starts_with(&beginning))
    })
}

/// Returns the convention by which one is taken and not the other.
fn before(one: &Candidate, other: &Candidate) -> Option<&'static str> {
    // Teachers of self-supervised training tell no classes apart; others are there for their students.
    let has_classes = one.shapes().iter().any(|(name, shape)| is_classifier(name) && shape.len() == 2);
    let (one, other) = (one.parts(), other.parts());
    let (taken, left) = one.iter().zip(&other).find(|(one, other)| one != other)?;
    let by = CONVENTIONS.iter().find(|(wanted, unwanted, _)| {
        unwanted.iter().any(|unwanted| is_role(taken, wanted, left, unwanted))
    })?;
    Some(by.2).filter(|_| by.0 != "teacher" || !has_classes)
}

/// Returns whether a name is that of a linear classifier's weight, as timm, torchvision and others call it.
fn is_classifier(name: &str) -> bool {
    let names = [
        "head.weight",
        "fc.weight",
        "classifier.weight",
        "head.fc.weight",
        "heads.head.weight",
        "classifier.2.weight",
    ];
    names.contains(&name)
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
