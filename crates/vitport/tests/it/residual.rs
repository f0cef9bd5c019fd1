//! Tests timm's ResNet and RegNet and transformers': both definitions compared with what the frameworks computed, the conversion of
//! whole folders, and what is refused.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::frameworks::target;
use vitport::options::FactOptions;
use vitport::pipeline::{Request, verify};
use vitport::verify::{TestImage, Verdict};

use crate::assumptions::write_weights;
use crate::convnext::{Tensors, check_folder, compare, convert, document, open, open_with, read, save};

/// The networks, with the target's definition and class, and how many places are compared.
const NETWORKS: [(&str, &str, &str, usize); 4] = [
    ("resnet_bottleneck", "transformers/resnet", "ResNetForImageClassification", 10),
    ("resnet_basic_base", "transformers/resnet", "ResNetModel", 7),
    ("regnet_y", "transformers/regnet", "RegNetForImageClassification", 11),
    ("regnet_x_base", "transformers/regnet", "RegNetModel", 8),
];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/residual").join(name)
}

/// The float32 tensors of a file: all but the numbers of batches.
fn floats(path: &Path) -> Tensors {
    let mut tensors = read(path);
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    tensors
}

#[test]
fn both_definitions_compute_what_the_frameworks_do() {
    for (name, id, _, places) in NETWORKS {
        let prepared = open(&data(name)).unwrap();
        let weights = floats(&data(name).join("model.safetensors"));
        let expected = read(&data(&format!("{name}.expected.safetensors")));
        assert_eq!(compare(&prepared.model.network, &weights, &expected), places, "{name}");

        let config = document(&data(&format!("{name}.transformers.json")));
        let network = target(id).unwrap().build(&config).unwrap();
        let weights = floats(&data(&format!("{name}.transformers.safetensors")));
        let expected = read(&data(&format!("{name}.transformers.expected.safetensors")));
        assert_eq!(compare(&network, &weights, &expected), places, "{name}");
    }
}

#[test]
fn a_folder_is_what_transformers_saves_and_the_same_model() {
    for (name, _, class, _) in NETWORKS {
        check_folder(&data(name), class);
    }
}

#[test]
fn batches_that_were_not_counted_are_zero() {
    for name in ["resnet_bottleneck", "regnet_y"] {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::copy(data(name).join("config.json"), scratch.path().join("config.json")).unwrap();
        save(&floats(&data(name).join("model.safetensors")), &scratch.path().join("model.safetensors"));
        let converted = convert(scratch.path());
        let mut expected = read(&data(&format!("{name}.transformers.safetensors")));
        let counted = |name: &str| name.ends_with("num_batches_tracked");
        expected.iter_mut().filter(|(name, _)| counted(name)).for_each(|(_, (_, values))| values.fill(0.0));
        assert!(read(&converted.folder.join("model.safetensors")) == expected, "{name}");
        let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
    }
}

#[test]
fn every_tag_that_was_measured_to_be_exact_converts() {
    let count = |module: &str, class: &str| {
        let models =
            catalogue::models().filter(|model| model.module == Some(module) && model.published_at.is_some());
        models.filter(|model| model.becomes.class() == Some(class)).count()
    };
    assert_eq!(count("resnet", "ResNetForImageClassification"), 47);
    assert_eq!(count("resnet", "ResNetModel"), 1);
    assert_eq!(count("regnet", "RegNetForImageClassification"), 58);
    assert_eq!(count("regnet", "RegNetModel"), 3);
}

type Change = fn(&mut Tensors, &mut Map<String, Value>);

/// Opens a hub folder of a fixture with other tensors and arguments, which is refused.
fn refusal(name: &str, change: Change) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let mut tensors = floats(&data(name).join("model.safetensors"));
    let mut config = document(&data(name).join("config.json"));
    change(&mut tensors, config["model_args"].as_object_mut().unwrap());
    save(&tensors, &scratch.path().join("model.safetensors"));
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(scratch.path()).err().expect("it is refused")
}

fn add(tensors: &mut Tensors, name: &str, shape: &[usize]) {
    tensors.insert(name.to_owned(), (shape.to_vec(), vec![0.5; shape.iter().product()]));
}

