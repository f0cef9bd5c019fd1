//! The way back: from a config of the target's framework to the facts of a source that the mapping makes it of. `[config]` is read
//! the other way round, `requires` says what every source of the mapping is, and `[back]` decides what the target does not tell.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::Pass;
use super::language::Mapping;

/// Decides a fact that the target's config does not tell: a value; one with a flag and another without it; whether the folder has a
/// tensor whose name ends so, or that for each entry of another fact, whose number stands for `{n}`; entries of another fact, which of its
/// entries are above a number, or each of them times that of a second fact, rounded down.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Decided {
    When(WhenSet),
    Has(HasTensor),
    Of(EntriesOf),
    Above(EachAbove),
    Times(EachTimes),
    Is(Value),
}

/// Holds `{ when = "gated_mlp", is = …, else = … }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhenSet {
    when: String,
    is: Value,
    #[serde(rename = "else")]
    otherwise: Value,
}

/// Holds `{ has = "ending" }`, or `{ each = "depths", has = "stages.{n}.ending" }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HasTensor {
    has: String,
    #[serde(default)]
    each: Option<String>,
}

/// Holds `{ of = "in_chs", at = 0 }` or `{ of = "out_chs", at = [0, 2] }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesOf {
    of: String,
    at: Places,
}

/// Says which entries are taken: one, or a list of several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Places {
    One(usize),
    Several(Vec<usize>),
}

/// Holds `{ each = "expansions", above = 1 }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EachAbove {
    each: String,
    above: f64,
}

/// Holds `{ each = "mlp_ratio", times = "embed_dim" }`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EachTimes {
    each: String,
    times: String,
}

impl Decided {
    /// Returns the value; null if it cannot be made.
    fn value(&self, known: &Map<String, Value>, has: impl Fn(&str) -> bool) -> Value {
        let entries = |fact: &str| known.get(fact).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match self {
            Self::Is(value) => value.clone(),
            Self::When(WhenSet { when, is, otherwise }) => match known.get(when) {
                Some(Value::Bool(true)) => is.clone(),
                _ => otherwise.clone(),
            },
            Self::Has(HasTensor { has: ending, each: None }) => Value::Bool(has(ending)),
            Self::Has(HasTensor { has: ending, each: Some(list) }) => {
                let count = known.get(list).and_then(Value::as_array).map_or(0, Vec::len);
                let is_there = |number: usize| {
                    let before = number.checked_sub(1).map(|before| before.to_string());
                    let ending = ending.replace("{n}", &number.to_string());
                    match (before, ending.contains("{n-1}")) {
                        (None, true) => false,
                        (before, _) => has(&ending.replace("{n-1}", &before.unwrap_or_default())),
                    }
                };
                (0..count).map(is_there).collect()
            }
            Self::Of(EntriesOf { of, at: Places::One(place) }) => {
                entries(of).get(*place).cloned().unwrap_or_default()
            }
            Self::Of(EntriesOf { of, at: Places::Several(places) }) => {
                let list: Option<Vec<Value>> =
                    places.iter().map(|place| entries(of).get(*place).cloned()).collect();
                list.map(Value::from).unwrap_or_default()
            }
            Self::Above(EachAbove { each, above }) => {
                let is_above = |entry: &Value| entry.as_f64().is_some_and(|entry| entry > *above);
                entries(each).iter().map(is_above).collect()
            }
            Self::Times(EachTimes { each, times }) => {
                let product = |(ratio, size): (&Value, &Value)| {
                    let product = ratio.as_f64()? * size.as_f64()?;
                    (product >= 0.0).then_some(Value::from(product as u64))
                };
                let products: Option<Vec<Value>> =
                    entries(each).iter().zip(entries(times)).map(product).collect();
                products.map(Value::from).unwrap_or_default()
            }
        }
    }
}

/// Describes a key of a config whose value no source of a mapping makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmadeKey {
    /// Names the key.
    pub key: String,
    /// Gives its value as JSON, or nothing if the config lacks it.
    pub value: String,
    /// Counts the keys whose values no source makes.
    pub keys: usize,
}

impl Mapping {
    /// Returns whether a key of the config is this fact where it is known.
    pub fn reads_where_known(&self, fact: &str) -> bool {
        self.config.iter().any(|(_, expression)| expression.gives_way(fact))
    }

    /// Returns the value that every way back decides for a fact.
    pub(super) fn decided(&self, fact: &str) -> Option<&Value> {
        match self.back.get(fact)? {
            Decided::Is(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the one value that a fact of its sources has, and why.
    pub fn required(&self, fact: &str) -> Option<(&Value, &str)> {
        self.requires.iter().find_map(|condition| condition.required(fact))
    }

    /// Returns the facts, by name, of a source that this mapping makes a config of; `config` has no gaps. Keys that `decides`
    /// says nothing depends on are not looked at. `has` says whether there is a tensor whose name ends so.
    ///
    /// # Errors
    /// Returns the first key with a value that no source makes.
    pub fn facts_of_config(
        &self,
        config: &Map<String, Value>,
        decides: impl Fn(&str) -> bool,
        has: impl Fn(&str) -> bool,
    ) -> Result<Map<String, Value>, UnmadeKey> {
        let mut known = Map::new();
        // The class says whether there is a head, on which other keys depend.
        let (class, others): (Vec<_>, Vec<_>) =
            self.config.iter().partition(|(key, _)| key == "architectures");
        let entries = || class.iter().chain(&others).filter(|(key, _)| decides(key));
        let mut unmade: Option<UnmadeKey> = None;
        for (pass, (key, expression)) in
            [Pass::Whole, Pass::Parts].into_iter().flat_map(|pass| entries().map(move |entry| (pass, entry)))
        {
            let value = config.get(key).unwrap_or(&Value::Null);
            if !expression.unmake(value, pass, &mut known) {
                let own = || UnmadeKey { key: key.clone(), value: value.to_string(), keys: 0 };
                let first = unmade.get_or_insert_with(own);
                first.keys = first.keys.saturating_add(1);
            }
        }
        if let Some(unmade) = unmade {
            return Err(unmade);
        }
        // What [back] decides may be a flag of a condition.
        self.settle(&mut known, false);
        for (fact, decided) in &self.back {
            if !known.contains_key(fact) {
                let value = decided.value(&known, &has);
                if !value.is_null() {
                    known.insert(fact.clone(), value);
                }
            }
        }
        self.settle(&mut known, true);
        Ok(known)
    }

    /// Adds the facts that have one value wherever the mapping holds, of the conditions with a flag or of those without.
    fn settle(&self, known: &mut Map<String, Value>, has_flag: bool) {
        for condition in self.requires.iter().filter(|condition| condition.has_flag() == has_flag) {
            let is_set = |flag: &str| known.get(flag) == Some(&Value::Bool(true));
            if let Some((fact, value)) = condition.settled(is_set)
                && !known.contains_key(fact)
            {
                known.insert(fact.to_owned(), value.clone());
            }
        }
    }
}
