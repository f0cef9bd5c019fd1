//! Tests `convert` and `verify` when the networks disagree: one document, the exit code in it, the report's file whatever the
//! verdict, and nothing published or overwritten that should not be.

use std::fs;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{example, names, vitport};

const RULES: &str = include_str!("../../../vitport/mappings/timm_vit.toml");

/// The one document on standard output.
fn document(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A temporary folder with rules that exchange query and key.
fn folder_with_wrong_rules() -> TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let wrong = RULES.replace("query", "other").replace("key", "query").replace("other", "key");
    assert_ne!(wrong, RULES);
    fs::write(temporary.path().join("wrong.toml"), wrong).unwrap();
    temporary
}

/// A temporary folder with an untouched conversion in `out`.
fn folder_with_folder() -> TempDir {
    let temporary = tempfile::tempdir().unwrap();
    let output = vitport(
        &["convert", example("vit_small_twin").to_str().unwrap(), "-o", "out", "-q"],
        temporary.path(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    temporary
}

fn change(temporary: &TempDir, file: &str, from: &str, to: &str) {
    let path = temporary.path().join("out").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).unwrap();
}

#[test]
fn verify_gives_one_document_that_holds_report_and_error() {
    let temporary = folder_with_folder();
    let source = example("vit_small_twin");
    let arguments = ["verify", source.to_str().unwrap(), "out", "--json", "--report", "report.json"];
    let agreeing = document(&vitport(&arguments, temporary.path()));
    assert_eq!(agreeing.get("error"), None);
    change(&temporary, "config.json", "1e-06", "1e-12");
    let output = vitport(&arguments, temporary.path());
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let report = document(&output);
    assert_eq!(report["verdict"], "different");
    assert_eq!(report["error"]["exit_code"], 5);
    assert!(report["error"]["message"].as_str().unwrap().contains("layer_norm_eps"));
    for key in ["source_forward_ms", "target_forward_ms", "total_ms"] {
        assert!(report["timings"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    for key in ["layers", "facts", "tensor_counts", "weights", "pixels", "source_top5"] {
        assert!(!report[key].is_null(), "{key}");
    }
    let written: Value =
        serde_json::from_slice(&fs::read(temporary.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(written["verdict"], "different");
}

#[test]
fn convert_that_disagrees_keeps_its_report_and_publishes_nothing() {
    let temporary = folder_with_wrong_rules();
    let source = example("vit_small_twin");
    let command = ["convert", source.to_str().unwrap(), "-o", "out", "--rules", "wrong.toml", "--json"];
    let output = vitport(&[&command[..], &["--report", "report.html"]].concat(), temporary.path());
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = document(&output);
    assert_eq!(printed["report"]["verdict"], "different");
    assert_eq!(printed["error"]["exit_code"], 5);
    assert_eq!(printed["published"], false);
    assert_eq!(names(temporary.path()), ["report.html", "wrong.toml"]);

    let kept = vitport(
        &[&command[..], &["--keep-anyway", "--report", "out/report.json"]].concat(),
        temporary.path(),
    );
    assert_eq!(kept.status.code(), Some(5));
    let printed = document(&kept);
    assert_eq!((&printed["published"], &printed["error"]["exit_code"]), (&true.into(), &5.into()));
    assert!(printed["out"].as_str().unwrap().ends_with("/out"));
    assert_eq!(printed["report"]["folder"], printed["out"]);
    assert_eq!(
        names(&temporary.path().join("out")),
        ["README.md", "config.json", "model.safetensors", "preprocessor_config.json", "report.json"]
    );
}

#[test]
fn a_folder_that_cannot_be_run_is_different_and_the_report_says_why() {
    let source = example("vit_small_twin");
    for (file, from, to, says) in [
        ("config.json", "\"model_type\": \"vit\"", "\"model_type\": \"deit\"", "deit"),
        ("config.json", "\"image_size\": 80", "\"image_size\": 128", "[3, 128, 128]"),
        ("preprocessor_config.json", "CLIPImageProcessor", "LeViTImageProcessor", "LeViTImageProcessor"),
        ("preprocessor_config.json", "\"shortest_edge\"", "\"longest_edge\"", "size"),
    ] {
        let temporary = folder_with_folder();
        change(&temporary, file, from, to);
        let arguments = ["verify", source.to_str().unwrap(), "out", "--json", "--report", "report.html"];
        let output = vitport(&arguments, temporary.path());
        assert_eq!(output.status.code(), Some(5), "{to}: {}", String::from_utf8_lossy(&output.stderr));
        let report = document(&output);
        assert_eq!(report["verdict"], "different", "{to}");
        let reasons = report["reasons"].to_string();
        assert!(reasons.contains(says), "{to}: {reasons}");
        assert!(
            fs::read_to_string(temporary.path().join("report.html")).unwrap().contains("Why it is different")
        );
        assert!(!String::from_utf8_lossy(&vitport(&arguments[..3], temporary.path()).stdout).is_empty());
    }
}

#[test]
fn a_strict_deviation_is_reported_in_the_document() {
    let temporary = tempfile::tempdir().unwrap();
    let cvt = example("cvt_tiny/tiny.pth");
    let facts = ["--num-heads", "1,2,4", "--image-size", "64", "-o", "out", "--json", "--strict"];
    let output = vitport(&[&["convert", cvt.to_str().unwrap()], &facts[..]].concat(), temporary.path());
    assert_eq!(output.status.code(), Some(5));
    let printed = document(&output);
    assert_eq!(printed["report"]["verdict"], "same_with_known_deviation");
    assert_eq!(printed["error"]["exit_code"], 5);
    assert!(names(temporary.path()).is_empty());
}

#[test]
fn a_report_that_cannot_be_written_stops_the_run_before_it_begins() {
    let temporary = tempfile::tempdir().unwrap();
    let copy = temporary.path().join("model.safetensors");
    fs::copy(example("vit_small_twin").join("model.safetensors"), &copy).unwrap();
    fs::copy(example("vit_small_twin").join("config.json"), temporary.path().join("config.json")).unwrap();
    fs::create_dir(temporary.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("model.safetensors", temporary.path().join("link.json")).unwrap();
    let before = (names(temporary.path()), fs::read(&copy).unwrap());
    for (report, code, says) in [
        ("absent/report.json", 6, "absent"),
        ("/proc/report.json", 6, "/proc/report.json"),
        ("folder", 2, "is a folder"),
        ("model.safetensors", 2, "overwrite what is read"),
        ("link.json", 2, "overwrite what is read"),
        ("config.json", 2, "overwrite what is read"),
        ("out", 2, "where OUT is to appear"),
        ("out/config.json", 2, "a file of the model"),
        ("./out/model.safetensors", 2, "a file of the model"),
        ("out/reports/x.html", 2, "folder within OUT"),
    ] {
        let output = vitport(&["convert", ".", "-o", "out", "--report", report], temporary.path());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{report}: {stderr}");
        assert!(stderr.lines().count() == 1 && stderr.contains(says), "{report}: {stderr}");
        assert!(output.stdout.is_empty(), "{report}");
        assert_eq!((names(temporary.path()), fs::read(&copy).unwrap()), before, "{report}");
    }
}

#[test]
fn verify_does_not_overwrite_what_it_verifies() {
    let temporary = folder_with_folder();
    let source = example("vit_small_twin");
    for (report, code) in [("out/config.json", 2), ("out/report.json", 0), ("out/report.json", 0)] {
        let output =
            vitport(&["verify", source.to_str().unwrap(), "out", "--report", report], temporary.path());
        assert_eq!(output.status.code(), Some(code), "{report}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(fs::read_to_string(temporary.path().join("out/config.json")).unwrap().contains("hidden_size"));
}

#[test]
fn a_folder_that_cannot_be_read_as_transformers_reads_it_is_different() {
    let source = example("vit_small_twin");
    let verified = |temporary: &TempDir, part: &str| {
        let arguments = ["verify", source.to_str().unwrap(), "out", "--json"];
        let output = vitport(&arguments, temporary.path());
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
        let document = document(&output);
        assert_eq!(document["kind"], "different");
        let message = document["message"].as_str().unwrap();
        assert!(message.starts_with("the folder is not verified: ") && message.contains(part), "{message}");
    };
    let temporary = folder_with_folder();
    change(&temporary, "config.json", "0.02", "NaN");
    verified(&temporary, "config.json");
    let temporary = folder_with_folder();
    fs::remove_file(temporary.path().join("out/preprocessor_config.json")).unwrap();
    let socket = temporary.path().join("out/preprocessor_config.json");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    verified(&temporary, "preprocessor_config.json");

    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["convert", source.to_str().unwrap(), "-o", "out", "-q", "--max-shard-size", "200000"];
    assert!(vitport(&arguments, temporary.path()).status.success());
    let index = "model.safetensors.index.json";
    let text = fs::read_to_string(temporary.path().join("out").join(index)).unwrap();
    let (first, second) = ("model-00001-of", "model-00002-of");
    assert!(text.contains(first) && text.contains(second), "{text}");
    let swapped = text.replace(first, "model-x-of").replace(second, first).replace("model-x-of", second);
    fs::write(temporary.path().join("out").join(index), swapped).unwrap();
    verified(&temporary, "which does not hold it");
}
