//! Tests timm's EfficientNet and transformers': both definitions compared with what the frameworks computed, the conversion of
//! whole folders, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::frameworks::target;
use vitport::options::FactOptions;
use vitport::pipeline::{Request, verify};
use vitport::verify::{TestImage, Verdict};

use crate::assumptions::write_weights;
use crate::convnext::{Tensors, compare, convert, document, open, open_with, read, save};

/// The networks, with the target's class, and how many places are compared.
const NETWORKS: [(&str, &str, usize); 2] =
    [("same", "EfficientNetForImageClassification", 11), ("lite_base", "EfficientNetModel", 7)];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/efficientnet").join(name)
}

/// The float32 tensors of a file: all but the numbers of batches.
fn floats(path: &Path) -> Tensors {
    let mut tensors = read(path);
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    tensors
}

#[test]
fn both_definitions_compute_what_the_frameworks_do() {
    for (name, _, places) in NETWORKS {
        let prepared = open(&data(name)).unwrap();
        let weights = floats(&data(name).join("model.safetensors"));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.network, &weights, &expected), places, "{name}");

        let config = document(&data(&format!("{name}.transformers.json")));
        let network = target("transformers/efficientnet").unwrap().build(&config).unwrap();
        let weights = floats(&data(&format!("{name}.transformers.safetensors")));
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

#[test]
fn batches_that_were_not_counted_are_zero() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::copy(data("same").join("config.json"), scratch.path().join("config.json")).unwrap();
    save(&floats(&data("same").join("model.safetensors")), &scratch.path().join("model.safetensors"));
    let converted = convert(scratch.path());
    let mut expected = read(&data("same.transformers.safetensors"));
    let counted = |name: &str| name.ends_with("num_batches_tracked");
    expected.iter_mut().filter(|(name, _)| counted(name)).for_each(|(_, (_, values))| values.fill(0.0));
    assert!(read(&converted.folder.join("model.safetensors")) == expected);
}

#[test]
fn every_tag_that_was_measured_to_be_exact_converts() {
    let models = catalogue::models().filter(|model| model.published_at.is_some());
    let ours: Vec<_> = models.filter(|model| model.module == Some("efficientnet")).collect();
    let converted = ours.iter().filter(|model| model.becomes.class().is_some());
    let names: Vec<&str> = converted.map(|model| model.name.as_str()).collect();
    assert!(names.iter().all(|name| name.starts_with("tf_efficientnet_")), "{names:?}");
    assert!(!names.contains(&"tf_efficientnet_l2.ns_jft_in1k_475"), "an odd size");
    assert_eq!((names.len(), ours.len()), (40, 119));
}

type Change = fn(&mut Tensors, &mut Map<String, Value>);

/// Opens a hub folder of the fixture with other tensors and config, which is refused.
fn refusal(change: Change) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let mut tensors = floats(&data("same").join("model.safetensors"));
    let mut config = document(&data("same").join("config.json"));
    change(&mut tensors, &mut config);
    save(&tensors, &scratch.path().join("model.safetensors"));
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(scratch.path()).err().expect("it is refused")
}

fn add(tensors: &mut Tensors, name: &str, shape: &[usize]) {
    tensors.insert(name.to_owned(), (shape.to_vec(), vec![0.5; shape.iter().product()]));
}

fn argument(config: &mut Map<String, Value>, name: &str, value: Value) {
    config["model_args"].as_object_mut().unwrap().insert(name.to_owned(), value);
}

