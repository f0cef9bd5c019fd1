//! Tests timm's SwinV2 and transformers': both definitions compared with what the frameworks computed, the conversion of whole
//! folders, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::frameworks::target;
use vitport::pipeline::verify;
use vitport::verify::{TestImage, Verdict};

use crate::convnext::{Tensors, compare, convert, document, open, read, save};

/// The networks, with the target's class, and how many places are compared.
const NETWORKS: [(&str, &str, usize); 2] =
    [("plain", "Swinv2ForImageClassification", 11), ("base", "Swinv2Model", 7)];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/swinv2").join(name)
}

#[test]
fn both_definitions_compute_what_the_frameworks_do() {
    for (name, _, places) in NETWORKS {
        let prepared = open(&data(name)).unwrap();
        let weights = read(&data(name).join("model.safetensors"));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.network, &weights, &expected), places, "{name}");

        let config = document(&data(&format!("{name}.transformers.json")));
        let network = target("transformers/swinv2").unwrap().build(&config).unwrap();
        let weights = read(&data(&format!("{name}.transformers.safetensors")));
        let expected = read(&data(&format!("{name}.transformers.expected.safetensors")));
        assert_eq!(compare(&network, &weights, &expected), places, "{name}");
    }
}

#[test]
fn a_folder_is_what_transformers_saves_and_the_same_model() {
    for (name, class, _) in NETWORKS {
        let converted = convert(&data(name));
        let tensors = read(&converted.folder.join("model.safetensors"));
        assert!(tensors == read(&data(&format!("{name}.transformers.safetensors"))), "{name}");
        let config = document(&converted.folder.join("config.json"));
        assert_eq!(config["architectures"], json!([class]));
        let theirs = document(&data(&format!("{name}.transformers.json")));
        for (key, value) in config.iter().filter(|(key, _)| *key != "torch_dtype") {
            assert_eq!(theirs.get(key).unwrap_or(value), value, "{name}: {key}");
        }
        let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
    }
}

type Change = fn(&mut Tensors, &mut Map<String, Value>);

/// Opens a hub folder of a fixture with other tensors and config, which is refused.
fn refusal(change: Change) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let mut tensors = read(&data("plain").join("model.safetensors"));
    let mut config = document(&data("plain").join("config.json"));
    change(&mut tensors, &mut config);
    save(&tensors, &scratch.path().join("model.safetensors"));
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(scratch.path()).err().expect("it is refused")
}

fn argument(config: &mut Map<String, Value>, name: &str, value: Value) {
    config["model_args"].as_object_mut().unwrap().insert(name.to_owned(), value);
}

#[test]
fn each_refusal_names_its_structure_and_what_shows_it() {
    let cases: [(Change, [&str; 2]); 7] = [
        (
            |_, c| {
                argument(c, "img_size", json!(80));
                c["pretrained_cfg"]["input_size"] = json!([3, 80, 80]);
            },
            ["images of 80", "no whole number of windows"],
        ),
        (
            |_, c| {
                argument(c, "img_size", json!(72));
                c["pretrained_cfg"]["input_size"] = json!([3, 72, 72]);
            },
            ["72", "not multiples of 16"],
        ),
        (
            |_, c| {
                argument(c, "img_size", json!([64, 128]));
                c["pretrained_cfg"]["input_size"] = json!([3, 64, 128]);
                c["pretrained_cfg"]["crop_mode"] = json!("squash");
            },
            ["64x128", "which are not square"],
        ),
        (|_, c| argument(c, "window_size", json!(6)), ["images of 64", "img_size"]),
        (|_, c| argument(c, "always_partition", json!(true)), ["always shifts", "always_partition"]),
        (|_, c| argument(c, "norm_layer", json!("rmsnorm")), ["rmsnorm", "norm_layer"]),
        (|_, c| argument(c, "act_layer", json!("silu")), ["the activation silu", "act_layer"]),
    ];
    for (change, words) in cases {
        let said = refusal(change);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
}

#[test]
fn every_tag_that_was_measured_to_be_exact_converts() {
    let models = catalogue::models().filter(|model| model.published_at.is_some());
    let ours = models.filter(|model| model.module == Some("swin_transformer_v2"));
    assert_eq!(
        ours.filter(|model| model.becomes.class() == Some("Swinv2ForImageClassification")).count(),
        12
    );
}

/// transformers adds its mask twice, −200 for timm's −100, which only factors near the largest let be seen.
#[test]
fn a_mask_that_is_added_twice_is_seen_where_it_matters() {
    for (factor, verdict) in [(60.0_f32, Verdict::Same), (100.0, Verdict::Different)] {
        let scratch = tempfile::tempdir().unwrap();
        let mut tensors = read(&data("plain").join("model.safetensors"));
        for (name, tensor) in &mut tensors {
            if name.ends_with("logit_scale") {
                tensor.1.fill(factor.ln());
            }
        }
        save(&tensors, &scratch.path().join("model.safetensors"));
        std::fs::copy(data("plain").join("config.json"), scratch.path().join("config.json")).unwrap();
        let converted = convert(scratch.path());
        let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, verdict, "{factor}: {:?}", report.reasons);
    }
}

/// Weights are the same for windows of every size.
#[test]
fn a_bare_file_is_asked_for_its_windows() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine.safetensors");
    std::fs::copy(data("plain").join("model.safetensors"), &file).unwrap();
    let said = open(&file).err().unwrap();
    assert!(said.contains("window_size cannot be inferred from the weights"), "{said}");
}
