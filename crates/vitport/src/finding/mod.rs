//! Which part of a file is the network that is meant, and what becomes of the rest.
//!
//! A file from a training run holds more than a network: wrappers put beginnings before its names, and next to it lie the
//! optimizer's state, heads of pretraining, losses, or the same network a second time. Candidates are found by structure: every
//! beginning of names under which a known source stands (`candidates`). Of several one is taken where the field has a
//! documented convention (`convention`), or `--key` says which (`key`); else that is a question. What is not the network is
//! left out, with a reason (`outside`, `inside`).

mod candidates;
mod convention;
mod inside;
mod key;
mod outside;
mod wanted;

use std::sync::Arc;

use glob::Pattern;
use vitport_checkpoint::Tensor;

pub use self::candidates::Anchors;
use self::candidates::Candidate;
pub use self::inside::{Head, sort_out};
use self::wanted::Unwanted;
use crate::facts::{Candidate as Answer, Fact, FactError, Origin, Question};
use crate::pipeline::ConvertError;
use crate::plan::Dropped;
use crate::source::{Source, SourceError};
use crate::state_dict::StateDict;

/// Describes the network that was found in a file.
#[derive(Debug)]
pub struct FoundNetwork {
    /// Holds its tensors by their bare names.
    pub state_dict: StateDict,
    /// Holds the tensors that lie next to it, by their full names.
    pub outside: Vec<Arc<Tensor>>,
    /// Lists them in groups, with what each is.
    pub dropped: Vec<Dropped>,
    /// Says which network it is, where the file holds several.
    pub choice: Option<Fact>,
}

/// Finds the network of a source, and selects the part of the file that it lies in. Tensors whose names match one of `drop` are
/// left out; `is_known` says whether tensors are a known network.
///
/// # Errors
/// Returns [`FactError::Questions`] where several networks could be meant, [`SourceError`] for a `--key` that names nothing and for
/// a part that cannot be read.
pub fn find(
    source: &mut Source,
    shapes: &[Anchors],
    drop: &[Pattern],
    is_known: impl Fn(&StateDict) -> bool,
) -> Result<FoundNetwork, ConvertError> {
    let mut unwanted = Unwanted::new(drop);
    let all = unwanted.filter(source.checkpoint.all_tensors().to_vec());
    let found = candidates::find(&all, shapes, is_known)?;
    let key = source.key.clone();
    let meant: Vec<&Candidate> = match &key {
        Some(key) => key::named(key, &found),
        None => found.iter().collect(),
    };
    let (taken, reason) = match meant.as_slice() {
        [] => return unfound(source, key.as_deref(), &found),
        [only] => (*only, None),
        several => match convention::preferred(several) {
            Some((taken, reason)) => (taken, Some(reason)),
            None => return Err(question(source, several).into()),
        },
    };
    let part = source.checkpoint.part_around(&taken.prefix).to_owned();
    let checkpoint = &mut source.checkpoint;
    let selected = match &key {
        Some(_) => checkpoint.select(&part),
        None if checkpoint.root().path == part => checkpoint.require_root(),
        None => checkpoint.select_by_structure(&part),
    };
    selected.map_err(SourceError::from)?;
    let prefix = taken.prefix.get(key::root_length(&part)..).unwrap_or_default();
    let state_dict = StateDict::under(source.checkpoint.tensors(), prefix);
    let state_dict = unwanted.filter_network(state_dict, &part);
    unwanted.check()?;
    let choice = (found.len() > 1).then(|| {
        let origin = match reason {
            Some(reason) => Origin::Convention(reason.to_owned()),
            None => Origin::Request("--key"),
        };
        Fact::new("network", key::shown(source, &taken.prefix), origin)
    });
    let outside: Vec<Arc<Tensor>> =
        all.into_iter().filter(|tensor| !tensor.name.starts_with(&taken.prefix)).collect();
    let mut dropped = outside::reasons(&outside, taken, &found);
    dropped.extend(unwanted.dropped);
    Ok(FoundNetwork { state_dict, outside, dropped, choice })
}

/// Returns a part without a known network: that which is named or selected.
fn unfound(source: &mut Source, key: Option<&str>, all: &[Candidate]) -> Result<FoundNetwork, ConvertError> {
    let selected = match key {
        Some(key) => match source.checkpoint.select(key) {
            Err(_) if !all.is_empty() => {
                let shown: Vec<String> = all.iter().map(|found| key::shown(source, &found.prefix)).collect();
                let reason =
                    format!("nothing in it has this name; its networks are under {}", shown.join(", "));
                return Err(FactError::contradiction(format!("--key {key}"), reason).into());
            }
            selected => selected,
        },
        None => source.checkpoint.require_root(),
    };
    selected.map_err(SourceError::from)?;
    let state_dict = StateDict::under(source.checkpoint.tensors(), "");
    Ok(FoundNetwork { state_dict, outside: Vec::new(), dropped: Vec::new(), choice: None })
}

/// Returns the question which of several networks is meant.
fn question(source: &Source, several: &[&Candidate]) -> FactError {
    let shown = |candidate: &&Candidate| Answer {
        value: key::shown(source, &candidate.prefix),
        note: format!("{} tensors, {} bytes", candidate.tensors.len(), candidate.bytes()),
    };
    let what = format!("the file holds {} networks, and which one is meant is not known", several.len());
    let mut question = Question::new("network", what, "--key", "NAME");
    question.candidates = several.iter().map(shown).collect();
    FactError::questions(vec![question])
}
