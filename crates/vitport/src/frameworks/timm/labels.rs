//! The labels of a timm hub folder. Its `config.json` may hold `label_names` (a list, or an object from class numbers
//! to names that is allowed to have gaps) and `label_descriptions` (an object from names to descriptions), as
//! `timm/models/_hub.py`, `save_config_for_hf`, writes them.

use serde_json::Value;

use crate::labels::{ClassNames, LabelError, class_number, make_unique, quoted, shape};

/// Returns the labels of a head with `classes` classes: each class's description where there is one, its name otherwise, and
/// `LABEL_i` for a number that an object of names leaves out. Equal descriptions are distinguished by the names
/// ("crane (n02012849)"), equal names by the class numbers. `descriptions` may also be a list next to the names.
/// `source` is the file in messages.
///
/// # Errors
/// Returns [`LabelError::Shape`] if either value has another form, [`LabelError::Count`] if a list's length or a number in an
/// object does not fit `classes`, [`LabelError::Blank`] for an empty name.
pub fn hub_labels(
    names: &Value,
    descriptions: Option<&Value>,
    classes: usize,
    source: &str,
) -> Result<ClassNames, LabelError> {
    let mut names = class_names(names, classes, source)?;
    let mut labels = Vec::with_capacity(names.len());
    for (class, name) in names.iter().enumerate() {
        let described = match (descriptions, name) {
            (Some(Value::Object(by_name)), Some(name)) => by_name.get(name),
            (Some(Value::Array(in_order)), _) => in_order.get(class),
            (None | Some(Value::Null), _) | (Some(Value::Object(_)), None) => None,
            (Some(_), _) => {
                return Err(shape(source, "label_descriptions is not an object or list".to_owned()));
            }
        };
        let label = match (described, name) {
            (Some(Value::String(text)), _) if !text.trim().is_empty() => text.trim().to_owned(),
            (Some(Value::String(_) | Value::Null) | None, Some(name)) => name.clone(),
            (Some(Value::String(_) | Value::Null) | None, None) => format!("LABEL_{class}"),
            (Some(_), _) => {
                return Err(shape(source, format!("the description of class {class} is not text")));
            }
        };
        if label.is_empty() {
            return Err(LabelError::Blank { source_name: source.to_owned(), class });
        }
        labels.push(label);
    }
    for (name, label) in names.iter_mut().zip(&labels) {
        // A name that is itself the label tells nothing apart; the class number does.
        name.take_if(|name| name == label);
    }
    Ok(make_unique(labels, &names))
}

/// Returns `label_names` as one optional name a class.
fn class_names(names: &Value, classes: usize, source: &str) -> Result<Vec<Option<String>>, LabelError> {
    let count = |labels| LabelError::Count { source_name: source.to_owned(), labels, classes };
    let text = |value: &Value, place: String| match value {
        Value::String(name) => Ok(Some(name.trim().to_owned())),
        _ => Err(shape(source, format!("{place} of label_names is not text"))),
    };
    match names {
        Value::Array(values) if values.len() == classes => {
            values.iter().enumerate().map(|(class, value)| text(value, format!("entry {class}"))).collect()
        }
        Value::Array(values) => Err(count(values.len())),
        Value::Object(by_number) => {
            let mut slots = vec![None; classes];
            for (key, value) in by_number {
                let Some(class) = class_number(key) else {
                    return Err(shape(
                        source,
                        format!("the key {} of label_names is not a number", quoted(key)),
                    ));
                };
                let slot = slots.get_mut(class).ok_or_else(|| count(class.saturating_add(1)))?;
                *slot = text(value, format!("class {class}"))?;
            }
            Ok(slots)
        }
        _ => Err(shape(source, "label_names is not a list or object".to_owned())),
    }
}
