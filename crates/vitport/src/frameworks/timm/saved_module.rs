//! What a timm model that was saved whole says of itself next to the settings of its modules: the `pretrained_cfg` of the
//! weights that it began with (`default_cfg` before timm 0.6). timm prepares images by it (`resolve_model_data_config`), a
//! fine-tune's too; its licence is that of those weights and says nothing of this model.

use serde_json::{Map, Value};
use vitport_checkpoint::PlainValue;

use super::super::SavedModules;
use crate::facts::{Origin, Sourced};

/// Holds a model's `pretrained_cfg`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SavedConfig {
    /// Holds its keys and values.
    pub values: Map<String, Value>,
    /// Names the attribute: `pretrained_cfg`.
    attribute: &'static str,
}

impl SavedConfig {
    /// Returns what the network's own module holds; none if it says nothing of images.
    pub fn of(modules: &SavedModules) -> Option<Self> {
        ["pretrained_cfg", "default_cfg"].into_iter().find_map(|attribute| {
            let entries = match modules.attribute("", attribute)? {
                PlainValue::Dict(entries) => entries,
                PlainValue::Object(object) => &object.keywords,
                _ => return None,
            };
            let value = |value: &PlainValue| serde_json::to_value(value).unwrap_or(Value::Null);
            let values: Map<String, Value> =
                entries.iter().map(|(key, entry)| (key.clone(), value(entry))).collect();
            values.contains_key("mean").then_some(Self { values, attribute })
        })
    }

    /// Returns the origin of what a key says; of the whole if it is empty.
    pub fn origin(&self, key: &str) -> Origin {
        Origin::Attribute(match key {
            "" => self.attribute.to_owned(),
            key => format!("{}.{key}", self.attribute),
        })
    }

    /// Returns how messages name it.
    pub fn place(&self) -> String {
        self.origin("").to_string()
    }

    /// Returns the name of the architecture, with the tag if there is one. Versions before 0.9 have no tags.
    pub fn name(&self) -> Option<Sourced<String>> {
        let text = |key: &str| self.values.get(key)?.as_str().filter(|text| !text.is_empty());
        let architecture = text("architecture")?;
        let name = match text("tag") {
            Some(tag) if !architecture.contains('.') => format!("{architecture}.{tag}"),
            _ => architecture.to_owned(),
        };
        Some(Sourced::new(name, self.origin("architecture")))
    }

    /// Returns height and width of the image.
    pub fn image_size(&self) -> Option<[u64; 2]> {
        match self.values.get("input_size")?.as_array()?.as_slice() {
            [_, height, width] => Some([height.as_u64()?, width.as_u64()?]),
            _ => None,
        }
    }
}
