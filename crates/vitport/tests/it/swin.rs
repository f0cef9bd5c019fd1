//! Tests timm's Swin and transformers': both definitions compared with what the frameworks computed, the conversion of whole
//! folders, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::frameworks::target;
use vitport::options::FactOptions;
use vitport::pipeline::{Request, plan, verify};
use vitport::source::Source;
use vitport::verify::{TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::convnext::{Tensors, check_folder, compare, convert, document, open, read, save};

/// The networks, with the target's class, and how many places are compared.
const NETWORKS: [(&str, &str, usize); 2] =
    [("plain", "SwinForImageClassification", 11), ("base", "SwinModel", 7)];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/swin").join(name)
}

#[test]
fn both_definitions_compute_what_the_frameworks_do() {
    for (name, _, places) in NETWORKS {
        let prepared = open(&data(name)).unwrap();
        let weights = read(&data(name).join("model.safetensors"));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.network, &weights, &expected), places, "{name}");

        let config = document(&data(&format!("{name}.transformers.json")));
        let network = target("transformers/swin").unwrap().build(&config).unwrap();
        let mut weights = read(&data(&format!("{name}.transformers.safetensors")));
        weights.retain(|name, _| !name.ends_with("relative_position_index"));
        let expected = read(&data(&format!("{name}.transformers.expected.safetensors")));
        assert_eq!(compare(&network, &weights, &expected), places, "{name}");
    }
}

#[test]
fn a_folder_is_what_transformers_saves_and_the_same_model() {
    for (name, class, _) in NETWORKS {
        check_folder(&data(name), class);
    }
}

/// Version 5 computes the indices, does not save them, and saves what follows from the depths.
#[test]
fn a_folder_as_version_5_saves_it_is_the_same_model() {
    let converted = convert(&data("plain"));
    let judge = |left_out: &str, layers: usize| {
        let path = converted.folder.join("model.safetensors");
        let mut tensors = read(&path);
        tensors.retain(|name, _| !name.ends_with(left_out));
        save(&tensors, &path);
        let path = converted.folder.join("config.json");
        let mut config = document(&path);
        config.insert("hidden_size".to_owned(), json!(48));
        config.insert("num_layers".to_owned(), json!(layers));
        std::fs::write(path, Value::Object(config).to_string()).unwrap();
        verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap()
    };
    let report = judge("relative_position_index", 3);
    assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
    let report = judge("relative_position_index", 4);
    assert_eq!(report.verdict, Verdict::Different);
    assert!(report.reasons[0].contains("key num_layers of config.json is 4"), "{:?}", report.reasons);
    let report = judge("relative_position_bias_table", 3);
    assert_eq!(report.verdict, Verdict::Different);
    assert!(
        report.reasons.iter().any(|reason| reason.contains("the folder lacks the tensor")),
        "{:?}",
        report.reasons
    );
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
    let table = "layers.1.blocks.0.attn.relative_position_bias_table";
    let cases: [(Change, [&str; 2]); 9] = [
        (
            |t, _| {
                let name = "layers.1.blocks.0.attn.relative_position_bias_table";
                t.insert(name.to_owned(), (vec![25, 3], vec![0.5; 75]));
            },
            ["windows of several sizes", "relative_position_bias_table"],
        ),
        (
            |t, _| {
                let name = "layers.1.blocks.0.attn.relative_position_bias_table";
                t.insert(name.to_owned(), (vec![24, 3], vec![0.5; 72]));
            },
            ["not those of a window", table],
        ),
        (
            |t, _| {
                // 3 by 7 distances.
                let name = "layers.1.blocks.0.attn.relative_position_bias_table";
                t.insert(name.to_owned(), (vec![21, 3], vec![0.5; 63]));
            },
            ["whose windows are not square", "relative_position_bias_table"],
        ),
        (
            |_, c| argument(c, "window_size", json!([4, 4, 2])),
            ["window_size is 4,4,2 according to config.json", "4 according to the weights"],
        ),
        (
            |_, c| {
                argument(c, "img_size", json!(80));
                c["pretrained_cfg"]["input_size"] = json!([3, 80, 80]);
            },
            ["80", "not multiples of 64"],
        ),
        (
            |_, c| {
                argument(c, "img_size", json!([64, 128]));
                c["pretrained_cfg"]["input_size"] = json!([3, 64, 128]);
                c["pretrained_cfg"]["crop_mode"] = json!("squash");
            },
            ["64x128", "which are not square"],
        ),
        (|_, c| argument(c, "head_dim", json!(8)), ["a width of their own", "head_dim"]),
        (|_, c| argument(c, "always_partition", json!(true)), ["always shifts", "always_partition"]),
        (|_, c| argument(c, "norm_layer", json!("rmsnorm")), ["rmsnorm", "norm_layer"]),
    ];
    for (change, words) in cases {
        let said = refusal(change);
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    }
}

/// timm's `set_input_size` and `save_for_hf` write windows by stage.
#[test]
fn windows_that_are_alike_are_one_number() {
    for window in [json!(4), json!([4, 4]), json!([4, 4, 4]), json!([[4, 4], [4, 4], [4, 4]])] {
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
fn heads_of_stages_agree_with_the_weights_or_contradict_them() {
    let planned = |heads: &[u64]| {
        let source = Source::open(&data("plain"), None, &Limits::default()).unwrap();
        let facts = FactOptions { num_heads: Some(heads.to_vec()), ..FactOptions::default() };
        plan(source, &Request { facts, ..Request::default() }).map_err(|error| error.to_string())
    };
    assert!(planned(&[2, 3, 4]).is_ok());
    for heads in [&[2, 3, 6][..], &[2], &[2, 3]] {
        let said = planned(heads).err().expect("a contradiction");
        assert!(said.contains("--num-heads") && said.contains("according to the weights"), "{said}");
    }
}
