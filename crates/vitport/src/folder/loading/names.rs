//! Says which names mean something to transformers, and which kinds of values for them were tried and change nothing.
//!
//! `data/transformers/export_keys.py` exports the names from both versions, with version 5's types and the defaults of both;
//! `data/transformers/try_keys.py` measured `neutral.json`.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::Version;

/// Gives the largest number whose like was tried.
const LARGEST_TRIED: f64 = 1000.0;

static V4: LazyLock<Keys> = LazyLock::new(|| parsed(include_str!("../../../data/transformers/keys.v4.json")));
static V5: LazyLock<Keys> = LazyLock::new(|| parsed(include_str!("../../../data/transformers/keys.v5.json")));
static NEUTRAL: LazyLock<Neutral> =
    LazyLock::new(|| parsed(include_str!("../../../data/transformers/neutral.json")));

/// Holds what was exported from a version.
#[derive(Debug, Default, Deserialize)]
struct Keys {
    config: Configs,
    processor: Processors,
}

#[derive(Debug, Default, Deserialize)]
struct Configs {
    every: HashSet<String>,
    #[serde(flatten)]
    classes: HashMap<String, ConfigClass>,
}

#[derive(Debug, Default, Deserialize)]
struct ConfigClass {
    names: HashSet<String>,
    defaults: Map<String, Value>,
    #[serde(default)]
    types: HashMap<String, String>,
    /// Says whether the class runs torch's scaled dot product attention.
    #[serde(default)]
    sdpa: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Processors {
    names: HashSet<String>,
    defaults: HashMap<String, Map<String, Value>>,
    of_model_type: HashMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
struct Neutral {
    #[serde(rename = "config.json")]
    config: HashMap<String, Vec<String>>,
    #[serde(rename = "preprocessor_config.json")]
    processor: HashMap<String, Vec<String>>,
}

fn parsed<T: Default + for<'a> Deserialize<'a>>(document: &str) -> T {
    serde_json::from_str(document).unwrap_or_default()
}

fn keys(version: Version) -> &'static Keys {
    match version {
        Version::V4 => &V4,
        Version::V5 => &V5,
    }
}

/// Returns whether a version knows a name as a key of `config.json` of that `model_type`.
pub fn is_known_in_config(model_type: &str, name: &str) -> bool {
    Version::ALL.into_iter().any(|version| {
        let config = &keys(version).config;
        config.every.contains(name)
            || config.classes.get(model_type).is_some_and(|class| {
                class.names.contains(name)
                    || class.types.contains_key(name)
                    || class.defaults.contains_key(name)
            })
    })
}

/// Returns whether a value is what the config class of a `model_type` has for a key that is left out, in each version that has the
/// class and knows the key.
pub fn is_default(model_type: &str, name: &str, value: &Value) -> bool {
    let mut is_known = false;
    Version::ALL.into_iter().all(|version| {
        let config = &keys(version).config;
        let Some(class) = config.classes.get(model_type) else { return true };
        match class.defaults.get(name) {
            Some(default) => {
                is_known = true;
                default == value
            }
            None => !config.every.contains(name) && !class.names.contains(name),
        }
    }) && is_known
}

/// Returns whether a version knows a name as a key of an image processor's document.
pub fn is_known_in_processor(name: &str) -> bool {
    Version::ALL.into_iter().any(|version| keys(version).processor.names.contains(name))
}

/// Returns the type that version 5's config class of a `model_type` insists on.
pub fn type_of(model_type: &str, name: &str) -> Option<&'static str> {
    keys(Version::V5).config.classes.get(model_type)?.types.get(name).map(String::as_str)
}

/// Returns whether every version that has the class of a `model_type` runs it with torch's scaled dot product attention; they
/// open none of the others with it.
pub fn supports_sdpa(model_type: &str) -> bool {
    let classes: Vec<_> =
        Version::ALL.into_iter().filter_map(|version| keys(version).config.classes.get(model_type)).collect();
    !classes.is_empty() && classes.iter().all(|class| class.sdpa)
}

