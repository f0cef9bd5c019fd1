//! Which image processor transformers makes of a folder, and what its fields come to.
//!
//! | rule | v4 | v5 |
//! |---|---|---|
//! | the document is preprocessor_config.json, and `image_processor` in it goes before the rest | image_processing_base.py 331–354, 373 | – |
//! | `image_processor` of processor_config.json goes before preprocessor_config.json | only without the latter | image_processing_base.py 340–347 |
//! | a processor_config.json that is not JSON is refused | – | the same |
//! | the class is `image_processor_type`, else `feature_extractor_type`, else config.json's `image_processor_type`, else that of the config's class | models/auto/image_processing_auto.py 496–522 | 637–661 |
//! | a field that is left out has the class's default | models/*/image_processing_*.py, `__init__` | class attributes |
//! | `null` is a default for sizes, means, deviations and crop_pct, and otherwise switches a step off | the same | – |
//! | `null` is `null` for every field, since it becomes an attribute before the class's default is looked for | – | image_processing_utils.py 200–214 |
//! | a size has one of five sets of keys | `sizes.rs` | |
//! | every class crops, pads and converts if it is told so | – | image_processing_backends.py 399–440, 656–701 |
//! | every other key becomes an attribute, also in a method's place | image_processing_base.py 79–82 | 76–82 |

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Version, names, not_verified, of_versions, shown, sizes};

/// Lists the fields for which `null` is version 4's default too.
const NULL_IS_DEFAULT: [&str; 5] = ["crop_pct", "crop_size", "image_mean", "image_std", "size"];

/// Lists the keys with a rule of their own: here, or among the effects that verification compares.
const RULED: [&str; 4] = ["auto_map", "feature_extractor_type", "image_processor", "image_processor_type"];

/// Lists the keys of which any text, or list of texts, was tried.
const TEXTS: [&str; 3] = ["_processor_class", "_valid_processor_keys", "processor_class"];

/// Lists the fields that one class alone reads: to all others they are nothing (v4: models/convnext/image_processing_convnext.py 99;
/// v5: 36, image_processing_utils.py 200–214).
const OF_ONE_CLASS: [(&str, &str); 1] = [("crop_pct", "ConvNextImageProcessor")];

/// Lists the steps, with the fields that are read only if the step is on.
const STEPS: [(&str, &[&str]); 5] = [
    ("do_center_crop", &["crop_size"]),
    ("do_normalize", &["image_mean", "image_std"]),
    ("do_pad", &["pad_size"]),
    ("do_rescale", &["rescale_factor"]),
    ("do_resize", &["crop_pct", "resample", "size"]),
];

/// Returns what a folder's `preprocessor_config.json` says that transformers refuses, obeys, or may obey. `wanted` is the
/// document that the folder should have; Where none is named, the class is that of
/// the `model_type`, if it has one.
pub fn findings(
    processor: &Map<String, Value>,
    wanted: &Map<String, Value>,
    config: &Map<String, Value>,
    model_type: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(nested) = processor.get("image_processor") {
        found.push(not_verified("preprocessor_config.json", "image_processor", nested));
    }
    let class = class_of(processor, config, model_type);
    let wanted_class = class_of(wanted, &Map::new(), model_type);
    match (class, wanted_class) {
        (Ok(class), Ok(wanted_class)) if class == wanted_class => {
            found.extend(of_fields(&class, processor, wanted));
        }
        (Ok(class), wanted_class) => found.push(format!(
            "not verified: the image processor is {class:?} by the folder and {:?} by the source",
            wanted_class.unwrap_or_default()
        )),
        (Err(why), _) => found.push(why),
    }
    let fields = fields_of(model_type, wanted);
    let wanted_class = class_of(wanted, &Map::new(), model_type).unwrap_or_default();
    let is_of_another = |key: &str, value: &Value| {
        let is_it = |(field, class): &(&str, &str)| *field == key && *class != wanted_class;
        (value.is_null() || value.is_number()) && OF_ONE_CLASS.iter().any(is_it)
    };
    for (key, value) in processor {
        let is_text = |value: &Value| value.is_string();
        let is_understood = fields.contains(key.as_str())
            || is_of_another(key, value)
            || RULED.contains(&key.as_str())
            || names::is_neutral_in_processor(key, value)
            || (TEXTS.contains(&key.as_str())
                && (is_text(value) || value.as_array().is_some_and(|all| all.iter().all(is_text))))
            || !names::is_known_in_processor(key);
        if !is_understood {
            found.push(not_verified("preprocessor_config.json", key, value));
        }
    }
    found
}