#[test]
fn each_refusal_names_its_structure_and_what_shows_it() {
    let cases: [(Change, [&str; 2]); 21] = [
        (
            |_, c| c["model_args"]["block_args"][1] = json!(["ir_r2_k3_s2_e4_c24_se0.25_nre"]),
            ["have an activation of their own", "block_args"],
        ),
        (
            |_, c| c["model_args"]["block_args"][1] = json!(["ir_r2_k3_s2_e4_c24_se0.25_noskip"]),
            ["that add nothing where their input has the shape", "block_args"],
        ),
        (|t, _| add(t, "blocks.1.0.conv_exp.weight", &[64, 16, 3, 3]), ["EfficientNetV2", "conv_exp"]),
        (|t, _| add(t, "blocks.2.0.conv_dw.0.weight", &[36, 1, 3, 3]), ["MixNet", "conv_dw.0"]),
        (|t, _| add(t, "blocks.0.0.conv_s2d.weight", &[128, 8, 2, 2]), ["positions to channels", "conv_s2d"]),
        (|t, _| add(t, "blocks.3.0.routing_fn.weight", &[4, 32]), ["CondConv", "routing_fn"]),
        (
            |t, _| t.retain(|name, _| !name.contains("running_")),
            ["another norm than BatchNorm2d", "the absence of bn1.running_mean"],
        ),
        (|_, c| argument(c, "pad_type", json!("")), ["as PyTorch does", "4.3 standard deviations"]),
        (|_, c| c["pretrained_cfg"]["input_size"] = json!([3, 61, 61]), ["not multiples of 2", "input_size"]),
        (
            |_, c| {
                c["pretrained_cfg"]["input_size"] = json!([3, 60, 64]);
                c["pretrained_cfg"]["crop_mode"] = json!("squash");
            },
            ["60x64", "not square"],
        ),
        (
            |t, _| add(t, "blocks.1.0.conv_dw.weight", &[64, 2, 3, 3]),
            ["see several channels", "conv_dw.weight"],
        ),
        (
            |t, _| {
                add(t, "blocks.1.1.conv_pw.weight", &[90, 24, 1, 1]);
                add(t, "blocks.1.1.conv_dw.weight", &[90, 1, 3, 3]);
                add(t, "blocks.1.1.conv_pwl.weight", &[24, 90, 1, 1]);
            },
            ["widen by other than one whole ratio", "conv_dw.weight"],
        ),
        (
            |t, _| add(t, "blocks.2.1.conv_dw.weight", &[96, 1, 3, 3]),
            ["several widths or kernels", "conv_dw"],
        ),
        (
            |t, _| add(t, "blocks.0.0.conv_pw.weight", &[8, 8, 1, 1]),
            ["as many channels as the one before", "conv_pw.weight"],
        ),
        (
            |t, _| add(t, "blocks.2.1.se.conv_reduce.weight", &[4, 96, 1, 1]),
            ["by other than a fourth", "se.conv_reduce"],
        ),
        (|t, _| add(t, "conv_stem.weight", &[16, 3, 3, 3]), ["whose stem has other channels", "conv_stem"]),
        (|_, c| argument(c, "output_stride", json!(16)), ["an output stride of 16", "output_stride"]),
        (|_, c| argument(c, "aa_layer", json!("blurpc")), ["anti-aliasing", "aa_layer"]),
        (|_, c| argument(c, "global_pool", json!("max")), ["global_pool `max`", "global_pool"]),
        // timm computes ReLU, and takes an epsilon of 1e-5.
        (
            |_, c| argument(c, "act_layer", Value::Null),
            ["act_layer null", "vitport does not know what it means"],
        ),
        (|_, c| argument(c, "bn_eps", Value::Null), ["bn_eps null", "vitport does not know what it means"]),
    ];
    let mut wrong = Vec::new();
    for (change, words) in cases {
        let said = refusal(change);
        if !words.iter().all(|word| said.contains(word)) {
            wrong.push(format!("{words:?}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_epsilon_among_the_arguments_is_the_norms() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::copy(data("same").join("model.safetensors"), scratch.path().join("model.safetensors")).unwrap();
    let mut config = document(&data("same").join("config.json"));
    argument(&mut config, "bn_eps", json!(0.0005));
    argument(&mut config, "bn_momentum", json!(0.1));
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    assert_eq!(open(scratch.path()).unwrap().model.config["batch_norm_eps"], json!(0.0005));
    assert_eq!(open(&data("same")).unwrap().model.config["batch_norm_eps"], json!(0.001));
}

/// Squeeze-excite is in the weights, and what is named must have it or not.
#[test]
fn a_name_with_or_without_squeeze_excite_must_be_that_of_the_weights() {
    let names = ["tf_efficientnet_b0", "tf_efficientnet_lite0"];
    for (weights, name) in [(names[0], names[1]), (names[1], names[0])] {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("model.safetensors");
        let sizes = json!({
            "in_chans": 3, "num_classes": 1000, "stem_chs": 32, "num_features": 1280, "depths": [1, 2, 2, 3, 3, 4, 1],
            "strides": [1, 2, 2, 2, 1, 2, 1], "out_chs": [16, 24, 40, 80, 112, 192, 320], "kernels": [3, 3, 5, 3, 5, 5, 3],
            "expansions": [1, 6, 6, 6, 6, 6, 6], "se": weights == names[0], "pad_type": "same", "act_layer": "silu",
            "norm_eps": 1e-3,
        });
        write_weights(&file, "timm/efficientnet", sizes.as_object().unwrap());
        let config = |name: &str| {
            let config = json!({ "architecture": name, "pretrained_cfg": { "tag": "in1k" } });
            std::fs::write(scratch.path().join("config.json"), config.to_string()).unwrap();
        };
        config(name);
        let said = open(scratch.path()).err().unwrap();
        let is = if name == names[0] { "se is yes" } else { "se is no" };
        assert!(said.contains(is) && said.contains(&format!("architecture {name}")), "{said}");
        config(weights);
        let act = if weights == names[0] { "silu" } else { "relu6" };
        assert_eq!(open(scratch.path()).unwrap().model.config["hidden_act"], json!(act));
        std::fs::remove_file(scratch.path().join("config.json")).unwrap();
        let facts = FactOptions { arch: Some(name.to_owned()), ..FactOptions::default() };
        let said = open_with(&file, &Request { facts, ..Request::default() }).err().unwrap();
        assert!(said.contains("squeeze-excite") && said.ends_with("or leave it out"), "{said}");
    }
}

/// No weight shows how convolutions are padded, nor the epsilon.
#[test]
fn a_bare_file_is_asked_for_its_padding() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("mine.safetensors");
    std::fs::copy(data("same").join("model.safetensors"), &file).unwrap();
    let said = open(&file).err().unwrap();
    assert!(said.contains("pad_type cannot be inferred from the weights"), "{said}");
    assert!(said.contains("norm_eps") || said.contains("--layer-norm-eps"), "{said}");
}