#[test]
fn each_refusal_names_its_structure_and_what_shows_it() {
    let resnets: [(Change, [&str; 2]); 12] = [
        (
            |t, _| add(t, "layer1.0.se.fc1.weight", &[4, 8, 1, 1]),
            ["squeeze-excite", "layer1.0.se.fc1.weight"],
        ),
        (|t, _| add(t, "conv1.0.weight", &[8, 3, 3, 3]), ["ResNet-C, S or T", "conv1.0.weight"]),
        (|t, _| add(t, "layer2.0.downsample.2.weight", &[48]), ["ResNet-D", "layer2.0.downsample.2.weight"]),
        (|t, _| add(t, "maxpool.0.weight", &[64, 64, 3, 3]), ["in place of the stem's pooling", "maxpool.0"]),
        (
            |t, _| t.retain(|name, _| !name.contains("running_")),
            ["another norm than BatchNorm2d", "the absence of bn1.running_mean"],
        ),
        (
            |t, _| add(t, "layer1.0.conv2.weight", &[8, 2, 3, 3]),
            ["4 groups in its 3×3 convolutions", "layer1.0.conv2.weight"],
        ),
        (
            |t, _| {
                add(t, "layer1.0.conv1.weight", &[16, 64, 1, 1]);
                add(t, "layer1.0.conv2.weight", &[16, 16, 3, 3]);
            },
            ["a base width of 128", "layer1.0.conv2.weight"],
        ),
        (
            |t, _| add(t, "layer1.0.conv1.weight", &[4, 64, 1, 1]),
            ["reduce channels before their first convolution", "layer1.0.conv1.weight"],
        ),
        (
            |_, a| drop(a.insert("aa_layer".to_owned(), json!("blurpool"))),
            ["anti-aliasing", "model_args.aa_layer"],
        ),
        (
            |_, a| drop(a.insert("output_stride".to_owned(), json!(8))),
            ["an output stride of 8", "output_stride"],
        ),
        (|_, a| drop(a.insert("act_layer".to_owned(), json!("silu"))), ["the activation silu", "act_layer"]),
        (|_, a| drop(a.insert("global_pool".to_owned(), json!("max"))), ["global_pool `max`", "global_pool"]),
    ];
    let regnets: [(Change, [&str; 2]); 11] = [
        (
            |t, _| add(t, "s2.b1.se.fc1.weight", &[3, 16, 1, 1]),
            ["by other than a fourth of what comes in", "se.fc1.weight"],
        ),
        (
            |t, _| t.retain(|name, _| !name.starts_with("s2.b2.se.")),
            ["squeeze-excite in some blocks only", "se.fc1.weight"],
        ),
        (
            |t, _| add(t, "s3.b1.conv2.conv.weight", &[48, 4, 3, 3]),
            ["groups of several sizes", "conv2.conv.weight"],
        ),
        (
            |_, a| drop(a.insert("downsample".to_owned(), json!("avg"))),
            [
                "shortcut is no according to config.json: model_args.downsample",
                "but yes according to the weights",
            ],
        ),
        (|t, _| add(t, "s1.b1.norm1.weight", &[32]), ["RegNetV", "s1.b1.norm1.weight"]),
        (
            |t, _| add(t, "s1.b1.conv1.conv.weight", &[16, 32, 1, 1]),
            ["a bottleneck ratio of 2", "s1.b1.conv1.conv.weight"],
        ),
        (
            |t, _| t.retain(|name, _| !name.starts_with("s3.b1.downsample")),
            ["without a convolution in the shortcut of stage 2", "downsample.conv.weight"],
        ),
        (
            |t, _| t.retain(|name, _| !name.contains("running_")),
            ["another norm than BatchNorm", "the absence of s1.b1.conv1.bn.running_mean"],
        ),
        (|t, _| add(t, "final_conv.conv.weight", &[80, 80, 1, 1]), ["before its head", "final_conv"]),
        (|_, a| drop(a.insert("act_layer".to_owned(), json!("silu"))), ["the activation silu", "act_layer"]),
        (|_, a| drop(a.insert("linear_out".to_owned(), json!(true))), ["without activation", "linear_out"]),
    ];
    for (name, changes) in [("resnet_bottleneck", &resnets[..]), ("regnet_y", &regnets[..])] {
        for (change, words) in changes {
            let said = refusal(name, *change);
            assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        }
    }
}

