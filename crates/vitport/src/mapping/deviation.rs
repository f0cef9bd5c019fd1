//! `[deviation.NAME]`: a known difference between the two definitions that no config can remove. The source is also run with
//! the field replaced that makes it compute as the target does; only if both then agree within rounding is it the only one.

use serde::Deserialize;
use serde_json::Value;

use crate::facts::{Facts, is_same};

/// Describes a known deviation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// Gives its name, as `--allow` takes it.
    #[serde(skip)]
    name: String,
    /// Gives the fact of the source's definition that is replaced.
    fact: String,
    /// Gives the value that makes it compute as the target does.
    computes_as: Value,
    /// Gives one sentence.
    what: String,
    /// Says what removes it.
    remedy: String,
}

impl Deviation {
    pub(super) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Returns the deviation of a source whose fact `fact` should have the value `computes_as`, and that its framework cannot make so.
    pub(crate) fn of_framework(
        name: &str,
        fact: &str,
        computes_as: Value,
        what: String,
        remedy: String,
    ) -> Self {
        Self { name: name.to_owned(), fact: fact.to_owned(), computes_as, what, remedy }
    }

    /// Returns its name: `cvt-gelu`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns one sentence that says what differs.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Returns what removes it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Returns whether a source of these facts deviates.
    pub fn applies(&self, facts: &Facts) -> bool {
        facts.value(&self.fact).is_some_and(|value| !is_same(value, &self.computes_as))
    }

    /// Returns the facts of a source that computes as the target does.
    pub fn replaced(&self, facts: &Facts) -> Facts {
        let mut replaced = facts.clone();
        if let Some(fact) = facts.get(&self.fact) {
            let mut fact = fact.clone();
            fact.value = self.computes_as.clone();
            replaced.set(fact);
        }
        replaced
    }
}
