//! Plain values: what a file says in numbers, words and names rather than in tensors.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::escape::escape;

/// Describes a value that a file holds next to its tensors, as data.
///
/// Nothing of it was looked up or called: a function or class is the name that the file gives for it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PlainValue {
    /// Means Python's `None`.
    None,
    /// Means a truth value.
    Bool(bool),
    /// Means a whole number that fits into 64 bits.
    Int(i64),
    /// Means a floating-point number.
    Float(f64),
    /// Means text.
    Str(String),
    /// Means a list, tuple or set.
    List(Vec<PlainValue>),
    /// Means a dict with its keys as text, in the order of the file, each key once.
    Dict(Vec<(String, PlainValue)>),
    /// Means a class or function by its module and name, such as `torch.nn.modules.activation.GELU`.
    Name(String),
    /// Means a `functools.partial`: the function or class, and what it is to be called with.
    Partial(Box<PlainCall>),
    /// Means an instance of a class, such as a member of an enum or a path.
    Object(Box<PlainCall>),
    /// Means something that is there but is not kept: what it is in words, such as `a tensor`.
    Opaque(String),
}

/// Describes the parts of a [`PlainValue::Partial`] or a [`PlainValue::Object`].
#[derive(Clone, Debug, PartialEq)]
pub struct PlainCall {
    /// Holds the module and name of the function or class.
    pub name: String,
    /// Holds the positional arguments.
    pub arguments: Vec<PlainValue>,
    /// Holds a partial's keyword arguments, or an object's attributes.
    pub keywords: Vec<(String, PlainValue)>,
}

impl PlainValue {
    /// Returns the text, if this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number, if this is a whole number.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns the number, if this is a number.
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[allow(clippy::cast_precision_loss)]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// Returns the truth value, if this is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// Returns the items, if this is a list, tuple or set.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// Returns the value under a key of a dict, a keyword of a partial, or an attribute of an object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let entries = match self {
            Self::Dict(entries) => entries,
            Self::Partial(call) | Self::Object(call) => &call.keywords,
            _ => return None,
        };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the module and name of a class or function, of what a partial calls, or of an object's class.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Partial(call) | Self::Object(call) => Some(&call.name),
            _ => None,
        }
    }
}

impl fmt::Display for PlainValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(value) => f.write_str(if *value { "True" } else { "False" }),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Str(value) => write!(f, "'{}'", escape(value)),
            Self::List(values) => {
                f.write_str("[")?;
                listed(f, values)?;
                f.write_str("]")
            }
            Self::Dict(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}'{}': {value}", escape(key))?;
                }
                f.write_str("}")
            }
            Self::Name(name) => write!(f, "{}", escape(name)),
            Self::Partial(call) => write!(f, "partial({call})"),
            Self::Object(call) => write!(f, "{call}"),
            Self::Opaque(what) => write!(f, "<{}>", escape(what)),
        }
    }
}

impl fmt::Display for PlainCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", escape(&self.name))?;
        listed(f, &self.arguments)?;
        for (index, (key, value)) in self.keywords.iter().enumerate() {
            let comma = if index == 0 && self.arguments.is_empty() { "" } else { ", " };
            write!(f, "{comma}{}={value}", escape(key))?;
        }
        f.write_str(")")
    }
}

fn listed(f: &mut fmt::Formatter<'_>, values: &[PlainValue]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        f.write_str(if index == 0 { "" } else { ", " })?;
        write!(f, "{value}")?;
    }
    Ok(())
}

/// Serializes as the JSON value that is meant, and what JSON has no value for as an object with one of the keys `name`,
/// `partial`, `object` or `opaque`.
impl Serialize for PlainValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Str(value) => serializer.serialize_str(value),
            Self::List(values) => values.serialize(serializer),
            Self::Dict(entries) => Entries(entries).serialize(serializer),
            Self::Name(name) => tagged(serializer, "name", name, None),
            Self::Partial(call) => tagged(serializer, "partial", &call.name, Some((call, "keywords"))),
            Self::Object(call) => tagged(serializer, "object", &call.name, Some((call, "attributes"))),
            Self::Opaque(what) => tagged(serializer, "opaque", what, None),
        }
    }
}

fn tagged<S: Serializer>(
    serializer: S,
    tag: &str,
    name: &str,
    call: Option<(&PlainCall, &str)>,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry(tag, name)?;
    if let Some((call, keywords)) = call {
        map.serialize_entry("arguments", &call.arguments)?;
        map.serialize_entry(keywords, &Entries(&call.keywords))?;
    }
    map.end()
}

impl JsonSchema for PlainValue {
    fn schema_name() -> Cow<'static, str> {
        "PlainValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Holds the JSON value that is meant. What JSON has no value for is an object with one of the keys `name`, `partial`, `object` or `opaque`."
        })
    }
}

/// Writes named values as a JSON object.
pub(crate) struct Entries<'a>(pub(crate) &'a [(String, PlainValue)]);

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::{PlainCall, PlainValue};

    #[test]
    fn shown_as_python_writes_it_and_serialized_as_json() {
        let partial = PlainValue::Partial(Box::new(PlainCall {
            name: "torch.nn.LayerNorm".to_owned(),
            arguments: vec![PlainValue::Int(4)],
            keywords: vec![("eps".to_owned(), PlainValue::Float(1e-3))],
        }));
        let dict = PlainValue::Dict(vec![("norm".to_owned(), partial), ("x".to_owned(), PlainValue::None)]);
        assert_eq!(dict.to_string(), "{'norm': partial(torch.nn.LayerNorm(4, eps=0.001)), 'x': None}");
        let json = serde_json::json!({
            "norm": { "partial": "torch.nn.LayerNorm", "arguments": [4], "keywords": { "eps": 0.001 } },
            "x": null,
        });
        assert_eq!(serde_json::to_value(&dict).unwrap(), json);
        let eps = dict.get("norm").and_then(|norm| norm.get("eps"));
        assert_eq!(eps.and_then(PlainValue::as_float), Some(1e-3));
    }
}
