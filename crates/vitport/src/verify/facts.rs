//! Facts that no output shows, or not on every image: what the folder's `config.json` says against what the source is.
//!
//! The folder is read as transformers reads it: a key that is missing has its config class's default. So has one that is
//! `null`, where the class allows that; where it does not, the network cannot be run. A key that the class accepts and ignores
//! is compared too, but a difference in it does not count.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::effects;
use crate::folder::loading;
use crate::folder::reader::Folder;
use crate::frameworks::transformers::{in_usual_words, is_idle, with_defaults};
use crate::model::Prepared;

/// Names the key on which only sizes of tensors depend, which are rounded down.
const MLP_RATIO: &str = "mlp_ratio";

/// Describes a fact on both sides.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FactCheck {
    /// Gives the key of `config.json`, or `labels`.
    pub name: String,
    /// Gives it by the source.
    pub source: String,
    /// Gives it by the folder.
    pub target: String,
    /// Says whether they agree.
    pub agrees: bool,
    /// Says whether transformers computes something else because of it.
    pub counts: bool,
}

/// Compares every telling key of the config that the model should have with the folder's, the labels and the
/// dtype.
pub fn compare(prepared: &Prepared, folder: &Folder) -> Vec<FactCheck> {
    let model = &prepared.model;
    let stated = folder.config.as_object().cloned().unwrap_or_default();
    let defaults = model.target.defaults(&stated);
    let stated = in_usual_words(&with_defaults(&stated, &defaults), &defaults);
    let (ignored, stage_lists) = (model.target.ignored_keys(), model.target.stage_lists());
    let stages = model.config.get("depths").and_then(Value::as_array).map(Vec::len);
    let mut checks = Vec::new();
    for (key, wanted) in &model.config {
        if loading::config::is_inert(key) || key == "transformers_version" {
            continue;
        }
        let found = stated.get(key).filter(|value| !value.is_null()).or_else(|| defaults.get(key));
        // On the way back the folder was there first.
        let is_nothing = ignored.contains(&key.as_str()) || prepared.is_way_back && is_idle(key, &stated);
        let counts = !is_nothing;
        checks.push(FactCheck {
            name: key.clone(),
            source: shown(wanted),
            target: found.map_or_else(|| "not said".to_owned(), shown),
            agrees: found.is_some_and(|found| match (wanted, found, stage_lists.contains(&key.as_str())) {
                (Value::Object(wanted), Value::Object(found), _) => {
                    is_same_part(wanted, found, defaults.get(key))
                }
                (_, _, true) => is_same_by_stage(wanted, found, stages),
                (_, _, false) if prepared.is_way_back && key == MLP_RATIO => {
                    is_same(wanted, found) || makes_the_same_sizes(prepared, key, wanted, &stated)
                }
                (_, _, false) => is_same(wanted, found),
            }),
            counts,
        });
    }
    if let Some(labels) = &model.labels {
        checks.push(labels_check(&labels.value, &folder.config));
    }
    checks.extend(dtype_check(prepared, &folder.config));
    checks.extend(effects::find(prepared, folder));
    checks
}

/// Returns what to do where the folder is for images of another size, to which the source's positions may have been resampled.
pub fn may_be_resampled(prepared: &Prepared, checks: &[FactCheck], folder: &Folder) -> Option<String> {
    const IMAGE_SIZE: &str = "image_size";
    let differs = checks.iter().any(|check| check.name == IMAGE_SIZE && !check.agrees);
    if !differs || prepared.is_way_back || prepared.plan.resampled.is_some() {
        return None;
    }
    let said = folder.config.get(IMAGE_SIZE)?;
    let edge = |place: usize| said.as_u64().or_else(|| said.get(place)?.as_u64());
    let [height, width] = [edge(0)?, edge(1)?];
    let model = &prepared.model;
    let resampled = model.definition.resampled(&model.tensors, &model.facts, [height, width]).ok()?;
    let size = if height == width { height.to_string() } else { format!("{height}x{width}") };
    (!resampled.tensors.is_empty())
        .then(|| format!("if the folder was made with --resample-to {size}, give that to verify, too"))
}

/// Returns whether the folder's network has the same tensors with this value of a key as with its own.
fn makes_the_same_sizes(prepared: &Prepared, key: &str, wanted: &Value, stated: &Map<String, Value>) -> bool {
    let mut other = stated.clone();
    other.insert(key.to_owned(), wanted.clone());
    let target = prepared.model.target;
    let built = (target.build(stated), target.build(&other));
    matches!(built, (Ok(own), Ok(other)) if own.parameters() == other.parameters())
}

/// Returns a value as JSON, small numbers with a power of ten.
fn shown(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if value.is_f64() && number != 0.0 && number.abs() < 1e-3 => format!("{number:e}"),
        _ => value.to_string(),
    }
}

/// Compares the dtype that transformers loads the weights in, if the folder says one. The newer name of the key goes before the
/// older.
fn dtype_check(prepared: &Prepared, folder: &Value) -> Option<FactCheck> {
    let said = |key: &str| folder.get(key).filter(|value| !value.is_null());
    let found = said("dtype").or_else(|| said("torch_dtype"))?;
    let wanted = prepared.config().remove("torch_dtype")?;
    Some(FactCheck {
        name: "torch_dtype".to_owned(),
        source: wanted.to_string(),
        target: found.to_string(),
        agrees: wanted == *found,
        counts: true,
    })
}

/// Returns whether two values mean the same to transformers: numbers by value, one edge for two equal ones.
fn is_same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Number(_), Value::Array(edges)) => edges.iter().all(|edge| is_same(wanted, edge)),
        (Value::Array(edges), Value::Number(_)) => edges.iter().all(|edge| is_same(edge, found)),
        _ => wanted == found,
    }
}

