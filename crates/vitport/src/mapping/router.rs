//! Which mapping holds a source: of those whose conditions all hold, the one that computes most of it in most versions of
//! transformers. Where none does, the refusal is that of the nearest one, which fails the fewest conditions on facts; where they
//! are as near, one that fails on what is asked for, and else the earlier one.

use std::cmp::Reverse;

use serde_json::Map;

use super::conditions::{Condition, TensorValues};
use super::language::Mapping;
use crate::facts::{FactError, Facts};

/// Returns the mapping for a source with these facts, of `mappings` in order of preference: the first of those that
/// [`possible`] returns, or of those of them that make the class `wanted`.
///
/// # Errors
/// Returns [`FactError::NoTarget`] with the sentence of the first condition that fails, of the nearest mapping, and
/// [`FactError::Contradiction`] for a class that is not made of such a source.
pub fn route<'a>(
    mappings: impl IntoIterator<Item = &'a Mapping>,
    facts: &Facts,
    values: &dyn TensorValues,
    wanted: Option<&str>,
) -> Result<Option<&'a Mapping>, FactError> {
    let all: Vec<&Mapping> = mappings.into_iter().collect();
    let makes = |mapping: &&&Mapping| wanted.is_none_or(|class| mapping.classes().contains(&class));
    let own: Vec<&Mapping> = all.iter().filter(makes).copied().collect();
    let unmade = |reason: String| {
        Err(FactError::contradiction(
            format!("--target {}", vitport_checkpoint::escape(wanted.unwrap_or_default())),
            reason,
        ))
    };
    if own.is_empty() && !all.is_empty() {
        let mut classes: Vec<&str> = all.iter().flat_map(|mapping| mapping.classes()).collect();
        classes.sort_unstable();
        classes.dedup();
        return unmade(format!("such a network can become {}, if at all", classes.join(", ")));
    }
    let Some(wanted) = wanted else { return Ok(possible(own, facts, values)?.first().copied()) };
    let fitting = possible(own, facts, values)?;
    let class = |mapping: &Mapping| mapping.class(facts);
    match fitting.iter().find(|mapping| class(mapping).is_none_or(|class| class == wanted)) {
        Some(mapping) => Ok(Some(*mapping)),
        None => {
            let made = fitting.first().and_then(|mapping| class(mapping)).unwrap_or_default();
            let remedy = match facts.flag("head") {
                Some(true) => "give --no-head too",
                _ => "it has no head",
            };
            unmade(format!("it becomes {made}; {remedy}"))
        }
    }
}

/// Returns the mappings of `mappings` that hold a source with these facts, the best first: those that compute the whole forward pass
/// in both versions of transformers, then in version 5 only, then those that give features, in the same order. Of those that are
/// alike in that, the higher priority comes first. Last come those that are only asked for.
///
/// # Errors
/// Returns [`FactError::NoTarget`] if there is none, as [`route`] does.
pub fn possible<'a>(
    mappings: impl IntoIterator<Item = &'a Mapping>,
    facts: &Facts,
    values: &dyn TensorValues,
) -> Result<Vec<&'a Mapping>, FactError> {
    let mut fitting: Vec<&Mapping> = Vec::new();
    let mut nearest: Option<((usize, bool), FactError)> = None;
    for mapping in mappings {
        let (of_values, of_facts): (Vec<_>, Vec<_>) =
            mapping.requires.iter().partition(|condition| condition.is_of_values());
        let refused = |conditions: Vec<&'a Condition>| {
            let mut refusals = conditions
                .into_iter()
                .filter_map(|condition| Some((condition.refusal(facts, values)?, condition.is_asked(facts))));
            refusals.next().map(|(first, is_asked)| (first, (1 + refusals.count(), !is_asked)))
        };
        // Values are read only where all facts fit; a mapping that fails on them alone is nearer than any other.
        let inexpressible = || match mapping.target_config(facts) {
            Err(error @ FactError::NoTarget { .. }) => Some(error),
            _ => None,
        };
        let refusal = refused(of_facts)
            .or_else(|| Some((inexpressible()?, (0, true))))
            .or_else(|| Some((refused(of_values)?.0, (0, true))));
        let Some((first, failed)) = refusal else {
            fitting.push(mapping);
            continue;
        };
        if nearest.as_ref().is_none_or(|(least, _)| failed < *least) {
            nearest = Some((failed, first));
        }
    }
    fitting.sort_by_key(|mapping| {
        let is_asked_for = mapping.is_only_asked_for();
        (is_asked_for, mapping.level(facts), mapping.since, Reverse(mapping.priority))
    });
    match nearest {
        Some((_, refusal)) if fitting.is_empty() => Err(refusal),
        _ => Ok(fitting),
    }
}

impl Mapping {
    /// Returns whether it is chosen by values of tensors, too.
    pub fn reads_values(&self) -> bool {
        self.requires.iter().any(Condition::is_of_values)
    }

    /// Returns the target's `config.json` without labels and dtype.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] for a fact that the target cannot express.
    pub fn target_config(&self, facts: &Facts) -> Result<Map<String, serde_json::Value>, FactError> {
        let value = |(key, expression): &(String, super::Expression)| {
            Ok((key.clone(), expression.value(key, facts, &self.to)?))
        };
        self.config.iter().map(value).collect()
    }
}
