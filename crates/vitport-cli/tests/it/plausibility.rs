//! What no network was trained with is refused or asked about, and a head that tells nothing apart is warned of everywhere.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use vitport_checkpoint::{Checkpoint, Limits};

use crate::support::{example, vitport};

/// Networks of every family of timm's, as hub folders.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vitport/tests/data");

/// A model of ImageNet-21k as the JAX release has it: a head of nothing but zeros.
const ZERO_HEAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/npz_in21k_zero_head.npz");
const FACTS: [&str; 10] = [
    "--num-heads",
    "3",
    "--mean",
    "0.485,0.456,0.406",
    "--std",
    "0.229,0.224,0.225",
    "--interpolation",
    "bicubic",
    "--crop-pct",
    "1.0",
];

#[test]
fn options_that_no_network_was_trained_with_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    for (option, says) in [
        ("--mean=123,117,104", "a mean is from 0 to 1; on a 0 to 1 scale: 0.482,0.459,0.408"),
        ("--mean=-0.5", "a mean is from 0 to 1"),
        ("--std=0", "a standard deviation is above 0 and at most 1"),
        ("--std=0.2,-0.2,0.2", "a standard deviation is above 0 and at most 1"),
        ("--std=58,57,57", "on a 0 to 1 scale: 0.227,0.224,0.224"),
        ("--crop-pct=0", "a crop fraction is from 0.25 to 1.25"),
        ("--crop-pct=3", "a crop fraction is from 0.25 to 1.25"),
        ("--crop-pct=87.5", "of a whole, not in per cent: 0.875"),
    ] {
        for command in ["plan", "convert"] {
            let output = vitport(&[command, source.to_str().unwrap(), option], folder.path());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{option}: {stderr}");
            assert!(stderr.starts_with("error: ") && stderr.contains(says), "{option}: {stderr}");
        }
    }
}