/// Returns the defaults of the fields that an image processor class reads in a version; none if the class is not known.
pub fn processor_defaults(version: Version, class: &str) -> Option<&'static Map<String, Value>> {
    keys(version).processor.defaults.get(class)
}

/// Returns the image processor that both versions take for a `model_type` where a folder names none; none if one has none.
pub fn processor_of_model_type(model_type: &str) -> Option<&'static str> {
    let [four, five] = Version::ALL.map(|version| keys(version).processor.of_model_type.get(model_type));
    four.filter(|class| five == Some(class)).map(String::as_str)
}

/// Returns whether a value of this kind was tried as that key of `config.json` and changes nothing.
pub fn is_neutral_in_config(name: &str, value: &Value) -> bool {
    is_neutral(&NEUTRAL.config, name, value)
}

/// Returns whether a value of this kind was tried as that key of an image processor's document and changes nothing.
pub fn is_neutral_in_processor(name: &str, value: &Value) -> bool {
    is_neutral(&NEUTRAL.processor, name, value)
}

fn is_neutral(neutral: &HashMap<String, Vec<String>>, name: &str, value: &Value) -> bool {
    let kinds = neutral.get(name).map_or(&[][..], Vec::as_slice);
    kind(value).is_some_and(|kind| kinds.iter().any(|known| known == kind))
}

/// Returns the kind of a value, in the words of `try_keys.py`; none if its like was not tried.
fn kind(value: &Value) -> Option<&'static str> {
    match value {
        Value::Null => Some("null"),
        Value::Bool(false) => Some("false"),
        Value::Bool(true) => Some("true"),
        Value::Number(number) => {
            let (size, is_whole) = (number.as_f64()?, !number.is_f64());
            match size {
                _ if size.abs() > LARGEST_TRIED => None,
                0.0 if is_whole => Some("zero"),
                1.0.. if is_whole => Some("count"),
                0.0..=1.0 if !is_whole => Some("fraction"),
                _ => Some("number"),
            }
        }
        Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_exported_is_read() {
        for version in Version::ALL {
            assert!(keys(version).config.every.contains("transformers_weights"), "{version:?}");
            for class in ["ViTImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor"] {
                assert!(processor_defaults(version, class).unwrap().contains_key("resample"), "{class}");
            }
        }
        for model_type in [
            "vit",
            "cvt",
            "clip_vision_model",
            "convnext",
            "siglip_vision_model",
            "ijepa",
            "aimv2_vision_model",
            "internvl_vision",
            "radio",
            "tipsv2_vision_model",
            "beit",
            "convnextv2",
            "resnet",
            "regnet",
            "swin",
            "efficientnet",
            "swinv2",
        ] {
            assert_eq!(type_of(model_type, "num_channels"), Some("int"), "{model_type}");
            let has_none =
                ["cvt", "convnext", "convnextv2", "resnet", "regnet", "swin", "efficientnet", "swinv2"];
            assert_eq!(supports_sdpa(model_type), !has_none.contains(&model_type), "{model_type}");
            for name in
                ["attribute_map", "is_causal", "attn_implementation", "use_return_dict", "to_dict", "self"]
            {
                assert!(is_known_in_config(model_type, name), "{name}");
            }
            for name in ["my_project", "note", "trained_by", "accuracy"] {
                assert!(!is_known_in_config(model_type, name), "{name}");
            }
        }
        assert!(is_known_in_processor("resize") && is_known_in_processor("use_square_size"));
        assert!(!is_known_in_processor("my_project"));
        assert!(!NEUTRAL.config.is_empty() && !NEUTRAL.processor.is_empty());
    }

    #[test]
    fn kinds_are_told_apart() {
        for (value, expected) in [
            (json!(0), Some("zero")),
            (json!(0.0), Some("fraction")),
            (json!(1), Some("count")),
            (json!(1.0), Some("fraction")),
            (json!(-1), Some("number")),
            (json!(1.5), Some("number")),
            (json!(1e9), None),
            (json!("x"), None),
        ] {
            assert_eq!(kind(&value), expected, "{value}");
        }
    }
}
