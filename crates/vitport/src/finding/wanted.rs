//! What `--drop` leaves out.

use std::sync::Arc;

use glob::Pattern;
use vitport_checkpoint::Tensor;

use crate::facts::FactError;
use crate::plan::Dropped;
use crate::state_dict::StateDict;

/// Leaves tensors out that a person does not want, and lists them.
pub(super) struct Unwanted<'a> {
    patterns: &'a [Pattern],
    is_used: Vec<bool>,
    /// Lists what was left out.
    pub dropped: Vec<Dropped>,
}

impl<'a> Unwanted<'a> {
    pub fn new(patterns: &'a [Pattern]) -> Self {
        Self { patterns, is_used: vec![false; patterns.len()], dropped: Vec::new() }
    }

    /// Returns whether a tensor goes, by one of its names.
    fn takes(&mut self, tensor: &Tensor, names: [&str; 2]) -> bool {
        let is_named = |pattern: &Pattern| names.iter().any(|name| pattern.matches(name));
        let Some(place) = self.patterns.iter().position(is_named) else { return false };
        if let (Some(is_used), Some(pattern)) = (self.is_used.get_mut(place), self.patterns.get(place)) {
            *is_used = true;
            let reason = format!("--drop {pattern}");
            match self.dropped.iter_mut().find(|dropped| dropped.reason == reason) {
                Some(dropped) => {
                    dropped.name = pattern.to_string();
                    dropped.tensors += 1;
                    dropped.bytes = dropped.bytes.saturating_add(tensor.bytes());
                }
                None => {
                    let (name, bytes) = (tensor.name.to_string(), tensor.bytes());
                    self.dropped.push(Dropped { name, tensors: 1, bytes, reason });
                }
            }
        }
        true
    }

    /// Leaves out what is named by a full name.
    pub fn filter(&mut self, tensors: Vec<Arc<Tensor>>) -> Vec<Arc<Tensor>> {
        if self.patterns.is_empty() {
            return tensors;
        }
        tensors.into_iter().filter(|tensor| !self.takes(tensor, [&tensor.name, ""])).collect()
    }

    /// Leaves out what is named by its name in the network, or in the part of the file at `part`.
    pub fn filter_network(&mut self, state_dict: StateDict, part: &str) -> StateDict {
        if self.patterns.is_empty() {
            return state_dict;
        }
        let mut kept = Vec::new();
        for (name, tensor) in state_dict.entries() {
            let full =
                if part.is_empty() { tensor.name.to_string() } else { format!("{part}.{}", tensor.name) };
            // What its full name says has been counted before.
            let is_gone = self.patterns.iter().any(|pattern| pattern.matches(&full));
            if !is_gone && !self.takes(tensor, [name, &tensor.name]) {
                kept.push((Arc::clone(name), Arc::clone(tensor)));
            }
        }
        StateDict::from_entries(kept).with_taken_prefix(state_dict.prefix())
    }

    /// Checks that each pattern named something.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`].
    pub fn check(&self) -> Result<(), FactError> {
        let unused = self.patterns.iter().zip(&self.is_used).find(|(_, is_used)| !**is_used);
        match unused {
            Some((pattern, _)) => {
                Err(FactError::contradiction(format!("--drop {pattern}"), "it names none of the tensors"))
            }
            None => Ok(()),
        }
    }
}
