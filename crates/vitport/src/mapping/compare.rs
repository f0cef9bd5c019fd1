//! `[compare]`, `[compare_scaled]` and `[outputs]`: which places of the two networks hold the same hidden states, or the same times a factor,
//! and which outputs are the same.

use serde::Deserialize;

use crate::facts::Facts;

use super::language::Mapping;
use super::pattern::Side;

/// Names the same place in both networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Holds what reports call it: `layer 3`.
    pub name: String,
    /// Holds the source network's name of it.
    pub source: String,
    /// Holds the target network's name of it.
    pub target: String,
    /// Says whether the target has one more token there, before those of the source.
    pub without_first: bool,
    /// Gives the factor that the source's hidden states are compared with, where the target's are scaled.
    pub times: Option<f64>,
}

/// Is what follows the target's name of a place whose first token the source does not have.
const WITHOUT_FIRST: &str = "[1:]";

/// Names the same output of both networks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparedOutput {
    /// Holds what reports call it: `logits`.
    pub name: String,
    /// Holds the source network's name of it.
    pub source: String,
    /// Holds the target network's name of it.
    pub target: String,
    /// Gives a flag with which alone it is there.
    #[serde(default)]
    when: Option<String>,
    /// Gives a flag without which alone it is there.
    #[serde(default)]
    unless: Option<String>,
}

impl Mapping {
    /// Returns all places whose hidden states are compared.
    ///
    /// # Errors
    /// Returns what is wrong with `[compare]`, in words.
    pub fn places(&self, facts: &Facts) -> Result<Vec<Pair>, String> {
        let bindings = self.bindings(facts)?;
        let mut pairs = Vec::new();
        let times = self.states_times(facts);
        for place in &self.compare {
            let times = times.filter(|_| place.is_scaled);
            let patterns = [&place.name, &place.source, &place.target];
            let instances = self.instances_of(patterns.iter().flat_map(|p| p.variables()), &bindings)?;
            let sides = [Side::Target, Side::Source, Side::Target];
            let templates =
                patterns.iter().zip(sides).map(|(pattern, side)| instances.bind_one(pattern, side));
            let templates = templates.collect::<Result<Vec<_>, _>>()?;
            instances.each(&mut |values| {
                let mut names = Vec::new();
                for template in &templates {
                    let mut name = String::new();
                    template.fill(&mut name, values)?;
                    names.push(name);
                }
                if let Ok([name, source, target]) = <[String; 3]>::try_from(names) {
                    let (target, without_first) = match target.strip_suffix(WITHOUT_FIRST) {
                        Some(whole) => (whole.to_owned(), true),
                        None => (target, false),
                    };
                    pairs.push(Pair { name, source, target, without_first, times });
                }
                Ok(())
            })?;
        }
        Ok(pairs)
    }

    /// Returns the outputs of such a source that are compared, in the order of the mapping.
    pub fn outputs(&self, facts: &Facts) -> Vec<&ComparedOutput> {
        let holds = |output: &&ComparedOutput| {
            let is = |flag: &Option<String>, wanted: bool| {
                flag.as_deref().is_none_or(|flag| facts.flag(flag) == Some(wanted))
            };
            is(&output.when, true) && is(&output.unless, false)
        };
        self.outputs.iter().filter(holds).collect()
    }
}
