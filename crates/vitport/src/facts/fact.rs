//! What is known of a model, and how it came to be known. A conversion that cannot say where a number came from has guessed
//! it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::evidence::is_same;

/// Says where a fact came from.
///
/// Sources of statements come first: each says something of this very model. What follows is what is known of the
/// published model that it is named after, and then what is taken to be so because nothing says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Names the tensor whose shape or presence shows it.
    Weights(String),
    /// Names the option by which the person who runs the command says it.
    Option(&'static str),
    /// Names the published model that the person who runs the command says it is like.
    Like(String),
    /// Names the option that asks for another result and says nothing of the model: `--no-head`.
    Request(&'static str),
    /// Names the key of the `config.json` next to the weights.
    Config(String),
    /// Names the key of the model card next to the weights.
    Card(&'static str),
    /// Names the argument of the training run that the checkpoint records: `args.model`.
    Argument(String),
    /// Names the attribute of the module that was saved whole.
    Attribute(String),
    /// Names a scalar that the checkpoint holds next to the weights.
    Checkpoint(String),
    /// Names a framework's registry and its entry for the model that the source is named after.
    Registry(String),
    /// Names the published models that have these shapes and agree.
    Candidates(String),
    /// Names the file, whose name says it.
    FileName(String),
    /// Says by which convention one of several parts of a file is taken.
    Convention(String),
    /// Names the definition that has this value where nothing is said.
    Definition(&'static str),
    /// Says that nothing is known, and that the value claims nothing: placeholders for the names of classes.
    Placeholder(&'static str),
}

impl Origin {
    /// Returns the place in the order of precedence, 0 first: of several values of a fact, that with the lowest rank is taken.
    ///
    /// Weights cannot be wrong about themselves (0). Then what the file and its neighbours say of the model (1), the person's word
    /// (2), what a registry has of the model that it is named after (3), guesses (4), and defaults (5). A person who repeats
    /// what the file says adds nothing to it, and one who contradicts it is refused.
    pub fn rank(&self) -> u8 {
        match self {
            Origin::Weights(_) => 0,
            Origin::Config(_)
            | Origin::Card(_)
            | Origin::Argument(_)
            | Origin::Attribute(_)
            | Origin::Checkpoint(_) => 1,
            Origin::Option(_) | Origin::Like(_) | Origin::Request(_) => 2,
            Origin::Registry(_) => 3,
            Origin::FileName(_) | Origin::Candidates(_) | Origin::Convention(_) => 4,
            Origin::Definition(_) | Origin::Placeholder(_) => 5,
        }
    }

    /// Returns whether it is a statement about this very model, by the weights, the person or the source (rank 2 or less). Two
    /// statements that disagree are a contradiction; anything else gives way to what has a lower rank.
    pub fn is_statement(&self) -> bool {
        self.rank() <= 2
    }

    /// Returns whether the source itself does not say it, so that it is taken to be so: an option; a guess by shapes, by the
    /// candidates in a registry or by the file's name; a definition's default.
    ///
    /// A registry's entry is not one: it is as sure as the name that leads to it, which is a fact of its own, `architecture`.
    pub fn is_assumption(&self) -> bool {
        matches!(
            self,
            Origin::Option(_)
                | Origin::Like(_)
                | Origin::Candidates(_)
                | Origin::Convention(_)
                | Origin::FileName(_)
                | Origin::Definition(_)
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Weights(tensor) => write!(f, "the weights: {tensor}"),
            Origin::Option(option) | Origin::Request(option) => write!(f, "{option}"),
            Origin::Like(model) => write!(f, "--like {model}"),
            Origin::Config(key) => write!(f, "config.json: {key}"),
            Origin::Card(key) => write!(f, "the source's model card: {key}"),
            Origin::Argument(name) => write!(f, "the training arguments: {name}"),
            Origin::Attribute(name) => write!(f, "the saved module: {name}"),
            Origin::Checkpoint(key) => write!(f, "the checkpoint's own record: {key}"),
            Origin::Registry(entry) => write!(f, "{entry}"),
            Origin::Candidates(which) | Origin::Convention(which) => write!(f, "{which}"),
            Origin::FileName(name) => write!(f, "the file's name: {name}"),
            Origin::Definition(of) | Origin::Placeholder(of) => write!(f, "{of}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Describes a value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// Holds the value.
    pub value: T,
    /// Says where it came from.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// Returns a value and where it came from.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// Describes a fact: what it is about, its value, and how it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Names what it is about: an argument of the source's definition such as `num_heads`, or `mean`, `labels`, `license` ….
    pub name: &'static str,
    /// Holds its value, as the source's definition takes it.
    pub value: Value,
    /// Says where it came from.
    pub origin: Origin,
    /// Holds what the source itself says, where an option overrides it.
    pub overrides: Option<Sourced<Value>>,
}

impl Fact {
    /// Returns a fact.
    pub fn new(name: &'static str, value: impl Into<Value>, origin: Origin) -> Self {
        Self { name, value: value.into(), origin, overrides: None }
    }

    /// Returns the same fact in place of what the source says.
    #[must_use]
    pub fn in_place_of(self, stated: Fact) -> Self {
        Self { overrides: Some(Sourced::new(stated.value, stated.origin)), ..self }
    }

    /// Returns where it came from, and what the source says where that is overridden.
    pub fn known_from(&self) -> String {
        match &self.overrides {
            None => self.origin.to_string(),
            Some(known) => {
                format!("{}; the source says {} ({})", self.origin, self.show(&known.value), known.origin)
            }
        }
    }

    /// Returns a fact that an option may say: by the option where it differs from `known`, which is then overridden; otherwise as
    /// it is known. An option that repeats an assumption takes its place.
    pub fn by_option(
        name: &'static str,
        given: Option<Value>,
        option: &'static str,
        known: Sourced<Value>,
    ) -> Self {
        match given {
            None => Self::new(name, known.value, known.origin),
            Some(given) if known.origin.is_assumption() => Self::new(name, given, Origin::Option(option)),
            Some(given) if is_same(&given, &known.value) => Self::new(name, known.value, known.origin),
            Some(given) => Self { overrides: Some(known), ..Self::new(name, given, Origin::Option(option)) },
        }
    }

    /// Returns the value as people read it: `224x224`, `1,3,6`, `yes`, `1e-6`.
    pub fn shown(&self) -> String {
        self.show(&self.value)
    }

    /// Returns a value of this fact as people read it.
    pub fn show(&self, value: &Value) -> String {
        match value {
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

/// Describes a fact, as documents have it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fact")]
struct FactDocument {
    /// Names what it is about: an argument of the source's definition such as `num_heads`, or `mean`, `labels`, `license` ….
    name: &'static str,
    /// Gives its value as people read it: `3,6,8`.
    value: String,
    /// Says where it came from.
    origin: String,
    /// Gives what the source itself says, where an option overrides it.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden: Option<Box<FactDocument>>,
}

impl FactDocument {
    fn new(fact: &Fact) -> Self {
        let stated = |known: &Sourced<Value>| Self {
            name: fact.name,
            value: fact.show(&known.value),
            origin: known.origin.to_string(),
            overridden: None,
        };
        Self {
            name: fact.name,
            value: fact.shown(),
            origin: fact.origin.to_string(),
            overridden: fact.overrides.as_ref().map(|known| Box::new(stated(known))),
        }
    }
}

impl Serialize for Fact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FactDocument::new(self).serialize(serializer)
    }
}

impl JsonSchema for Fact {
    fn schema_name() -> Cow<'static, str> {
        FactDocument::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        FactDocument::json_schema(generator)
    }
}

/// Holds facts, in the order in which they were found, each name once; and what holds where nothing was found, which is not
/// listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Facts {
    found: Vec<Fact>,
    #[serde(skip)]
    usual: Vec<Fact>,
}

impl Facts {
    /// Returns the facts with what holds where nothing was found.
    pub(crate) fn with_usual(self, usual: Vec<Fact>) -> Self {
        Self { usual, ..self }
    }

    /// Returns the fact of that name.
    pub fn get(&self, name: &str) -> Option<&Fact> {
        self.with_all_usual().find(|fact| fact.name == name)
    }

    /// Returns all facts in order, and then what holds where nothing was found, under names of which there may be facts.
    pub(crate) fn with_all_usual(&self) -> impl Iterator<Item = &Fact> {
        self.found.iter().chain(&self.usual)
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
        match self.found.iter_mut().find(|known| known.name == fact.name) {
            Some(known) => *known = fact,
            None => self.found.push(fact),
        }
    }

    /// Returns all facts in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.found.iter()
    }

    /// Returns the values by name: what a definition is built from.
    pub fn to_config(&self) -> Map<String, Value> {
        self.found.iter().map(|fact| (fact.name.to_owned(), fact.value.clone())).collect()
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
    fn what_the_source_does_not_say_is_an_assumption() {
        let name = || "x".to_owned();
        let origins = [
            (Origin::Weights(name()), true, false),
            (Origin::Option("--x"), true, true),
            (Origin::Like(name()), true, true),
            (Origin::Request("--no-x"), true, false),
            (Origin::Config(name()), true, false),
            (Origin::Card("x"), true, false),
            (Origin::Argument(name()), true, false),
            (Origin::Attribute(name()), true, false),
            (Origin::Checkpoint(name()), true, false),
            (Origin::Registry(name()), false, false),
            (Origin::Candidates(name()), false, true),
            (Origin::FileName(name()), false, true),
            (Origin::Definition("x"), false, true),
            (Origin::Placeholder("x"), false, false),
        ];
        for (origin, is_statement, is_assumption) in origins {
            assert_eq!(origin.is_statement(), is_statement, "{origin:?}");
            assert_eq!(origin.is_assumption(), is_assumption, "{origin:?}");
        }
    }

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
