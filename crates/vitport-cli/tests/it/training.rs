//! Checkpoints that timm's train.py wrote: what they record of their training is what is converted, or the reason for none.

use std::fs;

use serde_json::{Value, json};

use crate::support::{names, vitport};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../vitport/tests/data/training");

fn file(name: &str) -> String {
    format!("{DATA}/{name}.pth.tar")
}

#[test]
fn the_preprocessing_of_the_training_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["convert", &file("preprocessing"), "-o", "out", "--json"];
    let out = vitport(&arguments, folder.path());
    assert!(out.status.success(), "{out:?}");
    let document: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(document["report"]["verdict"], "same");
    let unread = document["report"]["unread_arguments"].as_array().unwrap();
    assert!(unread.contains(&json!("args.lr_base")) && !unread.contains(&json!("args.mean")), "{unread:?}");
    let text = fs::read_to_string(folder.path().join("out/preprocessor_config.json")).unwrap();
    let processor: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(processor["image_mean"], json!([0.1, 0.2, 0.3]));
    assert_eq!(processor["image_std"], json!([0.4, 0.5, 0.6]));
    assert_eq!(processor["resample"], 2);
    assert_eq!(processor["size"], json!({ "shortest_edge": 8 }));
    let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
    assert!(card.contains("the training arguments: args.mean"), "{card}");
    assert!(card.contains("Settings in the source that were not read: `args."), "{card}");
}

#[test]
fn what_the_training_contradicts_is_not_converted() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[&str], i32, &str, &str); 6] = [
        ("average", &[], 7, "no_target", "args.gp"),
        ("average", &["--num-heads", "3"], 7, "no_target", "args.gp"),
        (
            "average",
            &["--arch", "vit_tiny_patch16_224"],
            4,
            "contradiction",
            "avg according to the training arguments: args.gp",
        ),
        (
            "preprocessing",
            &["--num-heads", "6"],
            4,
            "contradiction",
            "num_heads is 2 according to the training arguments",
        ),
        ("preprocessing", &["--arch", "deit_tiny_patch16_224"], 4, "contradiction", "args.model"),
        (
            "quick_gelu",
            &["--arch", "vit_tiny_patch16_224"],
            4,
            "contradiction",
            "args.model_kwargs.num_heads",
        ),
    ];
    for (name, options, code, kind, words) in cases {
        let file = file(name);
        let arguments = [&["convert", &file, "-o", "out", "--json"], options].concat();
        let out = vitport(&arguments, folder.path());
        assert_eq!(out.status.code(), Some(code), "{name} {options:?}: {out:?}");
        let document: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(document["kind"], kind, "{name} {options:?}");
        assert!(document["message"].as_str().unwrap().contains(words), "{name} {options:?}: {document}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn plan_says_what_was_overridden_and_what_was_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let plan = |options: &[&str]| {
        let out = vitport(&[&["plan", &file("preprocessing")], options].concat(), folder.path());
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let text = plan(&["--mean", "0.5,0.5,0.5"]);
    assert!(text.contains("--mean; the source says [0.1, 0.2, 0.3]"), "{text}");
    assert!(text.contains("settings in the file were not read (-v lists them)"), "{text}");
    assert!(!text.contains("args.weight_decay"), "{text}");
    assert!(plan(&["-v"]).contains("args.weight_decay"));
}
