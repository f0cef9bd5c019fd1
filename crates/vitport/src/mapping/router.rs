//! Which mapping holds a source: the one whose conditions all hold and that has the highest priority. Where none does, the
//! refusal is that of the nearest one, which fails the fewest conditions.

use serde_json::Map;

use super::conditions::TensorValues;
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
        let mut refusals = mapping.requires.iter().filter_map(|condition| condition.refusal(facts, values));
        let Some(first) = refusals.next() else {
            if fitting.is_none_or(|known| mapping.priority > known.priority) {
                fitting = Some(mapping);
            }
            continue;
        };
        let failed = 1 + refusals.count();
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