/// No weight shows anti-aliasing, but the name under which timm released the file does.
#[test]
fn a_file_that_timm_released_is_what_its_name_says() {
    let scratch = tempfile::tempdir().unwrap();
    let network = json!({
        "in_chans": 3, "num_classes": 1000, "layers": [3, 4, 6, 3], "num_chs": [64, 256, 512, 1024, 2048],
        "bottleneck": true, "act_layer": "relu",
    });
    let open = |name: &str| {
        let file = scratch.path().join(name);
        write_weights(&file, "timm/resnet", network.as_object().unwrap());
        let facts = FactOptions { image_size: Some([224, 224]), ..FactOptions::default() };
        let opened = open_with(&file, &Request { facts, ..Request::default() });
        opened.map(|prepared| prepared.model.facts.get("architecture").map(|fact| fact.value.clone()))
    };
    for name in ["resnetblur50-84f4748f.safetensors", "resnetaa50_a1h-4cf422b3.safetensors"] {
        let said = open(name).unwrap_err();
        assert!(said.contains("a ResNet with anti-aliasing"), "{name}: {said}");
    }
    assert_eq!(open("resnet50_a1_0-14fe96d1.safetensors"), Ok(Some(json!("resnet50.a1_in1k"))));
    // The hash is another file's, and torchvision's files are not timm's.
    for name in ["resnetblur50-84f47480.safetensors", "resnet50-11ad3fa6.safetensors"] {
        assert!(open(name).err().is_none_or(|said| !said.contains("anti-aliasing")), "{name}");
    }
}

/// What timm makes of `create_model("regnetx_002", w0=8, wa=9.3, group_size=4)`: as many blocks, otherwise by stage.
#[test]
fn widths_without_a_number_of_blocks_make_other_stages() {
    let scratch = tempfile::tempdir().unwrap();
    let network = json!({
        "in_chans": 3, "num_classes": 5, "depths": [1, 2, 5, 5], "num_chs": [32, 8, 16, 48, 120], "group_size": 4,
        "se": false, "act_layer": "relu",
    });
    let weights = scratch.path().join("model.safetensors");
    write_weights(&weights, "timm/regnet", network.as_object().unwrap());
    let mut config = document(&data("regnet_x_base").join("config.json"));
    config["model_args"] = json!({ "w0": 8, "wa": 9.3, "group_size": 4 });
    config["num_classes"] = json!(5);
    std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    let prepared = open(scratch.path()).unwrap();
    assert_eq!(prepared.model.config["hidden_sizes"], json!([8, 16, 48, 120]));
}

/// What timm makes of `create_model("regnetx_002", stem_width=16)`.
#[test]
fn a_stem_of_another_width_is_as_the_config_says() {
    let scratch = tempfile::tempdir().unwrap();
    let network = json!({
        "in_chans": 3, "num_classes": 5, "depths": [1, 1, 4, 7], "num_chs": [16, 24, 56, 152, 368], "group_size": 8,
        "se": false, "act_layer": "relu",
    });
    let weights = scratch.path().join("model.safetensors");
    write_weights(&weights, "timm/regnet", network.as_object().unwrap());
    let mut config = document(&data("regnet_x_base").join("config.json"));
    config["num_classes"] = json!(5);
    let mut open = |arguments: Value| {
        config["model_args"] = arguments;
        let config = Value::Object(config.clone()).to_string();
        std::fs::write(scratch.path().join("config.json"), config).unwrap();
        open(scratch.path()).map(|prepared| prepared.model.config["embedding_size"].clone())
    };
    assert_eq!(open(json!({ "stem_width": 16 })), Ok(json!(16)));
    for arguments in [json!({}), json!({ "stem_width": 32 }), json!({ "depth": 13 })] {
        let said = open(arguments).unwrap_err();
        assert!(said.contains("num_chs is 32,24,56,152,368 according to config.json"), "{said}");
    }
}

#[test]
fn arguments_of_which_timm_makes_other_stages_are_refused() {
    let arguments = [
        ("depth", json!(9), "but 1,2,2,3 according to the weights"),
        ("w0", json!(16), "according to the weights"),
        ("wa", json!(24.0), "according to the weights"),
        ("wm", json!(2.5), "according to the weights"),
        ("wm", json!(1.0), "timm makes no stages of these numbers"),
        ("w0", json!(9), "timm makes no stages of these numbers"),
        ("se_ratio", json!(0.5), "would make 16 channels"),
        ("stem_width", json!(16), "but 32,8,24,48,80 according to the weights"),
    ];
    for (name, value, part) in arguments {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = document(&data("regnet_y").join("config.json"));
        config["model_args"][name] = value.clone();
        std::fs::copy(data("regnet_y").join("model.safetensors"), scratch.path().join("model.safetensors"))
            .unwrap();
        std::fs::write(scratch.path().join("config.json"), Value::Object(config).to_string()).unwrap();
        let refusal = open(scratch.path()).err().unwrap_or_default();
        assert!(refusal.contains(part) && refusal.contains("model_args."), "{name} {value}: {refusal:?}");
    }
}
