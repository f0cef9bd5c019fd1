//! Reads the sizes of image processors: a number, a list, or an object of which only some sets of keys are accepted.
//!
//! v4: image_processing_utils.py 170–259 (`get_size_dict`); v5: image_processing_utils.py 540–639, image_utils.py 1034–1046.

use serde_json::{Map, Value, json};

/// Returns a size as an object of its keys; none if transformers refuses it.
pub(super) fn size(value: &Value, is_square: bool) -> Option<Value> {
    let side = |value: &Value| value.as_u64().filter(|&side| side > 0);
    match value {
        Value::Null => Some(Value::Null),
        Value::Number(_) if is_square => side(value).map(|side| json!({ "height": side, "width": side })),
        Value::Number(_) => side(value).map(|side| json!({ "shortest_edge": side })),
        Value::Array(sides) => match sides.as_slice() {
            [height, width] => Some(json!({ "height": side(height)?, "width": side(width)? })),
            _ => None,
        },
        Value::Object(keys) => {
            keys.values().all(|value| side(value).is_some()).then_some(())?;
            has_valid_keys(keys).then(|| value.clone())
        }
        Value::Bool(_) | Value::String(_) => None,
    }
}

/// Returns whether these are `VALID_SIZE_DICT_KEYS`, as far as both versions have it.
fn has_valid_keys(keys: &Map<String, Value>) -> bool {
    let names: Vec<&str> = keys.keys().map(String::as_str).collect();
    let sets: [&[&str]; 5] = [
        &["height", "width"],
        &["shortest_edge"],
        &["longest_edge", "shortest_edge"],
        &["longest_edge"],
        &["max_height", "max_width"],
    ];
    sets.iter().any(|set| set.len() == names.len() && set.iter().all(|key| names.contains(key)))
}
