//! What the variables of rules, their flags and sizes stand for in one source: its facts.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::language::Mapping;
use crate::facts::Facts;

/// Holds what the variables, flags and sizes of a mapping's rules stand for in one source.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bindings {
    /// Holds counts that ranges run up to and shapes are made of, such as `depth` and `embed_dim`. A list counts its entries,
    /// and an entry has its number after a dot: `depth.2`.
    pub counts: BTreeMap<String, u64>,
    /// Holds flags for `when` and `unless`, such as `head`, and likewise `qkv_bias.2`.
    pub flags: BTreeMap<String, bool>,
    /// Holds texts for variables that are neither a range nor a choice, such as `base`.
    pub texts: BTreeMap<String, String>,
    /// Gives the factor of hidden states, and so of weights that are scaled.
    pub states_times: Option<f64>,
}

impl Bindings {
    /// Returns every fact that is a number, a yes or no, or a list of these.
    fn of_facts(facts: &Facts) -> Self {
        let mut bindings = Self::default();
        for name in facts.with_all_usual().map(|fact| fact.name) {
            if let Some(value) = facts.value(name) {
                bindings.bind(name.to_owned(), value);
            }
        }
        bindings
    }

    fn bind(&mut self, name: String, value: &Json) {
        match value {
            Json::Bool(flag) => {
                self.flags.insert(name, *flag);
            }
            Json::Number(number) => {
                self.counts.extend(number.as_u64().map(|count| (name, count)));
            }
            Json::Array(list) => {
                self.counts.insert(name.clone(), list.len() as u64);
                for (index, entry) in list.iter().enumerate() {
                    self.bind(format!("{name}.{index}"), entry);
                }
            }
            _ => {}
        }
    }
}

impl Mapping {
    /// Returns what the rules' variables stand for.
    ///
    /// # Errors
    /// Returns what is wrong with `[texts]`, in words.
    pub fn bindings(&self, facts: &Facts) -> Result<Bindings, String> {
        let mut bindings = Bindings { states_times: self.states_times(facts), ..Bindings::of_facts(facts) };
        for (name, expression) in &self.texts {
            let value = expression.value(name, facts, &self.to).map_err(|error| error.to_string())?;
            let text = value.as_str().ok_or_else(|| format!("[texts] {name} is {value}, not a text"))?;
            bindings.texts.insert(name.clone(), text.to_owned());
        }
        Ok(bindings)
    }
}
