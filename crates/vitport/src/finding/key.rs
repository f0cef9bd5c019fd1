//! What `--key` names: a nested part, a beginning of names, or both with a slash between them.

use vitport_checkpoint::escape;

use super::candidates::{Candidate, parts};
use crate::source::Source;

/// Returns the networks that a key names or leads to: those whose path begins with it, else those whose path has it in it.
pub(super) fn named<'a>(key: &str, candidates: &'a [Candidate]) -> Vec<&'a Candidate> {
    let wanted = parts(key);
    if wanted.is_empty() {
        return candidates.iter().collect();
    }
    let exact: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.parts() == wanted).collect();
    if !exact.is_empty() {
        return exact;
    }
    let begins: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.parts().starts_with(&wanted)).collect();
    if !begins.is_empty() {
        return begins;
    }
    let has = |candidate: &&Candidate| candidate.parts().windows(wanted.len()).any(|parts| parts == wanted);
    candidates.iter().filter(has).collect()
}

/// Returns the key that names a network: the nested part, a slash, and the beginning of names in it.
pub(super) fn shown(source: &Source, prefix: &str) -> String {
    let part = source.checkpoint.part_around(prefix);
    let rest = prefix.get(root_length(part)..).unwrap_or_default();
    let key = match (part, rest) {
        ("", "") => "the top of the file".to_owned(),
        ("", rest) => rest.to_owned(),
        (part, "") => part.to_owned(),
        (part, rest) => format!("{part}/{rest}"),
    };
    escape(&key).to_string()
}

/// Returns how many bytes of a full name are those of its part, with the dot.
pub(super) fn root_length(part: &str) -> usize {
    if part.is_empty() { 0 } else { part.len() + 1 }
}
