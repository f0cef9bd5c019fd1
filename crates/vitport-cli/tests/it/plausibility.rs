//! What no network was trained with is refused or asked about.

use std::fs;

use serde_json::{Value, json};

use crate::support::{example, vitport};

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
            assert!(stderr.lines().count() == 1 && stderr.contains(says), "{option}: {stderr}");
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
