//! Tests the way back of folders that say what others than vitport say: values that a framework's network cannot have, each of which is
//! simulated on its own, keys that decide nothing, and processors that no conversion writes.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::facts::FactError;
use vitport::options::FactOptions;
use vitport::pipeline::{
    Acceptance, BackRequest, ConvertBackRequest, ConvertError, ConvertedBack, Request, WriteOptions,
    convert_back, plan, plan_back, write,
};
use vitport::source::Source;
use vitport::verify::{CROP_ROUNDING, TestImage, Verdict, VerifyError};
use vitport_checkpoint::Limits;

use crate::{golden, mapping_lint};

/// What the tests fail with.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Converts a file, and returns the folder.
fn folder_of(source: &Path, request: &Request, parent: &Path) -> PathBuf {
    let prepared = plan(Source::open(source, None, &Limits::default()).unwrap(), request).unwrap();
    let options = WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
    let out = parent.join("folder");
    write(&prepared, &out, options, &|_| {}).unwrap().staging.publish().unwrap();
    out
}

fn folder(fixture: &str, parent: &Path) -> PathBuf {
    folder_of(&golden::path(fixture), &Request::default(), parent)
}

/// Makes the folder of a file of torchvision's.
fn of_torchvision(fixture: &str, name: &str, head: bool, parent: &Path) -> PathBuf {
    let facts = FactOptions {
        like: Some(format!("torchvision/{name}")),
        image_size: Some([64, 64]),
        without_head: !head,
        ..FactOptions::default()
    };
    let request = Request { facts, ..Request::default() };
    folder_of(&golden::path(&format!("torchvision/{fixture}.pth")), &request, parent)
}

/// Changes keys of a document of the folder; null removes one.
fn say(folder: &Path, file: &str, changes: &Value) {
    let path = folder.join(file);
    let mut document: Map<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        document.insert(key.clone(), value.clone());
    }
    document.retain(|_, value| !value.is_null());
    std::fs::write(path, Value::Object(document).to_string()).unwrap();
}

fn to(framework: &str) -> BackRequest {
    BackRequest { framework: framework.to_owned(), ..BackRequest::default() }
}

fn back_with_force(folder: &Path, framework: &str, force: bool) -> ConvertedBack {
    let image = TestImage::built_in().unwrap();
    let out = folder.with_file_name("back");
    let wanted = ConvertBackRequest {
        out: &out,
        force,
        fsync: false,
        image: Some(&image),
        acceptance: Acceptance::default(),
        keep_anyway: false,
        run: None,
    };
    let prepared = plan_back(folder, &to(framework)).unwrap_or_else(|error| panic!("{error}"));
    let back = convert_back::<Failed>(prepared, wanted, &|_| {}, &|_| Ok(())).unwrap();
    let reasons = &back.report.as_ref().unwrap().reasons;
    assert!(back.is_published, "{framework}: {:?}, {reasons:?}", back.accepted);
    back
}

fn back(folder: &Path, framework: &str) -> ConvertedBack {
    back_with_force(folder, framework, false)
}

/// Returns the names of the deviations but for how crops are rounded, sorted, after checking that they are all that differs.
fn deviations(back: &ConvertedBack) -> Vec<String> {
    let report = back.report.as_ref().unwrap();
    let Some(known) = report.known_deviation.as_ref() else {
        assert_eq!(report.verdict, Verdict::Same);
        return Vec::new();
    };
    assert_eq!(report.verdict, Verdict::SameWithKnownDeviation);
    assert!(known.without_it.iter().all(|place| place.agrees));
    let names = known.each.iter().map(|known| known.name.clone());
    let mut names: Vec<String> = names.filter(|name| name != CROP_ROUNDING).collect();
    names.sort();
    names
}

fn refusal(folder: &Path, framework: &str) -> [String; 4] {
    match plan_back(folder, &to(framework)).err().unwrap() {
        ConvertError::Facts(FactError::NoTarget { what, why, tensor, instead }) => {
            [what, why, tensor.unwrap_or_default(), instead]
        }
        error => panic!("{error}"),
    }
}

#[test]
fn two_deviations_at_once_are_both_named() {
    let parent = tempfile::tempdir().unwrap();
    let request = mapping_lint::request(&[2], [16, 16], false);
    let folder = folder_of(&golden::path("vit/jax_classifier.npz"), &request, parent.path());
    say(&folder, "config.json", &json!({ "layer_norm_eps": 1e-3, "hidden_act": "gelu" }));
    let back = back(&folder, "jax");
    assert_eq!(deviations(&back), ["jax-eps", "jax-gelu"]);
    // Each of them does something, so leaving one out of what is simulated would be seen.
    let report = back.report.as_ref().unwrap();
    assert!(report.layers.iter().any(|place| !place.agrees));
}

