//! What training programs record next to the weights: their arguments (`args`), Lightning's `hyper_parameters`, mmengine's
//! `meta`. What each says is for frameworks to know; what nobody reads is listed.

use serde_json::{Map, Value};
use vitport_checkpoint::PlainValue;

use crate::source::Source;

/// Lists the objects in which training programs keep their arguments.
const ROOTS: [&str; 5] = ["args", "hyper_parameters", "hparams", "config", "meta"];

/// Describes something that a checkpoint records.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Gives its dotted path in the file: `args.model_kwargs.num_heads`.
    pub path: String,
    /// Holds its value. Classes and other things that JSON has no value for are objects, as [`PlainValue`] serializes them.
    pub value: Value,
}

/// Holds everything that a checkpoint records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Records(Vec<Record>);

impl Records {
    /// Returns what a source's checkpoint records. A text at the top that is a JSON object, as safetensors keeps settings, counts
    /// as that object.
    pub fn of(source: &Source) -> Self {
        let mut records = Vec::new();
        for entry in source.checkpoint.metadata() {
            let object = match &entry.value {
                PlainValue::Str(text) if !entry.path.contains('.') => serde_json::from_str(text).ok(),
                _ => None,
            };
            match object {
                Some(object) => flatten(&entry.path, object, &mut records),
                None => records.push(Record {
                    path: entry.path.clone(),
                    value: serde_json::to_value(&entry.value).unwrap_or_default(),
                }),
            }
        }
        Self(records)
    }

    /// Returns what a `config.json` says, by the paths of its values.
    pub fn of_config(values: &Map<String, Value>) -> Self {
        let mut records = Vec::new();
        for (key, value) in values {
            match value {
                Value::Object(object) => flatten(key, object.clone(), &mut records),
                value => records.push(Record { path: key.clone(), value: value.clone() }),
            }
        }
        Self(records)
    }

    /// Returns what is recorded under `root`, by the paths below it; with an empty root everything.
    pub fn under(&self, root: &str) -> impl Iterator<Item = (&str, &Record)> {
        self.0.iter().filter_map(move |record| {
            let below = match root {
                "" => record.path.as_str(),
                root => record.path.strip_prefix(root)?.strip_prefix('.')?,
            };
            Some((below, record))
        })
    }

    /// Returns the value at a path.
    pub fn value(&self, path: &str) -> Option<&Value> {
        self.0.iter().find(|record| record.path == path).map(|record| &record.value)
    }

    /// Returns the paths of arguments that are not among those that were read, in the order of the file. What is None or empty
    /// says nothing.
    pub fn unread(&self, read: &[String]) -> Vec<String> {
        let says_nothing = |value: &Value| match value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let is_argument = |record: &&Record| {
            ROOTS.iter().any(|root| record.path.strip_prefix(root).is_some_and(|rest| rest.starts_with('.')))
        };
        let is_read = |record: &&Record| {
            read.iter().any(|path| {
                record
                    .path
                    .strip_prefix(path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let unread = self.0.iter().filter(is_argument).filter(|record| !is_read(record));
        unread.filter(|record| !says_nothing(&record.value)).map(|record| record.path.clone()).collect()
    }
}

/// Adds each value of an object by its dotted path.
fn flatten(path: &str, object: Map<String, Value>, records: &mut Vec<Record>) {
    for (key, value) in object {
        let path = format!("{path}.{key}");
        match value {
            Value::Object(object) if !object.is_empty() => flatten(&path, object, records),
            value => records.push(Record { path, value }),
        }
    }
}