#[test]
fn a_config_that_no_network_was_trained_with_is_asked_about() {
    for (key, value, option, right) in [
        ("mean", json!([123, 117, 104]), "--mean", "0.482,0.459,0.408"),
        ("std", json!([0, 0.5, 0.5]), "--std", "0.5"),
        ("std", json!([58, 57, 57]), "--std", "0.227,0.224,0.224"),
        ("crop_pct", json!(0), "--crop-pct", "0.9"),
        ("crop_pct", json!(3), "--crop-pct", "0.9"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Value =
            serde_json::from_slice(&fs::read(example("vit_small_twin").join("config.json")).unwrap())
                .unwrap();
        config["pretrained_cfg"][key] = value.clone();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let weights = "model.safetensors";
        fs::copy(example("vit_small_twin").join(weights), folder.path().join(weights)).unwrap();
        let output = vitport(&["plan", ".", "--json"], folder.path());
        assert_eq!(output.status.code(), Some(4), "{key} {value}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&document["kind"], &document["questions"][0]["fact"]), (&"question".into(), &key.into()));
        let message = document["message"].as_str().unwrap();
        let begins = format!("no network was trained with a {key} of ");
        assert!(message.starts_with(&begins) && message.contains("config.json: pretrained_cfg"), "{message}");
        assert!(message.contains(&format!("give {option}")), "{message}");
        if value != json!([0, 0.5, 0.5]) && key != "crop_pct" {
            assert!(message.contains(&format!("give {option} {right}, or")), "{message}");
        }
        let answered = vitport(&["plan", ".", option, right], folder.path());
        assert!(answered.status.success(), "{}", String::from_utf8_lossy(&answered.stderr));
    }
}

/// Each of these was tried with timm 1.0.31, whose `create_model` raises, or with a negative number makes another classifier.
#[test]
fn a_config_that_timm_fails_on_is_refused() {
    for (path, value, says) in [
        ("/model_args/pretrained", json!(true), "timm takes this from its caller alone"),
        ("/model_args/pretrained_cfg", json!({ "x": 1 }), "timm takes this from its caller alone"),
        ("/model_args/checkpoint_path", json!("x"), "timm takes this from its caller alone"),
        ("/model_args/cache_dir", json!("x"), "timm takes this from its caller alone"),
        ("/model_args/scriptable", json!(true), "timm takes this from its caller alone"),
        ("/model_args/in_chans", json!(null), "do not take null"),
        ("/model_args/num_classes", json!(null), "do not take null"),
        ("/model_args/global_pool", json!(null), "do not take null"),
        (
            "/model_args/qkv_bias",
            json!(null),
            "qkv_bias is no according to config.json: model_args.qkv_bias, but yes",
        ),
        ("/model_args/img_size", json!(null), "do not take null"),
        ("/model_args/device", json!("meta"), "timm's VisionTransformer does not take \"meta\""),
        ("/architecture", json!("timm/vit_tiny_patch16_224"), "no name of timm's has a slash"),
        ("/model_args/bogus", json!(1), "takes no argument `bogus`"),
        ("/pretrained_cfg", json!(null), "its `pretrained_cfg` is null"),
        ("/pretrained_cfg/bogus", json!(1), "timm takes no `bogus` in `pretrained_cfg`"),
        ("/pretrained_cfg/label_offset", json!(1), "its `label_offset` is 1: timm leaves out"),
        ("/pretrained_cfg/label_offset", json!("1"), "its `label_offset` is \"1\": timm leaves out"),
        ("/pretrained_cfg/input_size", json!(null), "its `input_size` is null"),
        ("/model_args", json!(null), "its `model_args` is null"),
        ("/num_classes", json!(null), "its `num_classes` is null"),
        ("/num_classes", json!(-1), "its `num_classes` is -1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Value =
            serde_json::from_slice(&fs::read(example("vit_small_twin").join("config.json")).unwrap())
                .unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value.clone();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let weights = "model.safetensors";
        fs::copy(example("vit_small_twin").join(weights), folder.path().join(weights)).unwrap();
        let output = vitport(&["plan", "."], folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = if path.ends_with("qkv_bias") { 4 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{path} {value}: {stderr}");
        assert!(stderr.contains(says), "{path} {value}: {stderr}");
    }
}

/// Copies a hub folder with other values in its config, and plans its conversion. Returns how it exits, and its error.
fn plan_with(source: &Path, changes: &[(&str, Value)], options: &[&str]) -> (Option<i32>, String) {
    let output = plan_output(source, changes, options);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The document of a plan, and what was said next to it.
fn planned(source: &Path, changes: &[(&str, Value)], options: &[&str]) -> (Value, String) {
    let output = plan_output(source, changes, options);
    let said = String::from_utf8(output.stderr).unwrap();
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

fn plan_output(source: &Path, changes: &[(&str, Value)], options: &[&str]) -> std::process::Output {
    let folder = tempfile::tempdir().unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(source.join("config.json")).unwrap()).unwrap();
    for (path, value) in changes {
        let (parent, key) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = "model.safetensors";
    fs::copy(source.join(weights), folder.path().join(weights)).unwrap();
    vitport(&[&["plan", "."], options].concat(), folder.path())
}

/// Each of these was tried with timm 1.0.31: a code of 0 where it opens the folder and runs it, another where it raises.
#[test]
fn arguments_that_timm_fails_on_are_refused_in_every_family() {
    let class = "but a class, which no config.json holds";
    let cases = [
        ("beit/plain", "norm_layer", json!("layernorm"), 3, class),
        ("eva/eva01", "norm_layer", json!("layernorm"), 3, class),
        ("eva/dinov3", "norm_layer", json!("layernormfp32"), 3, class),
        ("relpos/patches", "norm_layer", json!("layernorm"), 3, class),
        ("relpos/patches", "act_layer", json!("gelu"), 3, class),
        ("swin/plain", "norm_layer", json!("layernorm"), 3, class),
        ("swinv2/plain", "norm_layer", json!("layernorm"), 3, class),
        ("efficientnet/same", "norm_layer", json!("batchnorm2d"), 3, class),
        ("efficientnet/same", "block_args", json!(null), 7, "block_args null"),
        ("clip/tower", "norm_layer", json!("layernorm2d"), 7, "norm_layer layernorm2d"),
        ("clip/tower", "norm_layer", json!("layernormfp32"), 0, ""),
        ("timm_encoders/registers_gap", "fc_norm", json!(null), 7, "cannot be converted"),
        ("timm_encoders/aimv2", "fc_norm", json!(null), 7, "an AIMv2 with `fc_norm=True`"),
        ("timm_encoders/fc_norm", "fc_norm", json!(null), 0, ""),
        ("relpos/patches", "fc_norm", json!(null), 4, "fc_norm is no according to"),
        ("relpos/shared", "fc_norm", json!(null), 0, ""),
        ("eva/dinov3", "use_fc_norm", json!(null), 4, "fc_norm is yes according to"),
        ("eva/gated", "use_fc_norm", json!(null), 0, ""),
        ("eva/eva01", "use_fc_norm", json!(null), 0, ""),
        ("beit/plain", "use_fc_norm", json!(null), 0, ""),
        ("beit/plain", "init_values", json!(0), 4, "layer_scale is no according to"),
        ("timm_encoders/intern", "init_values", json!(0), 4, "layer_scale is no according to"),
        ("relpos/patches", "init_values", json!(0), 4, "layer_scale is no according to"),
        ("eva/dinov3", "init_values", json!(0), 0, ""),
        ("swin/plain", "img_size", json!(null), 3, "do not take null"),
        ("beit/plain", "img_size", json!(null), 3, "do not take null"),
        ("relpos/patches", "rel_pos_dim", json!(null), 4, "rel_pos_dim is 128 according to"),
        ("eva/gated", "swiglu_align_to", json!(0), 4, "mlp_dim is 53 according to"),
        ("eva/gated", "swiglu_align_to", json!(8), 0, ""),
        ("eva/dinov3", "rope_jitter_coords", json!(0.5), 3, "0.5 is not what timm's Eva takes"),
        ("eva/gated", "rope_rescale_coords", json!(0.5), 3, "0.5 is not what timm's Eva takes"),
        ("eva/gated", "rope_rescale_coords", json!(1.5), 0, ""),
        ("residual/resnet_basic_base", "out_indices", json!([0, 1]), 3, "takes no argument `out_indices`"),
        ("residual/regnet_y", "out_indices", json!(null), 3, "takes no argument `out_indices`"),
        ("convnext/plain", "out_indices", json!([0, 1]), 3, "takes no argument `out_indices`"),
        ("efficientnet/same", "out_indices", json!([0, 1]), 3, "takes no argument `out_indices`"),
        ("swin/plain", "out_indices", json!([0, 1]), 0, ""),
        ("convnext/plain", "device", json!("meta"), 3, "does not take \"meta\""),
        ("convnext/plain", "device", json!("cpu"), 0, ""),
    ];
    let mut wrong = Vec::new();
    for (source, argument, value, code, says) in cases {
        let path = format!("/model_args/{argument}");
        let (exit, said) = plan_with(&Path::new(DATA).join(source), &[(&path, value.clone())], &[]);
        if exit != Some(code) || !said.contains(says) {
            wrong.push(format!("{source} {argument} {value}: {exit:?} {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// timm's functions of lite networks give one argument more than those of the others.
#[test]
fn arguments_that_timms_functions_give_themselves_are_refused() {
    let given = "themselves and fail where it is given once more";
    for (source, argument, is_refused) in
        [("lite_base", "fix_stem", true), ("same", "fix_stem", false), ("same", "stem_size", true)]
    {
        let source = Path::new(DATA).join("efficientnet").join(source);
        let (exit, said) = plan_with(&source, &[("/model_args", json!({ argument: 8 }))], &[]);
        let is_it = exit == Some(3) && said.contains(given);
        assert_eq!(is_it, is_refused, "{} {argument}: {said}", source.display());
    }
}

/// Without `pretrained_cfg` timm takes the config for it.
#[test]
fn a_flat_config_has_the_keys_of_pretrained_cfg_alone() {
    let source = example("vit_small_twin");
    let folder = tempfile::tempdir().unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(source.join("config.json")).unwrap()).unwrap();
    let mut flat = config["pretrained_cfg"].take();
    flat["architecture"] = config["architecture"].take();
    flat["num_features"] = json!(48);
    for (key, value) in [("global_pool", json!("token")), ("model_args", config["model_args"].take())] {
        let mut with = flat.clone();
        with[key] = value;
        fs::write(folder.path().join("config.json"), with.to_string()).unwrap();
        fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
        let output = vitport(&["plan", "."], folder.path());
        let said = String::from_utf8(output.stderr).unwrap();
        let says = format!("timm takes no `{key}` in a config without `pretrained_cfg`");
        assert!(output.status.code() == Some(3) && said.contains(&says), "{said}");
    }
}

/// timm's transform makes images of `input_size`. Networks that take all sizes resample their positions for them, which is a
/// contradiction; those that compute positions take them as they are; the others refuse them, so only their own size can be meant.
/// Tried with timm 1.0.31.
#[test]
fn images_of_another_size_than_the_networks_are_judged_by_what_timm_does_with_them() {
    let twin = example("vit_small_twin");
    let of = |name: &str| Path::new(DATA).join(name);
    let dynamic = Some(("/model_args/dynamic_img_size", json!(true)));
    let lax = Some(("/model_args/strict_img_size", json!(false)));
    let unfixed = Some(("/pretrained_cfg/fixed_input_size", json!(false)));
    let changes = |edge: u64, more: Option<(&'static str, Value)>| -> Vec<(&str, Value)> {
        let changes = [("/pretrained_cfg/input_size", json!([3, edge, edge]))];
        changes.into_iter().chain(more).collect()
    };
    for (source, edge, more, own) in [
        (twin.clone(), 160, dynamic.clone(), 80),
        (of("swin/plain"), 128, lax.clone(), 64),
        (of("swinv2/plain"), 128, lax, 64),
        (of("swinv2/plain"), 128, dynamic, 64),
    ] {
        let changes = changes(edge, more);
        let (exit, said) = plan_with(&source, &changes, &[]);
        assert_eq!(exit, Some(4), "{}: {said}", source.display());
        let says = format!("{edge}x{edge} according to config.json: pretrained_cfg.input_size");
        assert!(said.contains(&says) && said.contains(&format!("{own}x{own} according to")), "{said}");
        for answer in
            [["--image-size".to_owned(), own.to_string()], ["--resample-to".to_owned(), edge.to_string()]]
        {
            let (exit, said) = plan_with(&source, &changes, &answer.each_ref().map(String::as_str));
            assert_eq!(exit, Some(0), "{} {answer:?}: {said}", source.display());
        }
    }
    let left_input = "config.json: pretrained_cfg.input_size";
    for (source, edge, more, size, left) in [
        (twin, 160, unfixed.clone(), 80, left_input),
        (of("swin/plain"), 128, unfixed.clone(), 64, left_input),
        (of("relpos/patches"), 40, unfixed, 20, left_input),
        (of("beit/plain"), 35, None, 20, left_input),
        (of("eva/eva01_clip"), 40, None, 20, left_input),
        (of("eva/dinov3"), 40, None, 40, "config.json: model_args.img_size"),
        (of("eva/gated"), 40, None, 40, "config.json: model_args.img_size"),
    ] {
        let (document, said) = planned(&source, &changes(edge, more), &["--json"]);
        assert_eq!(document["unread_arguments"], json!([left]), "{}: {said}", source.display());
        let facts = document["facts"].as_array().unwrap();
        let of_size = facts.iter().find(|fact| fact["name"] == "img_size").unwrap();
        assert_eq!(of_size["value"], json!(format!("{size}x{size}")), "{}: {said}", source.display());
    }
    let size = [("/pretrained_cfg/input_size", json!([3, 128, 128]))];
    // timm takes the argument for both where the size is fixed.
    assert_eq!(plan_with(&of("swin/plain"), &size, &[]).0, Some(0));
    // Networks of convolutions take images of any size.
    assert_eq!(plan_with(&of("convnext/plain"), &size, &[]).0, Some(0));
}

/// Converts; returns the warnings in the document, after checking that terminal, page and card say the same.
fn warnings(source: &str, options: &[&str], folder: &Path) -> Vec<String> {
    let convert = [&["convert", source, "-o", "out", "--force"], options].concat();
    let output = vitport(&[&convert[..], &["--json", "--report", "page.html"]].concat(), folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["warnings"], document["report"]["warnings"]);
    let warnings: Vec<String> = serde_json::from_value(document["warnings"].clone()).unwrap();
    let page = fs::read_to_string(folder.join("page.html")).unwrap();
    let card = fs::read_to_string(folder.join("out/README.md")).unwrap();
    let terminal = |more: &[&str]| {
        let output = vitport(&[&convert[..], more].concat(), folder);
        String::from_utf8(output.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let unverified = terminal(&["--no-verify"]);
    let unverified_card = fs::read_to_string(folder.join("out/README.md")).unwrap();
    let told = [page, card, terminal(&[]), unverified, unverified_card];
    for text in &told {
        assert!(warnings.iter().all(|warning| text.contains(warning)), "{warnings:?}: {text}");
        assert_eq!(text.contains("the head tells no classes apart"), !warnings.is_empty(), "{text}");
    }
    warnings
}

#[test]
fn a_head_of_zeros_is_warned_of_and_no_head_leaves_it_out() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        warnings(ZERO_HEAD, &FACTS, folder.path()),
        [
            "the head tells no classes apart: classifier.weight holds nothing but zeros, so that every image gets the same \
             probabilities; --no-head leaves it out"
        ]
    );
    assert!(warnings(ZERO_HEAD, &[&FACTS[..], &["--no-head"]].concat(), folder.path()).is_empty());
}

#[test]
fn a_head_whose_rows_are_alike_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(example("vit_small_twin").join(name), source.join(name)).unwrap();
    }
    assert!(warnings(source.to_str().unwrap(), &[], folder.path()).is_empty());
    let file = source.join("model.safetensors");
    let checkpoint = Checkpoint::open(&file, &Limits::default()).unwrap();
    let head = checkpoint.tensor("head.weight").unwrap();
    let (_, at) = checkpoint.plain_bytes(head).unwrap();
    let (at, row) = (usize::try_from(at).unwrap(), usize::try_from(head.shape[1] * 4).unwrap());
    let mut bytes = fs::read(&file).unwrap();
    let first = bytes[at..at + row].to_vec();
    for class in 1..usize::try_from(head.shape[0]).unwrap() {
        bytes[at + class * row..at + (class + 1) * row].copy_from_slice(&first);
    }
    fs::write(&file, bytes).unwrap();
    let told = warnings(source.to_str().unwrap(), &[], folder.path());
    assert!(told.len() == 1 && told[0].contains("has the same numbers in each row"), "{told:?}");
}
