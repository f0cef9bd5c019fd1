//! What may stand in a folder that no conversion puts there and that makes transformers do something else: keys of its
//! documents, files next to them, what the weights say of themselves.
//!
//! What transformers does with them is written down in [`crate::folder::loading`]; the few keys here have a meaning that a
//! conversion could intend, so their values are compared as facts.

use serde_json::{Map, Value, json};

use super::facts::FactCheck;
use crate::folder::loading;
use crate::folder::reader::Folder;
use crate::frameworks::transformers::ExactCode;
use crate::model::Prepared;

/// Names the file that version 5 reads before `preprocessor_config.json`.
const PROCESSOR_CONFIG: &str = "processor_config.json";

/// Returns how a key of `config.json` is named among what a plan leaves unread.
pub(crate) fn in_config(key: &str) -> String {
    format!("{key} in config.json")
}

/// Describes a key that no conversion writes, and the values of it that change nothing.
struct Key {
    name: &'static str,
    harmless: &'static [&'static str],
}

/// Lists the keys of `config.json`.
const CONFIG: [Key; 7] = [
    // Loads the documents of another file.
    Key { name: "configuration_files", harmless: &[] },
    // Runs code of the folder as the pipeline; pipelines count what is in it, so it must be an object.
    Key { name: "custom_pipelines", harmless: &["{}"] },
    // Gives single layers other sizes (version 5).
    Key { name: "per_layer_config", harmless: &["null", "{}"] },
    // multi_label_classification makes the pipeline take the sigmoid, regression nothing (version 5).
    Key { name: "problem_type", harmless: &["null", "\"single_label_classification\""] },
    // Takes heads away (version 4).
    Key { name: "pruned_heads", harmless: &["null", "{}"] },
    // Quantizes when loading; `null` cannot be printed (version 4).
    Key { name: "quantization_config", harmless: &[] },
    // false makes the model return a tuple, which its own head cannot read.
    Key { name: "return_dict", harmless: &["true"] },
];

/// Lists the keys of `preprocessor_config.json`.
const PROCESSOR: [Key; 1] = [
    // Runs code of the folder as the image processor; the Auto classes look into it, so it must be an object.
    Key { name: "auto_map", harmless: &["{}"] },
];

/// Finds everything of this kind that the folder holds.
pub(super) fn find(prepared: &Prepared, folder: &Folder) -> Vec<FactCheck> {
    let mut found = keys("", &CONFIG, &folder.config);
    let is_left_out = |key: &str| prepared.plan.unread.iter().any(|known| known.name == in_config(key));
    found.retain(|check| !is_left_out(&check.name));
    if let Some(processor) = &folder.processor {
        found.extend(keys("preprocessor_config.json: ", &PROCESSOR, processor));
    }
    found.extend(class_count(prepared, folder));
    found.extend(code(prepared, folder));
    found.extend(processor_class(prepared, folder));
    found.extend(adapter(folder));
    found
}

fn check(name: impl Into<String>, source: &Value, target: &Value, agrees: bool) -> FactCheck {
    FactCheck {
        name: name.into(),
        source: source.to_string(),
        target: target.to_string(),
        agrees,
        counts: true,
    }
}

fn keys(place: &str, keys: &[Key], document: &Value) -> Vec<FactCheck> {
    let present = keys.iter().filter_map(|key| Some((key, document.get(key.name)?)));
    let checks = present.map(|(key, value)| {
        let agrees = key.harmless.contains(&value.to_string().as_str());
        FactCheck {
            name: format!("{place}{}", key.name),
            source: "not said".to_owned(),
            target: value.to_string(),
            agrees,
            counts: true,
        }
    });
    checks.collect()
}

/// Compares `num_labels` with `id2label`: version 4 ignores it, version 5 refuses a folder where they contradict.
fn class_count(prepared: &Prepared, folder: &Folder) -> Option<FactCheck> {
    let found = folder.config.get("num_labels").filter(|count| !count.is_null())?;
    let classes = prepared.model.labels.as_ref().map(|labels| labels.value.len() as u64)?;
    Some(check("num_labels", &json!(classes), found, found.as_u64() == Some(classes)))
}