/// Returns all fields that a version reads of the class that is wanted.
fn fields_of(model_type: &str, wanted: &Map<String, Value>) -> BTreeSet<&'static str> {
    let class = class_of(wanted, &Map::new(), model_type).unwrap_or_default();
    let of =
        |version| names::processor_defaults(version, &class).into_iter().flat_map(|defaults| defaults.keys());
    Version::ALL.into_iter().flat_map(of).map(String::as_str).collect()
}

/// Returns the name of the class, without version 4's `Fast`, which is compared elsewhere.
fn class_of(
    processor: &Map<String, Value>,
    config: &Map<String, Value>,
    model_type: &str,
) -> Result<String, String> {
    let named = |document: &Map<String, Value>, file: &str, key: &str| {
        let value = document.get(key).filter(|value| !value.is_null());
        let text = value.map(|value| {
            let refused = || format!("{file}: {key} is {}, which transformers refuses", shown(value));
            value.as_str().map(str::to_owned).ok_or_else(refused)
        });
        text.transpose()
    };
    let file = "preprocessor_config.json";
    let class = match named(processor, file, "image_processor_type")? {
        Some(class) => class,
        None => match named(processor, file, "feature_extractor_type")? {
            Some(class) => class.replace("FeatureExtractor", "ImageProcessor"),
            None => {
                let class = named(config, "config.json", "image_processor_type")?;
                let by_type = || names::processor_of_model_type(model_type).map(str::to_owned);
                class.or_else(by_type).ok_or_else(|| {
                    format!("{file} names no image processor, and transformers has none for {model_type}")
                })?
            }
        },
    };
    Ok(class.strip_suffix("Fast").unwrap_or(&class).to_owned())
}

/// Compares what the fields of both documents come to, in each version.
fn of_fields(class: &str, processor: &Map<String, Value>, wanted: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    let mut said: Vec<(&str, [Option<String>; 2])> = Vec::new();
    for (place, version) in Version::ALL.into_iter().enumerate() {
        let Some(defaults) = names::processor_defaults(version, class) else {
            found.push(format!("not verified: the image processor {class} is not known"));
            break;
        };
        let (ours, theirs) =
            (Fields::new(version, defaults, wanted), Fields::new(version, defaults, processor));
        for key in defaults.keys().filter(|key| ours.is_read(key) || theirs.is_read(key)) {
            let (wanted, found) = (ours.value(key), theirs.value(key));
            if !agrees(key, &wanted, &found) {
                let sentence = format!(
                    "preprocessor_config.json: {key} is {} by the source and {} by the folder",
                    shown(&wanted),
                    shown(&found)
                );
                let entry = match said.iter_mut().find(|(known, _)| known == key) {
                    Some(entry) => entry,
                    None => {
                        said.push((key, [None, None]));
                        match said.last_mut() {
                            Some(entry) => entry,
                            None => continue,
                        }
                    }
                };
                if let Some(place) = entry.1.get_mut(place) {
                    *place = Some(sentence);
                }
            }
        }
    }
    found.extend(said.into_iter().flat_map(|(_, said)| of_versions(said)));
    found
}

/// Holds the fields of a document, as a version's class reads them.
struct Fields<'a> {
    version: Version,
    defaults: &'a Map<String, Value>,
    document: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn new(version: Version, defaults: &'a Map<String, Value>, document: &'a Map<String, Value>) -> Self {
        Self { version, defaults, document }
    }

    /// Returns the value that a field has, sizes as objects.
    fn value(&self, key: &str) -> Value {
        let default = self.defaults.get(key).unwrap_or(&Value::Null);
        let value = match self.document.get(key) {
            None => default,
            Some(Value::Null) if self.version == Version::V4 && NULL_IS_DEFAULT.contains(&key) => default,
            Some(value) => value,
        };
        match key {
            "size" => sizes::size(value, self.is_square()),
            "crop_size" | "pad_size" => sizes::size(value, true),
            _ => Some(value.clone()),
        }
        .unwrap_or_else(|| Value::String(format!("refused: {}", value.to_string().replace('"', ""))))
    }

    /// Returns whether one number as a size means both sides.
    fn is_square(&self) -> bool {
        let default = self.defaults.get("default_to_square");
        match (self.version, default) {
            (Version::V5, Some(default)) => {
                let said =
                    self.document.get("default_to_square").filter(|said| !said.is_null()).unwrap_or(default);
                *said == true
            }
            _ => self.defaults.get("size").is_some_and(|size| size.get("height").is_some()),
        }
    }

    /// Returns whether a field is read: its step is on, or it belongs to none. What is refused is always read.
    fn is_read(&self, key: &str) -> bool {
        let step = STEPS.iter().find(|(_, fields)| fields.contains(&key));
        let is_on = step.is_none_or(|(step, _)| is_true(&self.value(step)));
        is_on || (key.ends_with("size") && self.value(key).is_string())
    }
}

