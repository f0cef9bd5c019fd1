//! Tests timm's Swin and transformers': both definitions compared with what the frameworks computed, the conversion of whole
//! folders, what is refused, and faults that verifying must find.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::frameworks::target;
use vitport::pipeline::verify;
use vitport::verify::{TestImage, Verdict};

use crate::convnext::{CannotShow, Fault, Show, Tensors, compare, convert, document, find, open, read, save};

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
    let table = "layers.1.blocks.0.attn.relative_position_bias_table";
    let cases: [(Change, [&str; 2]); 7] = [
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
            ["not those of a square window", table],
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

#[test]
fn every_planted_fault_is_found() {
    let all = faults();
    assert_eq!(all.len(), 24);
    find(&data("plain"), all);
}

fn faults() -> Vec<Fault> {
    vec![
        ("two blocks exchanged", Show, |f| f.swap("layers.1.blocks.0.", "layers.1.blocks.1.")),
        ("a shifted and another block's tables exchanged", Show, |f| {
            f.swap(
                "layers.1.blocks.1.attention.self.relative_position_bias_table",
                "layers.1.blocks.2.attention.self.relative_position_bias_table",
            );
        }),
        ("a table rolled by one distance", Show, |f| {
            f.edit("layers.0.blocks.1.attention.self.relative_position_bias_table", |v| v.rotate_right(2));
        }),
        ("a table zeroed", Show, |f| {
            f.edit("layers.2.blocks.0.attention.self.relative_position_bias_table", |v| v.fill(0.0));
        }),
        ("an index of zeros", CannotShow, |f| {
            f.edit("layers.0.blocks.0.attention.self.relative_position_index", |v| v.fill(0.0));
        }),
        ("an index missing", CannotShow, |f| {
            f.weights
                .remove("swin.encoder.layers.0.blocks.0.attention.self.relative_position_index")
                .unwrap();
        }),
        ("queries and keys exchanged", Show, |f| {
            f.swap("layers.1.blocks.1.attention.self.query", "layers.1.blocks.1.attention.self.key")
        }),
        ("keys and values exchanged", Show, |f| {
            f.swap("layers.0.blocks.0.attention.self.key", "layers.0.blocks.0.attention.self.value")
        }),
        ("a bias of queries zeroed", Show, |f| {
            f.edit("layers.1.blocks.0.attention.self.query.bias", |v| v.fill(0.0))
        }),
        ("a block's norms exchanged", Show, |f| {
            f.swap("layers.1.blocks.1.layernorm_before", "layers.1.blocks.1.layernorm_after")
        }),
        ("merged patches in another order", Show, |f| {
            f.edit("layers.0.downsample.reduction.weight", |v| {
                v.chunks_exact_mut(48).for_each(|row| row[12..36].rotate_right(12))
            });
        }),
        ("a merging's norm without bias", Show, |f| f.edit("layers.1.downsample.norm.bias", |v| v.fill(0.0))),
        ("rows and columns of the patches exchanged", Show, |f| {
            f.edit("patch_embeddings.projection.weight", |v| crate::convnext::transpose_kernels(v, 4));
        }),
        ("lowest bit of one weight flipped", CannotShow, |f| {
            f.edit("layers.1.blocks.1.intermediate.dense.weight", |v| {
                v[100] = f32::from_bits(v[100].to_bits() ^ 1)
            });
        }),
        ("another window", Show, |f| f.config["window_size"] = json!(2)),
        ("other heads", Show, |f| f.config["num_heads"] = json!([3, 2, 4])),
        ("a block fewer", Show, |f| f.config["depths"] = json!([2, 2, 2])),
        ("another ratio", Show, |f| f.config["mlp_ratio"] = json!(2.0)),
        ("another activation", Show, |f| f.config["hidden_act"] = json!("relu")),
        ("an epsilon of 1e-3", Show, |f| f.config["layer_norm_eps"] = json!(1e-3)),
        ("no biases", Show, |f| f.config["qkv_bias"] = json!(false)),
        ("position embeddings", Show, |f| f.config["use_absolute_embeddings"] = json!(true)),
        ("SwinV2", Show, |f| f.config["model_type"] = json!("swinv2")),
        ("another mean", Show, |f| f.processor["image_mean"] = json!([0.5, 0.5, 0.5])),
    ]
}
