//! What training programs and configs say of a model: each statement becomes a fact with its origin, or is refused, and what
//! contradicts another statement is an error that names both.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::frameworks::timm::vision_transformer::DEFINITION;
use vitport::frameworks::{Definition, SOURCES};
use vitport::image::{CropMode, Filter};
use vitport::labels::LabelChoice;
use vitport::model::Prepared;
use vitport::nn::Network;
use vitport::options::FactOptions;
use vitport::pipeline::{self, Request};
use vitport::source::Source;
use vitport_checkpoint::Limits;

use crate::golden;

/// A key, and another value for it.
type Change = (&'static str, Value);

/// Writes a timm ViT of zeros: width 12, a block, patches of 4 pixels in images of 8, five classes. `records` is what the file says
/// next to its tensors.
fn save(file: &Path, records: &[(&str, Value)]) {
    let config = json!({
        "img_size": [8, 8], "patch_size": [4, 4], "in_chans": 3, "num_classes": 5, "embed_dim": 12, "depth": 1,
        "num_heads": 2, "mlp_dim": 48, "qkv_bias": true, "layer_scale": false, "no_embed_class": false,
        "pre_norm": false, "act_layer": "gelu", "norm_eps": 1e-6,
    });
    save_network(file, &config, records);
}

fn save_network(file: &Path, config: &Value, records: &[(&str, Value)]) {
    save_zeros(file, &DEFINITION.build(config.as_object().unwrap()).unwrap(), records);
}

/// Writes the parameters of a network, all zero.
fn save_zeros(file: &Path, network: &Network, records: &[(&str, Value)]) {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = network
        .parameters()
        .iter()
        .map(|tensor| {
            let shape = tensor.shape().to_vec();
            let bytes = vec![0; shape.iter().product::<usize>() * 4];
            (tensor.name().to_owned(), shape, bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let texts: HashMap<String, String> = records
        .iter()
        .map(|(key, value)| {
            ((*key).to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    serialize_to_file(views, Some(texts), file).unwrap();
}

fn plan(path: &Path, facts: FactOptions) -> Result<Prepared, String> {
    let source = Source::open(path, None, &Limits::default()).map_err(|error| error.to_string())?;
    pipeline::plan(source, &Request { facts, ..Request::default() }).map_err(|error| error.to_string())
}

fn plan_records(records: &[(&str, Value)], facts: FactOptions) -> Result<Prepared, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checkpoint.safetensors");
    save(&file, records);
    plan(&file, facts)
}

/// The value of a fact as it is shown, and where it is known from.
fn fact(prepared: &Prepared, name: &str) -> (String, String) {
    let fact = prepared.model.facts.get(name).unwrap_or_else(|| panic!("no {name}"));
    (fact.shown(), fact.known_from())
}

/// Arguments of timm's train.py.
fn timm_args() -> Map<String, Value> {
    let args = json!({
        "model": "vit_tiny_patch16_224", "gp": null, "num_classes": 5, "img_size": 8, "in_chans": null,
        "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.95, "interpolation": "bilinear",
        "lr": 0.1,
        "model_kwargs": { "embed_dim": 12, "depth": 1, "patch_size": 4, "num_heads": 2 },
    });
    args.as_object().unwrap().clone()
}

/// The same with other values; `key` may be one of `model_kwargs`.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut args = timm_args();
    for (key, value) in changes {
        let object = match key.strip_prefix("model_kwargs.") {
            Some(_) => args["model_kwargs"].as_object_mut().unwrap(),
            None => &mut args,
        };
        object.insert(key.rsplit('.').next().unwrap().to_owned(), value.clone());
    }
    Value::Object(args)
}

/// All preprocessing by options, and the number of heads.
fn options() -> FactOptions {
    FactOptions {
        num_heads: Some(vec![2]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        interpolation: Some(Filter::Bicubic),
        ..FactOptions::default()
    }
}

/// What train.py's arguments leave to the default tag is known where all versions of timm have the same there
/// (frameworks/timm/preprocessing.rs has a test of those that differ).
#[test]
fn defaults_of_train_py_are_no_assumption() {
    let nothing = [
        ("mean", json!(null)),
        ("std", json!(null)),
        ("crop_pct", json!(null)),
        ("interpolation", json!("")),
    ];
    let prepared = plan_records(&[("args", with(&nothing))], FactOptions::default()).unwrap();
    assert_eq!(prepared.model.basis().assumptions, []);
}

/// Microsoft's config next to the weights of a CvT.
#[test]
fn a_cvt_s_config_is_evidence() {
    let network = json!({
        "image_size": [64, 64], "in_chans": 3, "num_classes": 5, "act_layer": "quick_gelu",
        "patch_size": [7, 3, 3], "patch_stride": [4, 2, 2], "patch_padding": [2, 1, 1],
        "embed_dim": [8, 16, 24], "num_heads": [1, 2, 3], "depth": [1, 2, 3], "mlp_dim": [8, 16, 24],
        "qkv_bias": [true, true, true], "cls_token": [false, false, true], "kernel_qkv": [3, 3, 3],
        "padding_kv": [1, 1, 1], "stride_kv": [2, 2, 2], "padding_q": [1, 1, 1], "stride_q": [1, 1, 1],
    });
    let cvt = SOURCES.into_iter().find(|known| known.id() == "microsoft/cvt").unwrap();
    let network = cvt.build(network.as_object().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let planned = |spec: Value, options: FactOptions| {
        let file = folder.path().join("checkpoint.safetensors");
        let config = json!({
            "MODEL": { "SPEC": spec }, "INPUT": { "MEAN": [0.1, 0.2, 0.3] },
            "TEST": { "IMAGE_SIZE": [64, 64], "INTERPOLATION": 2 }, "TRAIN": { "LR": 0.1 },
        });
        save_zeros(&file, &network, &[("config", config)]);
        plan(&file, options)
    };
    let spec = json!({ "NUM_HEADS": [1, 4, 2], "STRIDE_KV": [2, 2, 1], "DEPTH": [1, 2, 3] });
    let prepared = planned(spec.clone(), FactOptions::default()).unwrap();
    let at = |key: &str| format!("the training arguments: config.{key}");
    assert_eq!(fact(&prepared, "num_heads"), ("1,4,2".to_owned(), at("MODEL.SPEC.NUM_HEADS")));
    assert_eq!(fact(&prepared, "stride_kv"), ("2,2,1".to_owned(), at("MODEL.SPEC.STRIDE_KV")));
    assert_eq!(fact(&prepared, "mean"), ("[0.1, 0.2, 0.3]".to_owned(), at("INPUT.MEAN")));
    assert_eq!(fact(&prepared, "interpolation"), ("bilinear".to_owned(), at("TEST.INTERPOLATION")));
    assert_eq!(fact(&prepared, "image_size").1, at("TEST.IMAGE_SIZE"));
    assert_eq!(prepared.model.unread_arguments, ["config.TRAIN.LR"]);
    let heads = FactOptions { num_heads: Some(vec![1, 2, 3]), ..FactOptions::default() };
    let error = planned(spec, heads).err().unwrap();
    assert!(error.contains("--num-heads") && error.contains("config.MODEL.SPEC.NUM_HEADS"), "{error}");
    let other = json!({ "NUM_HEADS": [1, 4, 2], "DEPTH": [1, 2, 10] });
    let error = planned(other, FactOptions::default()).err().unwrap();
    assert!(error.contains("config.MODEL.SPEC.DEPTH"), "{error}");
}

#[test]
fn each_argument_of_train_py_is_a_fact() {
    let argument = |name: &str| format!("the training arguments: args.{name}");
    let registry = |name: &str| format!("timm's registry: {name}");
    let default = registry(
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k, timm's default for vit_tiny_patch16_224 in all its versions",
    );
    let cases = [
        (vec![], "mean", "[0.1, 0.2, 0.3]", argument("mean")),
        (vec![], "std", "[0.4, 0.5, 0.6]", argument("std")),
        (vec![], "crop_pct", "0.95", argument("crop_pct")),
        (vec![], "interpolation", "bilinear", argument("interpolation")),
        (vec![], "crop_mode", "center", default.clone()),
        (vec![], "num_heads", "2", argument("model_kwargs.num_heads")),
        (vec![], "architecture", "vit_tiny_patch16_224", argument("model")),
        (vec![], "norm_eps", "1e-6", registry("vit_tiny_patch16_224")),
        (vec![("mean", json!([0.2]))], "mean", "[0.2, 0.2, 0.2]", argument("mean")),
        (vec![("mean", json!(null))], "mean", "[0.5, 0.5, 0.5]", default.clone()),
        (vec![("crop_pct", json!(0.0))], "crop_pct", "0.9", default.clone()),
        (vec![("interpolation", json!(""))], "interpolation", "bicubic", default.clone()),
        (vec![("crop_mode", json!("squash"))], "crop_mode", "squash", argument("crop_mode")),
        (vec![("gp", json!("token"))], "global_pool", "token", argument("gp")),
        (
            vec![("model_kwargs.act_layer", json!("quick_gelu"))],
            "act_layer",
            "quick_gelu",
            argument("model_kwargs.act_layer"),
        ),
        (vec![("model", json!("resnet50"))], "num_heads", "2", argument("model_kwargs.num_heads")),
    ];
    for (changes, name, shown, from) in cases {
        let prepared = plan_records(&[("args", with(&changes))], FactOptions::default())
            .unwrap_or_else(|error| panic!("{changes:?}: {error}"));
        assert_eq!(fact(&prepared, name), (shown.to_owned(), from), "{changes:?}");
    }
}

#[test]
fn what_contradicts_or_cannot_be_is_an_error_that_names_it() {
    let arch = |name: &str| FactOptions { arch: Some(name.to_owned()), ..FactOptions::default() };
    let heads = FactOptions { num_heads: Some(vec![3]), ..FactOptions::default() };
    let none = FactOptions::default;
    let cases: Vec<(Vec<Change>, FactOptions, Vec<&str>)> = vec![
        (vec![("gp", json!("avg"))], none(), vec!["global_pool `avg`", "args.gp"]),
        (vec![("gp", json!("avg"))], arch("vit_tiny_patch16_224"), vec!["--arch", "args.gp"]),
        (
            vec![("num_classes", json!(7))],
            none(),
            vec!["num_classes is 7", "args.num_classes", "5 according to"],
        ),
        (vec![("in_chans", json!(1))], none(), vec!["in_chans is 1", "args.in_chans"]),
        (vec![("input_size", json!([1, 8, 8]))], none(), vec!["in_chans is 1", "args.input_size"]),
        (vec![("img_size", json!(16))], none(), vec!["img_size is 16x16", "8x8", "args.img_size"]),
        (vec![("mean", json!([0.1, 0.2]))], none(), vec!["args.mean: [0.1,0.2] is not a valid mean"]),
        (vec![("interpolation", json!("random"))], none(), vec!["args.interpolation", "random"]),
        (vec![("img_size", json!("8"))], none(), vec!["args.img_size"]),
        (
            vec![("model_kwargs.foo", json!(1))],
            none(),
            vec!["args.model_kwargs.foo", "takes no argument `foo`"],
        ),
        (
            vec![("model_kwargs.embed_dim", json!(24))],
            none(),
            vec!["embed_dim is 24", "12 according to", "args.model_kwargs"],
        ),
        (vec![("model_kwargs.num_heads", json!(5))], none(), vec!["5 heads", "args.model_kwargs.num_heads"]),
        (
            vec![("model_kwargs.act_layer", json!("mine"))],
            none(),
            vec!["act_layer mine", "args.model_kwargs"],
        ),
        (vec![("model_kwargs.init_values", json!("x"))], none(), vec!["args.model_kwargs.init_values"]),
        (vec![("model_kwargs.reg_tokens", json!(-1))], none(), vec!["args.model_kwargs.reg_tokens"]),
        (vec![("model_kwargs.drop_rate", json!(2))], none(), vec!["args.model_kwargs.drop_rate"]),
        (vec![("model_kwargs.qk_norm", json!(true))], none(), vec!["QK norm", "args.model_kwargs.qk_norm"]),
        (
            vec![("model_kwargs.attn_layer", json!("diff"))],
            none(),
            vec!["attn_layer", "vitport does not know what it means"],
        ),
        (vec![], heads, vec!["--num-heads 3", "args.model_kwargs.num_heads"]),
        (vec![], arch("deit_tiny_patch16_224"), vec!["--arch", "args.model"]),
        (
            vec![("model_kwargs.num_heads", json!(6))],
            arch("vit_tiny_patch16_224"),
            vec!["--arch", "num_heads"],
        ),
    ];
    for (changes, options, words) in cases {
        match plan_records(&[("args", with(&changes))], options) {
            Err(error) => {
                assert!(words.iter().all(|word| error.contains(word)), "{changes:?}: {error}");
            }
            Ok(_) => panic!("{changes:?} is accepted"),
        }
    }
}

#[test]
fn preprocessing_may_be_overridden_and_both_are_said() {
    let options = FactOptions { crop_mode: Some(CropMode::Squash), ..options() };
    let prepared = plan_records(&[("args", with(&[]))], options).unwrap();
    let from = "--mean; the source says [0.1, 0.2, 0.3] (the training arguments: args.mean)";
    assert_eq!(fact(&prepared, "mean"), ("[0.5, 0.5, 0.5]".to_owned(), from.to_owned()));
    let from = "--crop-mode; the source says center (timm's registry: vit_tiny_patch16_224.augreg_in21k_ft_in1k, timm's default for \
                vit_tiny_patch16_224 in all its versions)";
    assert_eq!(fact(&prepared, "crop_mode").1, from);
    let mean = serde_json::to_value(prepared.model.facts.get("mean").unwrap()).unwrap();
    assert_eq!(mean["overridden"]["value"], "[0.1, 0.2, 0.3]");
}

#[test]
fn arguments_of_torchvisions_reference() {
    let heads = FactOptions { num_heads: Some(vec![2]), ..FactOptions::default() };
    for (interpolation, shown) in [(json!("bicubic"), "bicubic"), (Value::Null, "bilinear")] {
        let args = json!({
            "model": "vit_b_16", "val_resize_size": 13, "val_crop_size": 8, "train_crop_size": 12, "interpolation": interpolation,
        });
        let prepared = plan_records(&[("args", args)], heads.clone()).unwrap();
        let from = "torchvision's presets.py";
        assert_eq!(fact(&prepared, "interpolation"), (shown.to_owned(), from.to_owned()));
        // 8 / 0.6 is 13, rounded down.
        assert_eq!(fact(&prepared, "crop_pct"), ("0.6".to_owned(), from.to_owned()));
        assert_eq!(fact(&prepared, "img_size").0, "8x8");
        assert_eq!(prepared.model.unread_arguments, ["args.model", "args.train_crop_size"]);
    }
}

#[test]
fn arguments_of_deit_and_mae() {
    let deit = json!({
        "model": "deit_tiny_patch16_224", "nb_classes": 5, "input_size": 8, "repeated_aug": true, "eval_crop_ratio": 1.0,
    });
    let prepared = plan_records(&[("args", deit)], options()).unwrap();
    // Not what its weights are: the name is not believed, and listed.
    assert!(prepared.model.facts.get("architecture").is_none());
    assert!(prepared.model.unread_arguments.contains(&"args.model".to_owned()));
    let mae = |pooled: bool, classes: u64| {
        json!({
            "model": "vit_base_patch16", "nb_classes": classes, "input_size": 8, "global_pool": pooled, "accum_iter": 1,
        })
    };
    let four = FactOptions { num_heads: Some(vec![2]), ..FactOptions::default() };
    let prepared = plan_records(&[("args", mae(false, 5))], four.clone()).unwrap();
    assert_eq!(fact(&prepared, "global_pool").1, "the training arguments: args.global_pool");
    let from = "MAE's util/datasets.py";
    assert_eq!(fact(&prepared, "mean"), ("[0.485, 0.456, 0.406]".to_owned(), from.to_owned()));
    assert_eq!(fact(&prepared, "crop_pct"), ("0.875".to_owned(), from.to_owned()));
    let refused = |args: Value| plan_records(&[("args", args)], four.clone()).err().expect("it is refused");
    assert!(refused(mae(true, 5)).contains("args.global_pool"));
    assert!(refused(mae(false, 6)).contains("args.nb_classes"));
}

#[test]
fn hyper_parameters_are_read_by_the_usual_names() {
    let parameters = |heads: u64| {
        json!({
            "model_name": "vit_tiny_patch16_224", "num_classes": 9, "num_heads": heads, "depth": 4, "lr": 0.1,
            "class_names": ["a", "b", "c", "d", "e"], "mean": [0.3], "timm_kwargs": { "norm_layer": "layernorm" },
            "optimizer": { "name": "adam", "eps": 1e-8 }, "gp": "", "width": null,
        })
    };
    let facts = FactOptions { mean: None, num_heads: None, ..options() };
    let prepared = plan_records(&[("hyper_parameters", parameters(3))], facts.clone()).unwrap();
    let argument = |name: &str| format!("the training arguments: hyper_parameters.{name}");
    assert_eq!(fact(&prepared, "num_heads"), ("3".to_owned(), argument("num_heads")));
    assert_eq!(fact(&prepared, "norm_eps"), ("1e-6".to_owned(), argument("timm_kwargs.norm_layer")));
    assert_eq!(fact(&prepared, "mean"), ("[0.3, 0.3, 0.3]".to_owned(), argument("mean")));
    assert_eq!(fact(&prepared, "labels"), ("5 names".to_owned(), argument("class_names")));
    assert_eq!(prepared.model.labels.as_ref().unwrap().value, ["a", "b", "c", "d", "e"]);
    // What is about another network, or about none, is listed.
    let unread: Vec<&str> = prepared
        .model
        .unread_arguments
        .iter()
        .filter_map(|path| path.strip_prefix("hyper_parameters."))
        .collect();
    for path in ["depth", "lr", "model_name", "num_classes", "optimizer.eps", "optimizer.name"] {
        assert!(unread.contains(&path), "{path}: {unread:?}");
    }
    for path in ["class_names", "mean", "num_heads", "timm_kwargs.norm_layer", "width"] {
        assert!(!unread.contains(&path), "{path}: {unread:?}");
    }
    let error = plan_records(&[("hyper_parameters", parameters(6))], options()).err().unwrap();
    assert!(error.contains("--num-heads 2") && error.contains("hyper_parameters.num_heads"), "{error}");
}

#[test]
fn class_names_as_programs_record_them() {
    let names = json!(["a", "b", "c", "d", "e"]);
    let by_name = json!({ "b": 1, "a": 0, "e": 4, "d": 3, "c": 2 });
    let by_number = json!({ "0": "a", "1": "b", "2": "c", "3": "d", "4": "e" });
    let cases = [
        ("meta", json!({ "dataset_meta": { "classes": names } }), "meta.dataset_meta.classes"),
        ("meta", json!({ "CLASSES": names }), "meta.CLASSES"),
        ("args", json!({ "class_names": names }), "args.class_names"),
        ("class_to_idx", by_name, "class_to_idx"),
        ("config", json!({ "id2label": by_number }), "config.id2label"),
    ];
    for (key, value, path) in cases {
        let prepared = plan_records(&[(key, value)], options()).unwrap();
        let (_, from) = fact(&prepared, "labels");
        assert!(from.ends_with(&format!(": {path}")), "{path}: {from}");
        assert_eq!(prepared.model.labels.unwrap().value, ["a", "b", "c", "d", "e"], "{path}");
    }
    for wrong in [json!({ "a": 0, "b": 0, "c": 1, "d": 2, "e": 3 }), json!({ "a": 0 })] {
        let error = plan_records(&[("class_to_idx", wrong.clone())], options()).err().expect("it is refused");
        assert!(error.contains("class_to_idx in the checkpoint"), "{wrong}: {error}");
        let chosen = FactOptions { labels: Some(LabelChoice::None), ..options() };
        assert!(plan_records(&[("class_to_idx", wrong)], chosen).is_ok());
    }
}

/// A hub folder of `test_vit`, timm's smallest ViT, whose config is changed.
fn hub_folder(folder: &Path, changes: &[(&str, Value)], records: &[(&str, Value)]) {
    let network = json!({
        "img_size": [160, 160], "patch_size": [16, 16], "in_chans": 3, "num_classes": 5, "embed_dim": 64, "depth": 6,
        "num_heads": 2, "mlp_dim": 192, "qkv_bias": true, "layer_scale": false, "no_embed_class": false,
        "pre_norm": false, "act_layer": "gelu", "norm_eps": 1e-6,
    });
    save_network(&folder.join("model.safetensors"), &network, records);
    let mut config = json!({
        "architecture": "test_vit", "num_classes": 5, "global_pool": "token",
        "pretrained_cfg": {
            "tag": "r160_in1k", "input_size": [3, 160, 160], "fixed_input_size": true, "interpolation": "bicubic",
            "crop_pct": 0.95, "crop_mode": "center", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
        },
    });
    for (path, value) in changes {
        match config.pointer_mut(path) {
            Some(place) => *place = value.clone(),
            None => config[path.trim_start_matches('/')] = value.clone(),
        }
    }
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn an_arch_does_not_override_the_config_next_to_the_weights() {
    let arch = |name: &str| FactOptions { arch: Some(name.to_owned()), ..FactOptions::default() };
    let same = || arch("test_vit");
    let none = FactOptions::default;
    let model_args = |key: &str, value: Value| {
        let mut arguments = Map::new();
        arguments.insert(key.to_owned(), value);
        ("/model_args", Value::Object(arguments))
    };
    let cases: Vec<(Change, FactOptions, Vec<&str>)> = vec![
        (("/global_pool", json!("avg")), same(), vec!["--arch test_vit", "global_pool"]),
        (
            model_args("num_heads", json!(4)),
            same(),
            vec!["--arch test_vit", "num_heads", "model_args.num_heads"],
        ),
        (
            model_args("act_layer", json!("quick_gelu")),
            same(),
            vec!["--arch test_vit", "model_args.act_layer"],
        ),
        (("/architecture", json!("test_vit2")), same(), vec!["--arch test_vit", "test_vit2", "architecture"]),
        (("/num_classes", json!(6)), none(), vec!["num_classes is 6", "config.json: num_classes"]),
        (
            ("/pretrained_cfg/input_size", json!([3, 192, 192])),
            none(),
            vec!["img_size", "pretrained_cfg.input_size"],
        ),
        (
            ("/pretrained_cfg/input_size", json!([1, 160, 160])),
            none(),
            vec!["in_chans", "pretrained_cfg.input_size"],
        ),
        (("/pretrained_cfg/mean", json!("x")), none(), vec!["pretrained_cfg.mean"]),
        (model_args("class_token", json!(false)), none(), vec!["class_token", "model_args.class_token"]),
        (model_args("reg_tokens", json!(-1)), none(), vec!["model_args.reg_tokens"]),
        (model_args("num_heads", json!(3)), none(), vec!["3 heads", "model_args.num_heads"]),
        (model_args("init_values", json!("1e-5")), none(), vec!["model_args.init_values"]),
        (model_args("pos_embed", json!("rope")), none(), vec!["model_args.pos_embed"]),
        (model_args("weight_init", json!("mine")), none(), vec!["model_args.weight_init"]),
        (model_args("kernel_size", json!(3)), none(), vec!["takes no argument `kernel_size`"]),
        (model_args("strict_img_size", json!(true)), none(), vec!["takes no argument `strict_img_size`"]),
        (model_args("img_size", json!(192)), none(), vec!["img_size", "model_args.img_size"]),
        (model_args("features_only", json!(true)), none(), vec!["features_only"]),
    ];
    for (change, options, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        hub_folder(folder.path(), std::slice::from_ref(&change), &[]);
        match plan(folder.path(), options) {
            Err(error) => assert!(words.iter().all(|word| error.contains(word)), "{change:?}: {error}"),
            Ok(_) => panic!("{change:?} is accepted"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    hub_folder(folder.path(), &[model_args("drop_path_rate", json!(0.1))], &[]);
    for path in [folder.path().to_owned(), folder.path().join("model.safetensors")] {
        for options in [none(), same(), arch("test_vit.r160_in1k")] {
            let prepared = plan(&path, options).unwrap();
            assert_eq!(fact(&prepared, "architecture").1, "config.json: architecture");
        }
    }
}

#[test]
fn a_config_and_training_arguments_must_agree() {
    let folder = tempfile::tempdir().unwrap();
    let args = json!({ "model": "test_vit", "gp": null, "mean": [0.1, 0.2, 0.3], "num_classes": 5 });
    hub_folder(folder.path(), &[], &[("args", args)]);
    let error = plan(folder.path(), FactOptions::default()).err().unwrap();
    assert!(error.contains("args.mean") && error.contains("config.json: pretrained_cfg"), "{error}");
    let decided = FactOptions { mean: Some([0.1, 0.2, 0.3]), ..FactOptions::default() };
    let prepared = plan(folder.path(), decided).unwrap();
    let from = "--mean; the source says [0.5, 0.5, 0.5] (config.json: pretrained_cfg)";
    assert_eq!(fact(&prepared, "mean").1, from);

    let args = json!({ "model": "vit_tiny_patch16_224", "gp": null, "model_kwargs": { "num_heads": 4 } });
    hub_folder(folder.path(), &[("/model_args", json!({ "num_heads": 2 }))], &[("args", args)]);
    let error = plan(folder.path(), FactOptions::default()).err().unwrap();
    assert!(
        error.contains("args.model_kwargs.num_heads") && error.contains("model_args.num_heads"),
        "{error}"
    );
}

#[test]
fn checkpoints_that_train_py_wrote() {
    let open = |name: &str, facts| plan(&golden::path(&format!("training/{name}.pth.tar")), facts);
    let prepared = open("preprocessing", FactOptions::default()).unwrap();
    assert_eq!(
        fact(&prepared, "mean"),
        ("[0.1, 0.2, 0.3]".to_owned(), "the training arguments: args.mean".to_owned())
    );
    assert_eq!(fact(&prepared, "num_heads").0, "2");
    let unread = &prepared.model.unread_arguments;
    assert!(
        unread.contains(&"args.lr_base".to_owned()) && !unread.contains(&"args.gp".to_owned()),
        "{unread:?}"
    );
    let prepared = open("default_preprocessing", FactOptions::default()).unwrap();
    assert_eq!(fact(&prepared, "mean").0, "[0.5, 0.5, 0.5]");
    assert_eq!(fact(&prepared, "crop_pct").0, "0.9");
    let prepared = open("quick_gelu", FactOptions::default()).unwrap();
    assert_eq!(
        (fact(&prepared, "act_layer").0, fact(&prepared, "num_heads").0),
        ("quick_gelu".to_owned(), "6".to_owned())
    );
    assert_eq!(fact(&prepared, "std").0, "[0.2, 0.2, 0.2]");
    assert!(open("average", FactOptions::default()).err().unwrap().contains("args.gp"));
}
