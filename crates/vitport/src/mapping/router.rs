//! Which mapping holds a source: the one whose conditions all hold and that has the highest priority. Where none does, the
//! refusal is that of the nearest one, which fails the fewest conditions on facts; the earlier one where they are as near.

use serde_json::Map;

use super::conditions::{Condition, TensorValues};
use super::language::Mapping;
use crate::facts::{FactError, Facts};

/// Returns the mapping for a source with these facts, of `mappings` in order of preference.
///
/// # Errors
/// Returns [`FactError::NoTarget`] with the sentence of the first condition that fails, of the nearest mapping.
pub fn route<'a>(
    mappings: impl IntoIterator<Item = &'a Mapping>,
    facts: &Facts,
    values: &dyn TensorValues,
) -> Result<Option<&'a Mapping>, FactError> {
    let mut fitting: Option<&Mapping> = None;
    let mut nearest: Option<(usize, FactError)> = None;
    for mapping in mappings {
        let (of_values, of_facts): (Vec<_>, Vec<_>) =
            mapping.requires.iter().partition(|condition| condition.is_of_values());
        let refused = |conditions: Vec<&'a Condition>| {
            let mut refusals =
                conditions.into_iter().filter_map(|condition| condition.refusal(facts, values));
            refusals.next().map(|first| (first, 1 + refusals.count()))
        };
        // Values are read only where all facts fit; a mapping that fails on them alone is nearer than any other.
        let refusal = refused(of_facts).or_else(|| Some((refused(of_values)?.0, 0)));
        let Some((first, failed)) = refusal else {
            if fitting.is_none_or(|known| mapping.priority > known.priority) {
                fitting = Some(mapping);
            }
            continue;
        };
        if nearest.as_ref().is_none_or(|(least, _)| failed < *least) {
            nearest = Some((failed, first));
        }
    }
    match (fitting, nearest) {
        (Some(mapping), _) => Ok(Some(mapping)),
        (None, Some((_, refusal))) => Err(refusal),
        (None, None) => Ok(None),
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
