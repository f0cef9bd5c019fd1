//! Reading a user's labels: one a line, or JSON in any of the forms that people have lying about (a list, numbers to
//! names, torchvision's names to numbers and `[synset, words]` pairs, a `config.json`). What is not clear is refused,
//! since a label in the wrong place is worse than none.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use vitport_checkpoint::read_regular;

use super::unique::make_unique;
use super::{ClassNames, LabelError};

/// Limits the bytes of a labels file: 115,000 classes of 60 bytes are 7 MB.
const LIMIT: u64 = 8 << 20;

/// Limits the values of a list of labels, as far as lines or commas count them; no head has so many classes.
const MOST_VALUES: usize = 1_000_000;

/// Reads labels from a file; see [`parse`] for the forms.
///
/// # Errors
/// Returns [`LabelError`] if the file cannot be read, is larger than 8 MiB, or [`parse`] refuses what is in it.
pub fn from_file(path: &Path) -> Result<ClassNames, LabelError> {
    let read = |error| LabelError::Read { path: path.to_owned(), error };
    let name = path.to_string_lossy();
    let bytes = match read_regular(path, LIMIT) {
        Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            return Err(LabelError::TooLarge { source_name: name.into_owned(), limit: LIMIT });
        }
        bytes => bytes.map_err(read)?,
    };
    parse(&bytes, &name)
}

/// Reads labels from the bytes of a file called `name` in messages. The forms, all in UTF-8 (a byte order mark and
/// CRLF are accepted):
///
/// - text, one label a line, the first for class 0; blank lines at the end are ignored, others refused;
/// - a JSON list of names;
/// - a JSON object from class numbers to names, in any order, complete; a name may be a pair of synset and words;
/// - a JSON object from names to class numbers (torchvision's `class_to_idx`), complete;
/// - a transformers `config.json`: its `id2label`.
///
/// Names that several classes share are made unique and counted ([`ClassNames::made_unique`]).
///
/// # Errors
/// Returns [`LabelError`], naming the place, if the bytes are not one of these.
pub fn parse(bytes: &[u8], name: &str) -> Result<ClassNames, LabelError> {
    let source_name = || name.to_owned();
    let text = std::str::from_utf8(bytes)
        .map_err(|error| LabelError::Encoding { source_name: source_name(), offset: error.valid_up_to() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_end();
    let json = |error| LabelError::Json { source_name: source_name(), error };
    // Each takes many times its bytes in memory.
    let is_json = text.trim_start().starts_with(['[', '{']);
    let separator = if is_json { b',' } else { b'\n' };
    if text.bytes().filter(|byte| *byte == separator).count() > MOST_VALUES {
        return Err(LabelError::TooMany { source_name: source_name(), limit: MOST_VALUES });
    }
    let entries = match text.trim_start().chars().next() {
        None => return Err(LabelError::Empty { source_name: source_name() }),
        Some('[') => list(serde_json::from_str(text).map_err(json)?, name)?,
        Some('{') => {
            let config: Config = serde_json::from_str(text).map_err(json)?;
            match config.id2label {
                Some(pairs) => numbered(pairs.0, name)?,
                None => object(serde_json::from_str::<Pairs>(text).map_err(json)?.0, name)?,
            }
        }
        Some(_) => text.lines().map(Entry::plain).collect(),
    };
    finish(entries, name)
}

/// Holds a class's name, and what tells it from another of the same name.
struct Entry {
    name: String,
    mark: Option<String>,
}

impl Entry {
    fn plain(name: &str) -> Self {
        Self { name: name.trim().to_owned(), mark: None }
    }

    /// Reads a string, or Keras' and torchvision's `["n01440764", "tench"]`.
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self::plain(name)),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(mark), Value::String(name)] => {
                    Some(Self { mark: Some(mark.trim().to_owned()), ..Self::plain(name) })
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn list(values: Vec<Value>, source: &str) -> Result<Vec<Entry>, LabelError> {
    let entry = |(class, value)| {
        Entry::from_value(value)
            .ok_or_else(|| shape(source, format!("entry {class} of the list is not a name")))
    };
    values.iter().enumerate().map(entry).collect()
}

/// Reads an object that is not a config: numbers to names, or names to numbers.
fn object(pairs: Vec<(String, Value)>, source: &str) -> Result<Vec<Entry>, LabelError> {
    if pairs.iter().all(|(_, value)| value.is_u64()) {
        let inverted = pairs.into_iter().map(|(name, class)| (class.to_string(), Value::String(name)));
        return numbered(inverted.collect(), source);
    }
    numbered(pairs, source)
}

/// Puts names under their class numbers and refuses gaps and repetitions.
fn numbered(pairs: Vec<(String, Value)>, source: &str) -> Result<Vec<Entry>, LabelError> {
    let given = pairs.len();
    let mut slots: Vec<Option<Entry>> = Vec::new();
    slots.resize_with(given, || None);
    let fault = |class, problem| LabelError::Numbering {
        source_name: source.to_owned(),
        given,
        class,
        problem,
        last: given.saturating_sub(1),
    };
    for (key, value) in pairs {
        let Some(class) = class_number(&key) else {
            return Err(shape(source, format!("the key {} is not a class number", quoted(&key))));
        };
        let Some(entry) = Entry::from_value(&value) else {
            return Err(shape(source, format!("what stands under {} is not a name", quoted(&key))));
        };
        // A number beyond the end leaves a gap below it, which is reported as the first missing class.
        if let Some(slot) = slots.get_mut(class) {
            if slot.is_some() {
                return Err(fault(class, "named twice"));
            }
            *slot = Some(entry);
        }
    }
    slots.into_iter().enumerate().map(|(class, slot)| slot.ok_or_else(|| fault(class, "missing"))).collect()
}

/// Reads `"12"` as 12; signs, spaces and leading zeros are not class numbers.
pub(crate) fn class_number(key: &str) -> Option<usize> {
    let plain = key.bytes().all(|byte| byte.is_ascii_digit()) && (key == "0" || !key.starts_with('0'));
    if plain { key.parse().ok() } else { None }
}

fn finish(entries: Vec<Entry>, source: &str) -> Result<ClassNames, LabelError> {
    if entries.is_empty() {
        return Err(LabelError::Empty { source_name: source.to_owned() });
    }
    if let Some(class) = entries.iter().position(|entry| entry.name.is_empty()) {
        return Err(LabelError::Blank { source_name: source.to_owned(), class });
    }
    let (names, marks): (Vec<_>, Vec<_>) = entries.into_iter().map(|entry| (entry.name, entry.mark)).unzip();
    Ok(make_unique(names, &marks))
}

pub(crate) fn shape(source: &str, found: String) -> LabelError {
    LabelError::Shape { source_name: source.to_owned(), found }
}

/// Returns a name from a file for a message: escaped, and cut to 40 characters.
pub(crate) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

/// Describes a transformers `config.json`, as far as labels go.
#[derive(Deserialize)]
struct Config {
    id2label: Option<Pairs>,
}

/// Holds a JSON object with its pairs as they stand; a map would silently drop all but the last of equal keys.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