#[test]
fn a_swin_s_other_epsilon_is_that_of_some_norms_alone() {
    for fixture in ["swin/plain", "swinv2/plain"] {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(fixture, parent.path());
        say(&folder, "config.json", &json!({ "layer_norm_eps": 0.01 }));
        let back = back(&folder, "timm");
        assert_eq!(deviations(&back), ["timm-eps"], "{fixture}");
        let report = back.report.as_ref().unwrap();
        let named = &report.known_deviation.as_ref().unwrap().each[0];
        assert!(named.remedy.contains("the blocks' norms and of the last"), "{}", named.remedy);
        let place = |name: &str| report.layers.iter().find(|place| place.place == name).unwrap();
        assert!(place("embeddings").agrees && !place("norm").agrees, "{fixture}");
    }
}

#[test]
fn a_mask_token_is_left_out_by_name() {
    for (fixture, prefix) in [("eva/dinov3", ""), ("beit/plain", "beit.")] {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(fixture, parent.path());
        say(&folder, "config.json", &json!({ "use_mask_token": true }));
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut data: Vec<(String, TensorView<'_>)> = file.tensors();
        let [class, mask] = ["cls", "mask"].map(|kind| format!("{prefix}embeddings.{kind}_token"));
        let token = file.tensor(&class).unwrap();
        let ones: Vec<u8> = token.data().chunks(4).flat_map(|_| 1.0_f32.to_le_bytes()).collect();
        let ones = TensorView::new(token.dtype(), token.shape().to_vec(), &ones).unwrap();
        data.retain(|(name, _)| *name != mask);
        data.push((mask.clone(), ones));
        serialize_to_file(data, Some([("format".to_owned(), "pt".to_owned())].into()), &path).unwrap();
        let back = back(&folder, "timm");
        assert!(deviations(&back).is_empty(), "{fixture}");
        let left_out: Vec<&str> = back.prepared.left_out.iter().map(|lost| &*lost.name).collect();
        assert_eq!(left_out, [mask], "{fixture}");
    }
}

#[test]
fn keys_that_decide_nothing_of_the_network_go_back() {
    let gated = ["timm_encoders/dinov2_giant", "timm_encoders/dinov2_registers_giant"];
    let act = gated.map(|fixture| (fixture, json!({ "hidden_act": "gelu" })));
    // int(24 * 4.01) and int(48 * 4.01) are those of 4.
    let ratio = ["swin/plain", "swinv2/plain"].map(|fixture| (fixture, json!({ "mlp_ratio": 4.01 })));
    for (fixture, changes) in act.into_iter().chain(ratio) {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(fixture, parent.path());
        say(&folder, "config.json", &changes);
        let back = back(&folder, "timm");
        assert!(deviations(&back).is_empty(), "{fixture}");
    }
}

#[test]
fn what_timm_s_constructors_take_as_a_class_is_not_written() {
    // Some of timm's architectures have the first one; none has the second.
    for (eps, known) in [(1e-6, &[][..]), (1e-3, &["timm-eps"])] {
        let parent = tempfile::tempdir().unwrap();
        let dinov3 = folder("eva/dinov3", parent.path());
        say(&dinov3, "config.json", &json!({ "layer_norm_eps": eps }));
        let back = back(&dinov3, "timm");
        let arguments = back.prepared.config.get("model_args").and_then(Value::as_object);
        assert!(arguments.is_some_and(|arguments| !arguments.contains_key("norm_layer")), "{arguments:?}");
        assert_eq!(deviations(&back), known, "{eps}");
    }
}

#[test]
fn names_that_transformers_writes_since_5_6_are_read_and_said() {
    for (fixture, target) in
        [("clip/tower", "CLIPVisionModel"), ("timm_encoders/siglip", "SiglipVisionModel")]
    {
        let parent = tempfile::tempdir().unwrap();
        let facts = FactOptions { target: Some(target.to_owned()), ..FactOptions::default() };
        let folder =
            folder_of(&golden::path(fixture), &Request { facts, ..Request::default() }, parent.path());
        let path = folder.join("model.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let bare = |(name, view): (String, TensorView<'_>)| {
            (
                name.strip_prefix("vision_model.").unwrap().to_owned(),
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        };
        let kept: Vec<_> = file.tensors().into_iter().map(bare).collect();
        let views = kept.iter().map(|(name, (dtype, shape, data))| {
            (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), &path).unwrap();
        let back = back(&folder, "timm");
        assert!(deviations(&back).is_empty(), "{fixture}");
        let says = |warning: &String| warning.contains("transformers 4 finds none of them");
        assert!(back.report.unwrap().warnings.iter().any(says), "{fixture}");
    }
}

#[test]
fn a_ratio_of_other_sizes_is_not_taken_for_the_same() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("swin/plain", parent.path());
    say(&folder, "config.json", &json!({ "mlp_ratio": 5.0 }));
    assert!(plan_back(&folder, &to("timm")).is_err());
}

#[test]
fn the_kind_of_problem_is_left_out_by_name() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("swin/plain", parent.path());
    say(&folder, "config.json", &json!({ "problem_type": "multi_label_classification" }));
    let back = back(&folder, "timm");
    assert!(deviations(&back).is_empty());
    let [lost] = back.prepared.left_out.as_slice() else { panic!("{:?}", back.prepared.left_out) };
    assert_eq!(lost.name, "problem_type in config.json");
    assert!(lost.reason.contains("multi_label_classification"), "{}", lost.reason);
}

#[test]
fn first_windows_are_those_of_as_many_stages_as_there_are() {
    let parent = tempfile::tempdir().unwrap();
    let folder = of_torchvision("swin_v2", "swin_v2_s", true, parent.path());
    let config: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let stages = config["depths"].as_array().unwrap().len();
    assert!(stages < 4, "the fixture has {stages} stages");
    say(&folder, "config.json", &json!({ "pretrained_window_sizes": vec![0; stages] }));
    assert!(back(&folder, "torchvision").is_published);
    say(&folder, "config.json", &json!({ "pretrained_window_sizes": vec![8; stages] }));
    let [_, why, ..] = refusal(&folder, "torchvision");
    assert!(why.contains("pretrained_window_sizes"), "{why}");
}

#[test]
fn a_processor_that_does_not_normalise_or_normalises_twice_is_one_of_timm_s() {
    let parent = tempfile::tempdir().unwrap();
    let plain = folder("swin/plain", parent.path());
    say(&plain, "preprocessor_config.json", &json!({ "do_normalize": false }));
    let config = back(&plain, "timm").prepared.config;
    assert_eq!(config["pretrained_cfg"]["mean"], json!([0.0, 0.0, 0.0]));
    assert_eq!(config["pretrained_cfg"]["std"], json!([1.0, 1.0, 1.0]));

    let parent = tempfile::tempdir().unwrap();
    let folder = folder("swin/plain", parent.path());
    let processor = json!({
        "image_processor_type": "EfficientNetImageProcessor", "include_top": true, "rescale_offset": false,
        "do_center_crop": false, "crop_size": null, "size": { "height": 64, "width": 64 }, "resample": 3,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.5],
    });
    say(&folder, "preprocessor_config.json", &processor);
    let config = back(&folder, "timm").prepared.config;
    assert_eq!(config["pretrained_cfg"]["mean"], json!([0.5, 0.4, 0.3]));
    assert_eq!(config["pretrained_cfg"]["std"], json!([0.25, 0.0625, 0.25]));
    say(&folder, "preprocessor_config.json", &json!({ "rescale_offset": true }));
    let [_, why, ..] = refusal(&folder, "timm");
    assert!(why.contains("rescale_offset"), "{why}");
}

