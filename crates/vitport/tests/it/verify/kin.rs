//! Plants faults in the folders of ViTs that become other classes than ViT's: each tensor changed in one number, in its order and for
//! another of its shape, and each key of the config changed. All must be found but those that change nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use vitport::options::FactOptions;
use vitport::pipeline::{Request, verify};
use vitport::verify::{TestImage, Verdict};

use super::assert_same_but_for_crops;
use super::control::folder::FolderFiles;
use super::control::tensors::Tensor;
use super::convert::convert;

/// Twins in tests/data/timm_encoders, and the class each is asked to become.
const TWINS: [(&str, &str); 8] = [
    ("fc_norm", "BeitForImageClassification"),
    ("distilled", "DeiTForImageClassificationWithTeacher"),
    ("distilled_base", "DeiTModel"),
    ("dinov2_giant", "Dinov2Model"),
    ("dinov2_registers", "Dinov2WithRegistersModel"),
    ("registers_gap", "Dinov2WithRegistersForImageClassification"),
    ("registers_fc_norm", "RadioModel"),
    ("register_map", "ViTModel"),
];

/// Keys that training alone reads, or nobody.
const WITHOUT_EFFECT: [&str; 6] = [
    "attention_probs_dropout_prob",
    "drop_path_rate",
    "encoder_stride",
    "hidden_dropout_prob",
    "initializer_range",
    "layerscale_value",
];

/// A fault: what it is called, and what it changes.
type Fault = (String, Box<dyn Fn(&mut FolderFiles)>);

/// Returns a name with its numbers replaced, so that one layer stands for all.
fn pattern(name: &str) -> String {
    let part = |part: &str| if part.parse::<u64>().is_ok() { "*".to_owned() } else { part.to_owned() };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn tensor_faults(files: &FolderFiles) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut first_of: BTreeMap<String, String> = BTreeMap::new();
    for name in files.weights.0.keys() {
        first_of.entry(pattern(name)).or_insert_with(|| name.clone());
    }
    for (pattern, name) in first_of {
        let tensor = files.weights.0[&name].clone();
        let mut plant = |what: &str, bytes: Vec<u8>| {
            if bytes != tensor.bytes {
                let (name, tensor) = (name.clone(), Tensor { bytes, ..tensor.clone() });
                let change = move |files: &mut FolderFiles| {
                    files.weights.0.insert(name.clone(), tensor.clone());
                };
                faults.push((format!("{pattern} {what}"), Box::new(change)));
            }
        };
        let mut nudged = tensor.bytes.clone();
        nudged[2] ^= 1;
        plant("with one bit changed", nudged);
        let size = tensor.bytes.len() / tensor.shape.iter().product::<usize>().max(1);
        plant("in reverse order", tensor.bytes.rchunks(size).flatten().copied().collect());
        let like =
            files.weights.0.iter().find(|(other, found)| **other != name && found.shape == tensor.shape);
        if let Some((_, other)) = like {
            plant("in place of another", other.bytes.clone());
        }
    }
    faults
}

fn config_faults(files: &FolderFiles) -> Vec<Fault> {
    let keys = files.config.as_object().unwrap().iter();
    let read = keys.filter(|(key, _)| {
        !WITHOUT_EFFECT.contains(&key.as_str())
            && !["id2label", "label2id", "torch_dtype", "transformers_version"].contains(&key.as_str())
    });
    let changed = |value: &Value| match value {
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
        Value::Number(number) => json!(number.as_f64().unwrap() + 0.125),
        Value::String(text) if text == "relu" => json!("gelu"),
        Value::String(_) => json!("relu"),
        _ => json!(["Other"]),
    };
    read.map(|(key, value)| -> Fault {
        let (key, value) = (key.clone(), changed(value));
        let name = format!("{key} {value}");
        (name, Box::new(move |files| files.config[&key] = value.clone()))
    })
    .collect()
}

#[test]
fn every_fault_in_a_folder_of_a_kin_is_found() {
    let image = TestImage::built_in().unwrap();
    let mut survivors = Vec::new();
    for (twin, class) in TWINS {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/timm_encoders").join(twin);
        let facts = FactOptions { target: Some(class.to_owned()), ..FactOptions::default() };
        let converted = convert(&source, &Request { facts, ..Request::default() });
        let untouched = verify(&converted.prepared, &converted.folder, &image).unwrap();
        assert_same_but_for_crops(twin, &untouched);
        let read = || FolderFiles::read(&converted.folder, &source);
        let faults: Vec<Fault> = tensor_faults(&read()).into_iter().chain(config_faults(&read())).collect();
        assert!(faults.len() > 40, "{twin}: only {} faults have a place", faults.len());
        for (number, (name, plant)) in faults.into_iter().enumerate() {
            let (mut files, folder) = (read(), converted.place(&number.to_string()));
            plant(&mut files);
            files.write(&folder);
            let verified = verify(&converted.prepared, &folder, &image);
            if verified.is_ok_and(|report| report.verdict != Verdict::Different) {
                survivors.push(format!("{twin}: {name}"));
            }
        }
    }
    assert!(survivors.is_empty(), "not found: {survivors:#?}");
}
