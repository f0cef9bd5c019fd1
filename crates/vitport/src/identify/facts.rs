//! What is known of a model, and how it came to be known. A conversion that cannot say where a number came from has guessed
//! it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Where a fact came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The person who ran the command, by this option.
    Option(&'static str),
    /// This key of the `config.json` beside the weights.
    HubConfig(&'static str),
    /// This key of the model card beside the weights.
    Card(&'static str),
    /// The shape or presence of this tensor.
    Weights(String),
    /// A scalar that the checkpoint holds beside the weights.
    Checkpoint(String),
    /// timm's own table, for this architecture or tag.
    Zoo(String),
    /// Every architecture or tag of timm's table that fits the weights says the same.
    AllCandidates(String),
    /// The family's published models, for this one.
    Published(String),
    /// The file's name.
    FileName(String),
    /// The definition of the source framework where nothing else is said.
    Definition(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Option(option) => write!(f, "{option}"),
            Origin::HubConfig(key) => write!(f, "config.json: {key}"),
            Origin::Card(key) => write!(f, "the source's model card: {key}"),
            Origin::Weights(tensor) => write!(f, "the weights: {tensor}"),
            Origin::Checkpoint(key) => write!(f, "the checkpoint's own record: {key}"),
            Origin::Zoo(name) => write!(f, "timm's table: {name}"),
            Origin::AllCandidates(which) => write!(f, "timm's table: all of {which}"),
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
    /// A value and where it came from.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

/// A fact as it is shown: what, how much, and how it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about, such as `num_heads`.
    pub name: &'static str,
    /// The value as text.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Fact {
    /// A fact from anything that can be shown.
    pub fn new(name: &'static str, value: impl fmt::Display, origin: Origin) -> Self {
        Self { name, value: value.to_string(), origin }
    }
}