#[test]
fn what_the_way_back_made_is_replaced_with_force() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("swin/plain", parent.path());
    back(&folder, "timm");
    back_with_force(&folder, "timm", true);
    assert!(parent.path().join("back/model.safetensors").exists());
}

#[test]
fn a_network_without_a_head_says_what_becomes_of_the_framework_s() {
    let parent = tempfile::tempdir().unwrap();
    let headless = of_torchvision("regnet_y", "regnet_y_400mf", false, parent.path());
    let config = back(&headless, "torchvision").prepared.config;
    assert_eq!(config["python_after"], json!("model.fc = torch.nn.Identity()"));
    let parent = tempfile::tempdir().unwrap();
    let whole = of_torchvision("regnet_y", "regnet_y_400mf", true, parent.path());
    assert!(!back(&whole, "torchvision").prepared.config.contains_key("python_after"));
}

#[test]
fn refusals_name_the_mapping_whose_config_is_nearest_and_only_ways_that_are_open() {
    let parent = tempfile::tempdir().unwrap();
    let beit = folder("beit/plain", parent.path());
    say(&beit, "config.json", &json!({ "hidden_act": "silu" }));
    let [_, why, tensor, _] = refusal(&beit, "timm");
    assert_eq!(tensor, "hidden_act in config.json");
    assert!(why.contains("timm's BEiT "), "{why}");

    let parent = tempfile::tempdir().unwrap();
    let swin = folder("swin/plain", parent.path());
    say(&swin, "config.json", &json!({ "hidden_act": "silu" }));
    let [.., instead] = refusal(&swin, "torchvision");
    assert!(!instead.contains("--to"), "{instead}");
    let parent = tempfile::tempdir().unwrap();
    let swin = folder("swin/plain", parent.path());
    let [.., instead] = refusal(&swin, "meta");
    assert!(instead.contains("--to timm"), "{instead}");

    let [what, _, _, instead] = refusal(&golden::path("swin/plain"), "timm");
    assert_eq!(what, "a folder that timm opens");
    assert!(instead.contains("leave out --to"), "{instead}");
}
