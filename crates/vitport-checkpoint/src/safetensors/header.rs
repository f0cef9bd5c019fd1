//! The JSON header of a safetensors file, read in the order of the file and without mercy for duplicates.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::error::{Fault, Reason, Refusal};
use crate::escape::escape;
use crate::limits::Limits;
use crate::tensor::Dims;

/// Describes the header as the file gives it.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) tensors: Vec<(String, Entry)>,
    pub(super) metadata: Vec<(String, String)>,
}

/// Describes one tensor's entry.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) dtype: String,
    pub(super) shape: Dims,
    pub(super) begin: u64,
    pub(super) end: u64,
}

/// Marks an error text as a limit, since serde passes on only text.
const LIMIT: &str = "limit: ";

/// Parses the whole header.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Header, Fault> {
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = HeaderSeed { limits }.deserialize(&mut json).and_then(|header| json.end().map(|()| header));
    parsed.map_err(|error| {
        let text = error.to_string();
        let (reason, text) = match text.strip_prefix(LIMIT) {
            Some(rest) => (Reason::Limit, rest),
            None => (Reason::Malformed, text.as_str()),
        };
        Refusal::new(reason, format!("the header is refused: {}", escape(text))).into()
    })
}

struct HeaderSeed<'a> {
    limits: &'a Limits,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > self.limits.max_name_len {
                return Err(A::Error::custom(format!("{LIMIT}a name has {} bytes", name.len())));
            }
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("the key '{name}' occurs twice")));
            }
            if name == "__metadata__" {
                header.metadata = map.next_value_seed(TextMapSeed { limits: self.limits })?;
                continue;
            }
            if header.tensors.len() >= self.limits.max_tensors {
                let limit = self.limits.max_tensors;
                return Err(A::Error::custom(format!("{LIMIT}it names more than {limit} tensors")));
            }
            let entry = map.next_value::<Entry>()?;
            header.tensors.push((name, entry));
        }
        Ok(header)
    }
}

/// Reads `__metadata__`: text to text, no key twice.
struct TextMapSeed<'a> {
    limits: &'a Limits,
}

impl<'de> DeserializeSeed<'de> for TextMapSeed<'_> {
    type Value = Vec<(String, String)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TextMapSeed<'_> {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings under '__metadata__'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("the metadata key '{key}' occurs twice")));
            }
            if entries.len() >= self.limits.max_metadata {
                let limit = self.limits.max_metadata;
                return Err(A::Error::custom(format!("{LIMIT}its metadata has more than {limit} entries")));
            }
            entries.push((key, value));
        }
        Ok(entries)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tensor with dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(key) = map.next_key::<String>()? {
            let twice = match key.as_str() {
                "dtype" => dtype.replace(map.next_value::<String>()?).is_some(),
                "shape" => shape.replace(map.next_value::<Dims>()?).is_some(),
                "data_offsets" => offsets.replace(map.next_value::<(u64, u64)>()?).is_some(),
                other => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(format!("a tensor has the unknown field '{other}'")));
                }
            };
            if twice {
                return Err(A::Error::custom(format!("the field '{key}' of a tensor occurs twice")));
            }
        }
        let (begin, end) = offsets.ok_or_else(|| A::Error::missing_field("data_offsets"))?;
        Ok(Entry {
            dtype: dtype.ok_or_else(|| A::Error::missing_field("dtype"))?,
            shape: shape.ok_or_else(|| A::Error::missing_field("shape"))?,
            begin,
            end,
        })
    }
}
