//! What is known of a model, and how it came to be known. A conversion that cannot say where a number came from has guessed
//! it.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Where a fact came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The person who ran the command, by this option.
    Option(&'static str),
    /// This key of the `config.json` next to the weights.
    HubConfig(String),
    /// This key of the model card next to the weights.
    Card(&'static str),
    /// The shape or presence of this tensor.
    Weights(String),
    /// A scalar that the checkpoint holds next to the weights.
    Checkpoint(String),
    /// timm's registry, for this architecture or tag.
    Registry(String),
    /// Every architecture or tag of timm's registry that fits the weights says the same.
    AllCandidates(String),
    /// The framework's published models, for this one.
    Published(String),
    /// The file's name.
    FileName(String),
    /// The definition of the source framework where nothing else is said.
    Definition(&'static str),
}

impl Origin {
    /// Returns how much weight it has, the least number first: what the file itself says goes before what is known of an
    /// architecture, and that before what holds where nothing is said.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Origin::Weights(_) => 0,
            Origin::Option(_) => 1,
            Origin::HubConfig(_) | Origin::Card(_) | Origin::Checkpoint(_) => 2,
            Origin::Registry(_) | Origin::Published(_) => 3,
            Origin::FileName(_) | Origin::AllCandidates(_) => 4,
            Origin::Definition(_) => 5,
        }
    }

    /// Returns whether it is a statement about this very model, which another such statement must not contradict.
    pub(super) fn is_statement(&self) -> bool {
        self.rank() <= 2
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Option(option) => write!(f, "{option}"),
            Origin::HubConfig(key) => write!(f, "config.json: {key}"),
            Origin::Card(key) => write!(f, "the source's model card: {key}"),
            Origin::Weights(tensor) => write!(f, "the weights: {tensor}"),
            Origin::Checkpoint(key) => write!(f, "the checkpoint's own record: {key}"),
            Origin::Registry(name) => write!(f, "timm's registry: {name}"),
            Origin::AllCandidates(which) => write!(f, "timm's registry: all of {which}"),
            Origin::Published(name) => write!(f, "the published model {name}"),
            Origin::FileName(name) => write!(f, "the file's name: {name}"),
            Origin::Definition(of) => write!(f, "{of}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Known<T> {
    /// Returns a value and where it came from.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// A fact: what it is about, its value, and how it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What it is about: an argument of the source's definition such as `num_heads`, or `mean`, `labels`, `license` ….
    pub name: &'static str,
    /// Its value, as the source's definition takes it.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Fact {
    /// Returns a fact.
    pub fn new(name: &'static str, value: impl Into<Value>, origin: Origin) -> Self {
        Self { name, value: value.into(), origin }
    }

    /// Returns the value as people read it: `224x224`, `1,3,6`, `yes`, `1e-6`.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Array(edges) if self.name.ends_with("img_size") || self.name.ends_with("patch_size") => {
                edges.iter().map(scalar).collect::<Vec<_>>().join("x")
            }
            Value::Array(list) if list.iter().any(Value::is_f64) => {
                format!("[{}]", list.iter().map(scalar).collect::<Vec<_>>().join(", "))
            }
            Value::Array(list) => list.iter().map(scalar).collect::<Vec<_>>().join(","),
            value => scalar(value),
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float != 0.0 && float.abs() < 1e-3 => format!("{float:e}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fact = serializer.serialize_struct("Fact", 3)?;
        fact.serialize_field("name", self.name)?;
        fact.serialize_field("value", &self.shown())?;
        fact.serialize_field("origin", &self.origin)?;
        fact.end()
    }
}

/// Facts, in the order in which they were found, each name once.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Returns the fact of that name.
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.0.iter().find(|fact| fact.name == name)
    }

    /// Returns the value of that name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.get(name).map(|fact| &fact.value)
    }

    /// Returns a value that is a number from 0 on.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    /// Returns a value that is yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.value(name)?.as_bool()
    }

    /// Returns a value that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// Returns a value that is two numbers, such as height and width.
    pub fn pair(&self, name: &str) -> Option<[u64; 2]> {
        match self.value(name)?.as_array()?.as_slice() {
            [height, width] => Some([height.as_u64()?, width.as_u64()?]),
            _ => None,
        }
    }

    /// Returns a value that is a list of numbers.
    pub fn numbers(&self, name: &str) -> Option<Vec<u64>> {
        self.value(name)?.as_array()?.iter().map(Value::as_u64).collect()
    }

    /// Adds a fact, or replaces the one of its name where it stands.
    pub fn set(&mut self, fact: Fact) {
        match self.0.iter_mut().find(|known| known.name == fact.name) {
            Some(known) => *known = fact,
            None => self.0.push(fact),
        }
    }

    /// Returns all facts in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }

    /// Returns the values by name: what a definition is built from.
    pub fn to_config(&self) -> Map<String, Value> {
        self.0.iter().map(|fact| (fact.name.to_owned(), fact.value.clone())).collect()
    }
}

impl FromIterator<Fact> for Facts {
    fn from_iter<T: IntoIterator<Item = Fact>>(facts: T) -> Self {
        let mut all = Self::default();
        facts.into_iter().for_each(|fact| all.set(fact));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_read_as_people_write_them() {
        let shown = |name, value| Fact::new(name, value, Origin::Option("--x")).shown();
        assert_eq!(shown("img_size", json!([224, 192])), "224x192");
        assert_eq!(shown("num_heads", json!([1, 3, 6])), "1,3,6");
        assert_eq!(shown("qkv_bias", json!([true, false])), "yes,no");
        assert_eq!(shown("norm_eps", json!(1e-6)), "1e-6");
        assert_eq!(shown("crop_pct", json!(0.875)), "0.875");
        assert_eq!(shown("mean", json!([0.5, 0.5, 0.25])), "[0.5, 0.5, 0.25]");
    }
}
