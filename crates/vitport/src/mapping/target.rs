//! `level`, `since`, `outside`, `states_times` and `only_asked_for`: how much of the source's forward pass a mapping's target computes, in
//! which versions of transformers, and what is otherwise about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::language::Mapping;
use crate::facts::Facts;

/// Says how much of the source's forward pass the target computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Means all of it.
    Whole,
    /// Means all but its last steps, which are easily done outside.
    Features,
}

impl Level {
    /// Returns the word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Features => "features",
        }
    }
}

/// Describes what of the source's forward pass is not in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outside {
    /// Says what it is: `the mean over patches`.
    pub what: String,
    /// Gives the Python that computes it of what the model returns, `outputs`.
    pub code: String,
}

/// Gives the number of times that the target's hidden states are the source's: √(`root_of` / the fact `over`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatesTimes {
    root_of: f64,
    over: String,
}

/// Gives the level of a mapping, which may depend on a flag.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum LevelKey {
    /// Is the same for every source.
    Always(Level),
    /// Is one with the flag, another without it.
    When {
        /// Gives the flag.
        when: String,
        /// Gives the level with it.
        is: Level,
        /// Gives the level without it.
        #[serde(rename = "else")]
        otherwise: Level,
    },
}

/// Describes a class that a source can become.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TargetClass {
    /// Names the class, as in `architectures`.
    pub class: String,
    /// Says how much of the source it computes.
    pub level: Level,
    /// Gives the version of transformers from which on there is the class, where it is not in both.
    pub since: Option<u32>,
    /// Says what is not in the class.
    pub outside: Option<Outside>,
    /// Says how many times the source's its hidden states are, where its weights are scaled.
    pub states_times: Option<f64>,
    /// Names the mapping's file.
    pub mapping: String,
}

impl TargetClass {
    /// Returns the versions of transformers that open such a folder, in words.
    pub fn versions(&self) -> &'static str {
        match self.since {
            Some(_) => "transformers 5 only",
            None => "transformers 4 and 5",
        }
    }

    /// Returns what is said of its hidden states, where they are not the source's.
    pub fn of_states(&self) -> Option<String> {
        let times = shown_factor(self.states_times?);
        Some(format!(
            "hidden states are {times} times the source's; the pooled output and what follows from it are the same"
        ))
    }
}

/// Returns a factor with four digits that count.
pub fn shown_factor(factor: f64) -> String {
    let whole = factor.abs().log10().floor();
    match (-6.0..6.0).contains(&whole) {
        true => format!("{factor:.0$}", (3.0 - whole).max(0.0) as usize),
        false => format!("{factor:.3e}"),
    }
}

impl Mapping {
    /// Returns how much of such a source the target computes.
    pub fn level(&self, facts: &Facts) -> Level {
        match &self.level {
            None => Level::Whole,
            Some(LevelKey::Always(level)) => *level,
            Some(LevelKey::When { when, is, otherwise }) => match facts.flag(when) {
                Some(false) => *otherwise,
                _ => *is,
            },
        }
    }

    /// Returns what of such a source is not in the target, with numbers of facts in their places in the Python.
    pub fn outside(&self, facts: &Facts) -> Option<Outside> {
        let mut outside = self.outside.clone().filter(|_| self.level(facts) == Level::Features)?;
        for fact in facts.iter() {
            if let Some(number) = fact.value.as_u64() {
                outside.code = outside.code.replace(&format!("{{{}}}", fact.name), &number.to_string());
            }
        }
        Some(outside)
    }

    /// Returns whether it is used only where its class is asked for.
    pub fn is_only_asked_for(&self) -> bool {
        self.only_asked_for
    }

    /// Returns how many times the source's the target's hidden states are; none where they are the same, or the factor is no number above 0.
    pub fn states_times(&self, facts: &Facts) -> Option<f64> {
        let StatesTimes { root_of, over } = self.states_times.as_ref()?;
        let factor = (root_of / facts.value(over)?.as_f64()?).sqrt();
        (factor.is_finite() && factor > 0.0).then_some(factor)
    }

    /// Returns the class that such a source becomes, as far as the facts say it.
    pub(crate) fn class(&self, facts: &Facts) -> Option<String> {
        let (key, expression) = self.config.iter().find(|(key, _)| key == "architectures")?;
        let classes = expression.value(key, facts, &self.to).ok()?;
        Some(classes.get(0)?.as_str()?.to_owned())
    }

    /// Returns every class that some source becomes.
    pub(super) fn classes(&self) -> Vec<&str> {
        let architectures = self.config.iter().find(|(key, _)| key == "architectures");
        let values = architectures.map_or_else(Vec::new, |(_, expression)| expression.constants());
        values.into_iter().filter_map(|value| value.get(0)?.as_str()).collect()
    }

    /// Returns what such a source becomes.
    pub fn target(&self, facts: &Facts) -> Option<TargetClass> {
        Some(TargetClass {
            class: self.class(facts)?,
            level: self.level(facts),
            since: self.since,
            outside: self.outside(facts),
            states_times: self.states_times(facts),
            mapping: self.file.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_shown_with_four_digits() {
        let shown = [0.1_f64.sqrt(), 1.0, 31.622_776, 123_456.0, 1e-3, 2.5e-9].map(shown_factor);
        assert_eq!(shown, ["0.3162", "1.000", "31.62", "123456", "0.001000", "2.500e-9"]);
    }
}