/// Returns whether Python takes a value for true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(entries) => !entries.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Returns whether two values of a field prepare the same pixels.
fn agrees(key: &str, wanted: &Value, found: &Value) -> bool {
    match key {
        "default_to_square" | "disable_grouping" => found.is_boolean() || found.is_null(),
        "image_seq_length" => found.is_null() || found.is_u64(),
        // No class obeys it: all make channels first (v5: image_processing_backends.py 605–652).
        "data_format" => found.is_null() || found == "channels_first" || found == "channels_last",
        "device" => found.is_null() || found == "cpu",
        // Images that are RGB already are left as they are.
        "do_convert_rgb" if !is_true(wanted) => true,
        // Version 5 looks its steps up in a cache, which lists and objects cannot be (`_fuse_mean_std_and_rescale_factor`).
        "do_normalize" | "do_rescale" if found.is_array() || found.is_object() => false,
        _ if key.starts_with("do_") => is_true(wanted) == is_true(found),
        "resample" => wanted == found,
        _ => is_near(wanted, found),
    }
}

/// Returns whether values are the same once they are float32, as pixels are.
fn is_near(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => {
            let single = |number: &serde_json::Number| number.as_f64().map(|number| number as f32);
            single(a) == single(b)
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_near(a, b))
        }
        // One number stands for all channels.
        (Value::Array(each), Value::Number(_)) => each.iter().all(|wanted| is_near(wanted, found)),
        _ => wanted == found,
    }
}

/// Returns what a `processor_config.json` that lies in the folder does, given its bytes (none if they cannot be read or are too
/// many) and the document of `preprocessor_config.json`.
pub fn of_processor_config(bytes: Option<&[u8]>, processor: Option<&Value>) -> Option<String> {
    let document = bytes.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
    let Some(Value::Object(document)) = document else {
        return Some(
            "not verified: processor_config.json cannot be read as a JSON object, and transformers 5 reads it first"
                .to_owned(),
        );
    };
    let nested = document.get("image_processor").filter(|nested| Some(*nested) != processor)?;
    Some(format!(
        "processor_config.json has another image processor, {}, which transformers 5 takes",
        shown(nested)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(change: Value) -> Vec<String> {
        let wanted = json!({
            "image_processor_type": "CLIPImageProcessor", "do_resize": true, "size": { "shortest_edge": 84 },
            "do_center_crop": true, "crop_size": { "height": 80, "width": 80 }, "resample": 3, "do_rescale": true,
            "rescale_factor": 0.00392156862745098, "do_normalize": true, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5], "do_convert_rgb": true,
        });
        let mut found = wanted.clone();
        for (key, value) in change.as_object().unwrap() {
            found[key] = value.clone();
        }
        findings(found.as_object().unwrap(), wanted.as_object().unwrap(), &Map::new(), "clip_vision_model")
    }

    #[test]
    fn fields_are_what_each_version_makes_of_them() {
        for change in [
            json!({}),
            json!({ "size": 84, "crop_size": [80, 80] }),
            json!({ "my_project": { "a": 1 }, "do_pad": false, "device": "cpu", "data_format": "channels_last" }),
            json!({ "image_mean": [0.5, 0.5, 0.500000001] }),
            json!({ "image_std": 0.5, "do_resize": [true] }),
            json!({ "processor_class": "CLIPProcessor" }),
            json!({ "crop_pct": 0.5 }),
        ] {
            assert_eq!(of(change.clone()), Vec::<String>::new(), "{change}");
        }
        for (change, part) in [
            (
                json!({ "size": 84, "default_to_square": true }),
                "size is {\"shortest_edge\":84} by the source",
            ),
            (json!({ "size": { "shortest_edge": 84, "extra": 1 } }), "refused: {shortest_edge:84,extra:1}"),
            (json!({ "do_convert_rgb": false }), "(transformers 4 and 5)"),
            (json!({ "do_resize": null }), "(transformers 4 and 5)"),
            (
                json!({ "image_mean": null }),
                "image_mean is [0.5,0.5,0.5] by the source and null by the folder (transformers 5)",
            ),
            (json!({ "do_pad": true }), "(transformers 5)"),
            (json!({ "use_square_size": true }), "not verified: key use_square_size"),
            (json!({ "resize": 1 }), "not verified: key resize"),
            (json!({ "image_processor_type": "ViTImageProcessor" }), "not verified: the image processor is"),
            (json!({ "image_processor_type": 3 }), "which transformers refuses"),
            (json!({ "image_processor_type": null }), "names no image processor"),
            (json!({ "image_processor": {} }), "not verified: key image_processor"),
        ] {
            let found = of(change.clone());
            assert!(found.iter().any(|found| found.contains(part)), "{change}: {found:?}");
        }
    }
}
