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
    let cases: [(Change, [&str; 2]); 10] = [
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
        (|_, c| argument(c, "act_layer", json!("mish")), ["mish", "act_layer"]),
        (|_, c| argument(c, "window_size", json!([4, 2])), ["whose windows are not square", "window_size"]),
        (|_, c| argument(c, "window_size", json!([4, 4, 2])), ["windows of several sizes", "window_size"]),
        (
            |_, c| argument(c, "pretrained_window_sizes", json!([3, 3])),
            ["model_args.pretrained_window_sizes", "is not what timm's SwinV2 takes"],
        ),
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

/// Microsoft's files have a table of distances, which is as large as two windows less one.
#[test]
fn microsofts_files_show_their_windows() {
    let scratch = tempfile::tempdir().unwrap();
    let own_name = |(name, tensor)| {
        let name: String = name;
        let name = name.replace("layers.1.downsample", "layers.0.downsample").replace("head.fc.", "head.");
        (name.replace("layers.2.downsample", "layers.1.downsample"), tensor)
    };
    let tensors: Tensors = read(&data("plain").join("model.safetensors")).into_iter().map(own_name).collect();
    let table = |edge: usize| (vec![1, edge, edge, 2], vec![0.0; 2 * edge * edge]);
    let file = scratch.path().join("model.safetensors");
    let with = |edge| {
        let mut tensors = tensors.clone();
        tensors.insert("layers.0.blocks.0.attn.relative_coords_table".to_owned(), table(edge));
        // Windows of later stages are as small as their maps.
        tensors.insert("layers.1.blocks.0.attn.relative_coords_table".to_owned(), table(3));
        save(&tensors, &file);
    };
    with(7);
    let said = open(&file).err().unwrap();
    assert!(
        said.contains("pretrained_window_sizes cannot") && !said.contains("window_size cannot"),
        "{said}"
    );
    let config = scratch.path().join("config.json");
    std::fs::copy(data("plain").join("config.json"), &config).unwrap();
    assert_eq!(open(scratch.path()).unwrap().config()["window_size"], json!(4));
    for (edge, words) in [(15, "but 8 according to the weights"), (6, "not an odd number")] {
        with(edge);
        let said = open(scratch.path()).err().unwrap();
        assert!(said.contains(words) && said.contains("relative_coords_table"), "{said}");
    }
}

#[test]
fn windows_that_are_alike_are_one_number() {
    for window in [json!([4, 4]), json!([[4, 4], [4, 4], [4, 4]])] {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = document(&data("plain").join("config.json"));
        argument(&mut config, "window_size", window.clone());
        std::fs::copy(data("plain").join("model.safetensors"), scratch.path().join("model.safetensors"))
            .unwrap();
        std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
        let prepared = open(scratch.path()).unwrap_or_else(|error| panic!("{window}: {error}"));
        assert_eq!(prepared.config()["window_size"], json!(4), "{window}");
    }
}

#[test]
fn activations_that_the_class_has_convert() {
    for (timm, theirs) in [("relu", "relu"), ("gelu_tanh", "gelu_pytorch_tanh"), ("silu", "silu")] {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = document(&data("plain").join("config.json"));
        argument(&mut config, "act_layer", json!(timm));
        std::fs::copy(data("plain").join("model.safetensors"), scratch.path().join("model.safetensors"))
            .unwrap();
        std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
        let converted = convert(scratch.path());
        assert_eq!(document(&converted.folder.join("config.json"))["hidden_act"], json!(theirs));
        let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, Verdict::Same, "{timm}: {:?}", report.reasons);
    }
}
