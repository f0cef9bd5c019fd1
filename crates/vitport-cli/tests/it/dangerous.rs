//! A file that would run something in Python: refused by every command that takes its tensors, shown by `inspect`, and with
//! `--allow-dangerous-pickle` converted and said to be dangerous.

use std::fs;

use serde_json::Value;

use crate::support::{names, vitport};

const FILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../vitport-checkpoint/tests/data/says/dangerous.pth");

const CALL: &str = "posix.system('echo loaded')";

const FACTS: [&str; 10] = [
    "--num-heads",
    "3",
    "--mean",
    "0.5,0.5,0.5",
    "--std",
    "0.5,0.5,0.5",
    "--interpolation",
    "bicubic",
    "--crop-pct",
    "1.0",
];

#[test]
fn it_is_refused_before_any_question_and_allowed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    // A folder whose weights are the dangerous file.
    let out = vitport(
        &[&["convert", FILE, "-o", "out", "--allow-dangerous-pickle", "--json"], &FACTS[..]].concat(),
        folder.path(),
    );
    assert!(out.status.success(), "{out:?}");
    let report = String::from_utf8(out.stdout).unwrap();
    assert!(report.contains(CALL), "{report}");
    let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
    assert!(card.contains("**The source file is dangerous**") && card.contains(CALL), "{card}");

    fs::create_dir(folder.path().join("evil")).unwrap();
    for name in ["config.json", "preprocessor_config.json"] {
        fs::copy(folder.path().join("out").join(name), folder.path().join("evil").join(name)).unwrap();
    }
    fs::copy(FILE, folder.path().join("evil/pytorch_model.bin")).unwrap();

    for command in [
        vec!["convert", FILE, "-o", "never"],
        vec!["plan", FILE],
        vec!["verify", FILE, "out"],
        vec!["diff", FILE, FILE],
        vec!["classify", "evil", "image.png"],
    ] {
        let refused = vitport(&[&command[..], &["--json"]].concat(), folder.path());
        assert_eq!(refused.status.code(), Some(3), "{command:?}: {refused:?}");
        let document: Value = serde_json::from_slice(&refused.stdout).unwrap();
        assert_eq!(document["kind"], "dangerous", "{command:?}");
        let line = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(CALL) && line.contains("--allow-dangerous-pickle"), "{line}");
    }
    assert_eq!(names(folder.path()), ["evil", "out"]);

    let verified = vitport(
        &[&["verify", FILE, "out", "--allow-dangerous-pickle", "--json"], &FACTS[..]].concat(),
        folder.path(),
    );
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["source"]["dangerous_call"], CALL, "{report}");
    let said = vitport(&[&["plan", FILE, "--allow-dangerous-pickle"], &FACTS[..]].concat(), folder.path());
    assert!(String::from_utf8(said.stdout).unwrap().contains(CALL));
}

#[test]
fn inspect_shows_it_and_what_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let shown = vitport(&["inspect", FILE, "--json"], folder.path());
    assert!(shown.status.success());
    let document: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(document["evidence"]["dangerous_call"], CALL);
    let globals = document["evidence"]["globals"].as_array().unwrap();
    assert!(globals.iter().any(|global| global["name"] == "system" && global["class"] == "dangerous"));

    let dtypes = FILE.replace("dangerous", "dtypes");
    let shown = vitport(&["inspect", &dtypes, "--json"], folder.path());
    assert!(shown.status.success());
    let document: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let tensors = document["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 9);
    let row = tensors.iter().find(|row| row["name"] == "complex128").unwrap();
    assert_eq!((&row["dtype"], &row["shape"]), (&"complex128".into(), &serde_json::json!([2, 3])));
    assert!(row["unsupported"].is_string());
    let text = String::from_utf8(vitport(&["inspect", &dtypes], folder.path()).stdout).unwrap();
    assert!(text.contains("float8_e8m0fnu") && text.contains("not read: "), "{text}");

    let module = FILE.replace("dangerous.pth", "module_quickgelu.pt");
    let document: Value =
        serde_json::from_slice(&vitport(&["inspect", &module, "--json"], folder.path()).stdout).unwrap();
    let modules = document["modules"].as_array().unwrap();
    let attention = modules.iter().find(|module| module["path"] == "blocks.0.attn").unwrap();
    assert_eq!(attention["attributes"]["num_heads"], 3);
}
