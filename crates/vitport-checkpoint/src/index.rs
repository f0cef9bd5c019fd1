//! The index of a model that is spread over several files: which tensor lies in which shard.
//!
//! Shard names come from a file, so they may only lead into the index's own folder. The files may be
//! symbolic links, since the Hugging Face cache is made of them.

use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::limits::Limits;
use crate::source::Source;

/// Describes an index file, checked.
#[derive(Debug)]
pub(crate) struct Index {
    /// Holds the shards in the order in which the index first names them.
    pub(crate) shards: Vec<Shard>,
    /// Gives for each tensor its shard's number.
    pub(crate) weight_map: HashMap<String, usize>,
}

/// Describes one file of an index.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Holds its name as the index writes it.
    pub(crate) name: String,
    /// Says where it is.
    pub(crate) path: PathBuf,
}

/// Reads an index file.
pub(crate) fn read(source: &Source, limits: &Limits) -> Result<Index, Fault> {
    if source.len > limits.max_header_bytes {
        return refuse(
            Reason::Limit,
            format!("the index has {} bytes, more than {}", source.len, limits.max_header_bytes),
        );
    }
    let bytes = source.bytes_at(0, usize::try_from(source.len).unwrap_or(usize::MAX), "the index")?;
    let document: Document = match serde_json::from_slice(&bytes) {
        Ok(document) => document,
        Err(error) => {
            return refuse(
                Reason::Malformed,
                format!("this is not a shard index: {}", escape(&error.to_string())),
            );
        }
    };
    let Some(WeightMap(entries)) = document.weight_map else {
        return refuse(Reason::UnknownFormat, "this JSON file is not a shard index, it has no 'weight_map'");
    };
    if entries.len() > limits.max_tensors {
        return refuse(Reason::Limit, format!("the index names more than {} tensors", limits.max_tensors));
    }
    let folder = source.path.parent().unwrap_or(Path::new(""));
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut index = Index { shards: Vec::new(), weight_map: HashMap::new() };
    for (tensor, name) in entries {
        let number = match numbers.get(&name) {
            Some(&number) => number,
            None => {
                let shard = Shard { path: folder.join(safe_name(&name)?), name: name.clone() };
                index.shards.push(shard);
                numbers.insert(name, index.shards.len() - 1);
                index.shards.len() - 1
            }
        };
        if index.weight_map.insert(tensor.clone(), number).is_some() {
            return refuse(
                Reason::Contradiction,
                format!("the index names the tensor '{}' twice", escape(&tensor)),
            );
        }
    }
    if index.shards.len() > limits.max_shards {
        let count = index.shards.len();
        return refuse(
            Reason::Limit,
            format!("the index names {count} shards, more than {}", limits.max_shards),
        );
    }
    if index.shards.is_empty() {
        return refuse(Reason::NoTensors, "the index names no tensors");
    }
    Ok(index)
}

/// Returns the name as a path that stays inside the folder it is joined to, on every operating system.
pub(crate) fn safe_name(name: &str) -> Result<&Path, Fault> {
    let path = Path::new(name);
    let inside = !name.is_empty()
        && !name.contains(['\\', ':', '\0'])
        && path.components().all(|part| matches!(part, Component::Normal(_)));
    if inside {
        return Ok(path);
    }
    refuse(Reason::Shard, format!("the shard name '{}' leads out of the folder", escape(name)))
}

/// Describes the JSON document; everything but the map is passed over.
struct Document {
    weight_map: Option<WeightMap>,
}

/// Maps a tensor to its shard, in the order of the file, duplicates kept.
struct WeightMap(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a 'weight_map'")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut weight_map = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "weight_map" {
                map.next_value::<IgnoredAny>()?;
            } else if weight_map.replace(map.next_value::<WeightMap>()?).is_some() {
                return Err(A::Error::custom("'weight_map' occurs twice"));
            }
        }
        Ok(Document { weight_map })
    }
}

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from tensor names to file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, String>()? {
            entries.push(entry);
        }
        Ok(WeightMap(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::safe_name;

    #[test]
    fn shard_names_stay_in_their_folder() {
        for name in ["model-00001-of-00002.safetensors", "parts/a.bin", "..weights"] {
            assert!(safe_name(name).is_ok(), "{name}");
        }
        for name in ["", "/etc/passwd", "../a", "a/../../b", "C:\\a", "a\\b", "c:a", "./a", "a\0b"] {
            assert!(safe_name(name).is_err(), "{name}");
        }
    }
}