/// Compares `auto_map`, which runs code of the folder under `trust_remote_code=True`. It may be the target's exact code and no
/// other.
fn code(prepared: &Prepared, folder: &Folder) -> Option<FactCheck> {
    let found = folder.config.get("auto_map")?;
    if found.is_null() {
        let name = "auto_map".to_owned();
        let (source, target) = ("not said".to_owned(), "null, which the Auto classes fail on".to_owned());
        return Some(FactCheck { name, source, target, agrees: false, counts: true });
    }
    let Some(code) = prepared.model.target.exact_code() else {
        return Some(check("auto_map", &Value::Null, found, false));
    };
    let wanted = json!({ code.auto_class: code.class });
    if *found != wanted {
        return Some(check("auto_map", &wanted, found, false));
    }
    let is_untouched = is_untouched(&code, folder);
    Some(FactCheck {
        name: code.file.to_owned(),
        source: "the code that vitport writes".to_owned(),
        target: if is_untouched { "the same" } else { "other code, or none" }.to_owned(),
        agrees: is_untouched,
        counts: true,
    })
}

/// Returns whether the folder holds the target's exact code and points to it, so that whoever opens it with
/// `trust_remote_code=True` gets the source's exact network.
pub(super) fn holds_exact_code(prepared: &Prepared, folder: &Folder) -> bool {
    prepared.model.target.exact_code().is_some_and(|code| {
        folder.config.get("auto_map") == Some(&json!({ code.auto_class: code.class }))
            && is_untouched(&code, folder)
    })
}

fn is_untouched(code: &ExactCode, folder: &Folder) -> bool {
    folder.file(code.file).is_some_and(|text| text == code.text.as_bytes())
}

/// Compares the image processor's class. What its numbers come to is seen in the pixels; but a `Fast` class resizes with
/// torchvision where version 4 runs it, which moves pixels by up to one level.
fn processor_class(prepared: &Prepared, folder: &Folder) -> Option<FactCheck> {
    let class_of = |processor: &Value| {
        let names = ["image_processor_type", "feature_extractor_type"];
        names.into_iter().find_map(|key| processor.get(key)?.as_str().map(str::to_owned))
    };
    let wanted = class_of(prepared.model.processor.as_ref()?)?;
    let found = class_of(folder.processor.as_ref()?)?;
    let counts = wanted.ends_with("Fast") != found.ends_with("Fast");
    Some(FactCheck {
        name: "image_processor_type".to_owned(),
        agrees: wanted == found,
        source: wanted,
        target: found,
        counts,
    })
}

/// Finds an adapter: with PEFT installed, this file makes transformers load another model and put an adapter on it.
fn adapter(folder: &Folder) -> Option<FactCheck> {
    folder.has("adapter_config.json").then(|| FactCheck {
        name: "adapter_config.json".to_owned(),
        source: "absent".to_owned(),
        target: "present".to_owned(),
        agrees: false,
        counts: true,
    })
}

/// Finds everything of the folder that transformers would not open, would open otherwise, or may: a sentence each. What one version alone
/// does not open comes second where the folder was there first, and need not be opened by both.
pub(super) fn loading(prepared: &Prepared, folder: &Folder) -> (Vec<String>, Vec<String>) {
    let mut found = all_of_loading(prepared, folder);
    if !prepared.is_way_back {
        found.extend(folder.of_one_version.clone());
        return (found, Vec::new());
    }
    let (of_one, found) =
        found.into_iter().partition(|sentence| sentence.contains(loading::config::REFUSED_BY_5));
    (found, Vec::into_iter(of_one).chain(folder.of_one_version.clone()).collect())
}

fn all_of_loading(prepared: &Prepared, folder: &Folder) -> Vec<String> {
    let (model, none) = (&prepared.model, Map::new());
    let config = folder.config.as_object().unwrap_or(&none);
    let classes = model.labels.as_ref().map(|labels| labels.value.len());
    let mut found = folder.weights_findings.clone();
    found.extend(loading::config::findings(config, &prepared.config(), model.target.model_type(), classes));
    if let (Some(Value::Object(processor)), Some(Value::Object(wanted))) =
        (&folder.processor, &model.processor)
    {
        let model_type = model.target.model_type();
        found.extend(loading::processor::findings(processor, wanted, config, model_type));
    }
    if model.processor.is_none() && folder.processor.is_some() {
        found.push(
            "not verified: the folder has a preprocessor_config.json, and none is asked for (--no-processor)"
                .to_owned(),
        );
    }
    if folder.has(PROCESSOR_CONFIG) {
        let bytes = folder.file(PROCESSOR_CONFIG);
        found.extend(loading::processor::of_processor_config(bytes.as_deref(), folder.processor.as_ref()));
    }
    found
}