/// Returns whether the config of a part says what it should. What it leaves out has the default; what it says besides is another
/// matter ([`loading::config`]).
fn is_same_part(wanted: &Map<String, Value>, found: &Map<String, Value>, defaults: Option<&Value>) -> bool {
    wanted.iter().filter(|(key, _)| !loading::config::is_inert(key)).all(|(key, wanted)| {
        let found = found.get(key).filter(|value| !value.is_null());
        let default = || defaults.and_then(|defaults| defaults.get(key));
        found.or_else(default).is_some_and(|found| is_same(wanted, found))
    })
}

/// Returns whether two lists are the same as far as there are stages: so many, or as many as the first list has.
fn is_same_by_stage(wanted: &Value, found: &Value, stages: Option<usize>) -> bool {
    match (wanted, found) {
        (Value::Array(wanted), Value::Array(found)) => {
            let stages = stages.unwrap_or(wanted.len());
            let first = |list: &[Value]| list.get(..stages).map(<[Value]>::to_vec);
            first(wanted).zip(first(found)).is_some_and(|(wanted, found)| {
                wanted.iter().zip(&found).all(|(wanted, found)| is_same(wanted, found))
            })
        }
        _ => is_same(wanted, found),
    }
}

/// Returns whether these are the names that transformers makes up where a folder has none, and which it does not save.
fn is_default(wanted: &[String]) -> bool {
    wanted == ["LABEL_0", "LABEL_1"]
}

/// Checks that every class has the same name on both sides, and is reached by it.
fn labels_check(wanted: &[String], folder: &Value) -> FactCheck {
    if is_default(wanted) && ["id2label", "label2id"].iter().all(|key| folder.get(key).is_none()) {
        let said = "LABEL_0 and LABEL_1".to_owned();
        return FactCheck {
            name: "labels".to_owned(),
            source: said.clone(),
            target: said,
            agrees: true,
            counts: true,
        };
    }
    let by_id =
        |id: usize| folder.get("id2label").and_then(|map| map.get(id.to_string())).and_then(Value::as_str);
    let by_label =
        |label: &str| folder.get("label2id").and_then(|map| map.get(label)).and_then(Value::as_u64);
    let length = |key: &str| folder.get(key).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let ids = length("id2label");
    let count = if ids == wanted.len() { length("label2id") } else { ids };
    let first_wrong = wanted.iter().enumerate().find(|(id, label)| by_id(*id) != Some(label.as_str()));
    let first_lost = wanted.iter().enumerate().find(|(id, label)| by_label(label) != Some(*id as u64));
    let all = |count: usize| format!("{count} names");
    let (source, target) = match (first_wrong, first_lost) {
        (None, None) if count != wanted.len() => (all(wanted.len()), all(count)),
        (Some((id, label)), _) => {
            (format!("{id}: {label:?}"), format!("{id}: {:?}", by_id(id).unwrap_or_default()))
        }
        (None, Some((id, label))) => {
            let found = by_label(label).map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            (format!("{label:?} is {id}"), format!("{label:?} is {found}"))
        }
        (None, None) => (all(wanted.len()), all(count)),
    };
    let agrees = source == target;
    FactCheck { name: "labels".to_owned(), source, target, agrees, counts: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_says_what_it_should_or_leaves_it_to_its_default() {
        let (wanted, defaults) =
            (json!({ "size": 24, "eps": 1e-6, "drop_rate": 0.0 }), json!({ "eps": 1e-6 }));
        let same = |found: Value| {
            is_same_part(wanted.as_object().unwrap(), found.as_object().unwrap(), Some(&defaults))
        };
        for found in [json!({ "size": 24 }), json!({ "size": 24, "eps": 1e-6, "more": 1, "drop_rate": 0.5 })]
        {
            assert!(same(found.clone()), "{found}");
        }
        for found in [json!({}), json!({ "size": 25 }), json!({ "size": 24, "eps": 1e-5 })] {
            assert!(!same(found.clone()), "{found}");
        }
    }

    #[test]
    fn values_are_the_same_as_transformers_reads_them() {
        assert!(is_same(&json!(224), &json!([224, 224])));
        assert!(is_same(&json!(1e-6), &json!(0.000_001)));
        assert!(is_same(&json!([4.0, 4.0]), &json!([4, 4])));
        assert!(!is_same(&json!(1e-6), &json!(1e-12)));
        assert!(!is_same(&json!(224), &json!([224, 448])));
        assert!(!is_same(&json!(true), &json!(1)));
        assert!(is_same_by_stage(&json!([2, 2]), &json!([2, 2.0, 3]), None));
        assert!(
            !is_same_by_stage(&json!([2, 2]), &json!([2]), None)
                && !is_same_by_stage(&json!([2]), &json!([3]), None)
        );
        assert!(is_same_by_stage(&json!([0, 0, 0, 0]), &json!([0, 0]), Some(2)));
        assert!(!is_same_by_stage(&json!([0, 0, 0, 0]), &json!([0, 8]), Some(2)));
        assert!(!is_same_by_stage(&json!([0, 0, 0, 0]), &json!([0]), Some(2)));
    }

    #[test]
    fn labels_shifted_by_one_are_seen() {
        let wanted: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let right =
            json!({ "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2} });
        assert!(labels_check(&wanted, &right).agrees);
        let shifted =
            json!({ "id2label": {"0": "c", "1": "a", "2": "b"}, "label2id": {"c": 0, "a": 1, "b": 2} });
        assert!(!labels_check(&wanted, &shifted).agrees);
        let lost = json!({ "id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1} });
        assert!(!labels_check(&wanted, &lost).agrees);
        assert!(!labels_check(&wanted, &json!({})).agrees);
    }
}
