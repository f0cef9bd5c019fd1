//! Numbers that are not finite: nothing is the same because of them, the first place is named, and the report stays within its
//! schema.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vitport_checkpoint::{Checkpoint, Limits};

use crate::support::{example, names, vitport};

/// Copies the ViT example into `folder`, with `value` in place of the first number of a tensor.
fn with_number(folder: &Path, tensor: &str, value: f32) -> PathBuf {
    let source = folder.join("source");
    fs::create_dir_all(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(example("vit_small_twin").join(name), source.join(name)).unwrap();
    }
    put(&source.join("model.safetensors"), tensor, value);
    source
}

fn put(file: &Path, tensor: &str, value: f32) {
    let checkpoint = Checkpoint::open(file, &Limits::default()).unwrap();
    let (_, at) = checkpoint.plain_bytes(checkpoint.tensor(tensor).unwrap()).unwrap();
    let at = usize::try_from(at).unwrap();
    let mut bytes = fs::read(file).unwrap();
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

/// Every number of a report that its schema promises is there.
fn check_numbers(report: &Value) {
    let lists = ["layers", "pixels", "raw_pixels"].map(|key| report[key].as_array().unwrap().as_slice());
    for comparison in lists.concat() {
        for key in ["largest", "size", "tolerance", "count"] {
            assert!(comparison[key].is_number(), "{key}: {comparison}");
        }
        let is_finite = comparison["not_finite"].is_null();
        assert_eq!(comparison["relative"].is_number(), is_finite, "{comparison}");
        assert!(is_finite || comparison["agrees"] == false, "{comparison}");
    }
    for guess in ["source_top5", "target_top5"].iter().flat_map(|key| report[key].as_array().unwrap()) {
        assert!(guess["probability"].is_number(), "{guess}");
    }
}

#[test]
fn a_weight_that_is_not_finite_is_named_and_nothing_is_published() {
    let tensor = "vit.encoder.layer.1.output.dense.weight";
    for (value, what, options) in [
        (f32::NAN, "NaN", &[][..]),
        (f32::INFINITY, "infinite", &[]),
        (f32::NAN, "NaN", &["--dtype", "bf16"]),
        (f32::NEG_INFINITY, "infinite", &["--dtype", "f16"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let source = with_number(folder.path(), "blocks.1.mlp.fc2.weight", value);
        let convert = [&["convert", source.to_str().unwrap(), "-o", "out"], options].concat();
        let output = vitport(&[&convert[..], &["--json", "--report", "page.html"]].concat(), folder.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{stderr}");
        let says = format!(
            "the folder cannot be compared with its source: the tensor {tensor} cannot be computed with: its element 0 is \
             {what} (its bits are the same on both sides)"
        );
        assert!(stderr.contains(&says), "{stderr}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let report = &document["report"];
        assert_eq!((&document["kind"], &document["published"]), (&"different".into(), &false.into()));
        assert_eq!(report["verdict"], "not_comparable");
        assert_eq!(report["weights"]["different"], serde_json::json!([]));
        assert_eq!(report["weights"]["not_finite"][0]["name"], tensor);
        check_numbers(report);
        assert_eq!(names(folder.path()), ["page.html", "source"]);
        let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
        assert!(page.contains("Why they cannot be compared") && page.contains(tensor));
        assert!(page.contains("<h1>") && page.contains("Not comparable"));

        let kept = vitport(&[&convert[..], &["--keep-anyway"]].concat(), folder.path());
        assert_eq!(kept.status.code(), Some(5));
        let stdout = String::from_utf8_lossy(&kept.stdout);
        assert!(stdout.contains("✗ not comparable") && !stdout.contains("same\n"), "{stdout}");
        let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
        assert!(card.contains("**This folder cannot be compared with its source**"), "{card}");
    }
}

#[test]
fn hidden_states_that_overflow_are_named_by_the_first_place() {
    let folder = tempfile::tempdir().unwrap();
    // The residual sum of both is beyond float32.
    let source = with_number(folder.path(), "blocks.0.mlp.fc2.bias", 3e38);
    put(&source.join("model.safetensors"), "blocks.1.mlp.fc2.bias", 3e38);
    let command = ["convert", source.to_str().unwrap(), "-o", "out", "--json"];
    let output = vitport(&command, folder.path());
    assert_eq!(output.status.code(), Some(5));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let report = &document["report"];
    assert_eq!(report["verdict"], "not_comparable");
    assert_eq!(report["weights"]["not_finite"], serde_json::json!([]));
    let layers = report["layers"].as_array().unwrap();
    let first = layers.iter().find(|layer| !layer["not_finite"].is_null()).unwrap();
    let place = first["place"].as_str().unwrap();
    let reasons = report["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(reasons[0].as_str().unwrap().starts_with(&format!("numbers are not finite from {place} on: ")));
    check_numbers(report);
}

#[test]
fn a_nan_in_the_folder_alone_is_different() {
    let folder = tempfile::tempdir().unwrap();
    let source = with_number(folder.path(), "norm.bias", 0.5);
    let source = source.to_str().unwrap();
    assert!(vitport(&["convert", source, "-o", "out"], folder.path()).status.success());
    put(&folder.path().join("out/model.safetensors"), "vit.layernorm.bias", f32::NAN);
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vitport/data/image/harbour.png");
    let classified = vitport(&["classify", "out", image.to_str().unwrap()], folder.path());
    assert_eq!(classified.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&classified.stderr).contains("its logits are not all finite"));
    let output = vitport(&["verify", source, "out", "--json"], folder.path());
    assert_eq!(output.status.code(), Some(5));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"], "different");
    let reasons = report["reasons"].to_string();
    assert!(reasons.contains("vit.layernorm.bias") && reasons.contains("NaN by the folder"), "{reasons}");
    check_numbers(&report);
}

#[test]
fn what_is_left_out_may_be_anything() {
    let folder = tempfile::tempdir().unwrap();
    let source = with_number(folder.path(), "head.weight", f32::NAN);
    let source = source.to_str().unwrap();
    let without = vitport(&["convert", source, "-o", "out", "--no-head"], folder.path());
    assert!(without.status.success(), "{}", String::from_utf8_lossy(&without.stderr));
    let with = vitport(&["convert", source, "-o", "other"], folder.path());
    assert_eq!(with.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&with.stdout).contains("the tensor classifier.weight"));
}
