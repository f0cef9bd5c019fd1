//! Tests that whatever shows a verdict also says what is assumed: the terminal, every document, the page, the card, a batch.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{example, vitport};

const HEADLINE: &str = "same weights, known deviation cvt-gelu, if the 15 assumptions hold";
/// Twice as many heads as the network has, which nothing in the file shows.
const WRONG: [&str; 4] = ["--num-heads", "2,4,8", "--image-size", "64"];

fn run(arguments: &[&str], folder: &Path) -> String {
    let cvt = example("cvt_tiny/tiny.pth");
    let all = [&[arguments[0], cvt.to_str().unwrap()], &arguments[1..], &WRONG].concat();
    let output = vitport(&all, folder);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn heads(document: &Value) -> &Value {
    let assumptions = document["assumptions"].as_array().unwrap();
    assert_eq!(assumptions.len(), 15);
    assert_eq!((&document["facts_from_source"], &document["facts_from_registry"]), (&json!(12), &json!(0)));
    assumptions.iter().find(|assumption| assumption["fact"] == "num_heads").unwrap()
}

#[test]
fn wrong_heads_of_a_cvt_are_named_wherever_a_verdict_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let assumed = json!({
        "fact": "num_heads", "value": "2,4,8", "origin": "--num-heads", "follows": [], "overrides": null
    });
    let plan: Value = serde_json::from_str(&run(&["plan", "--json"], folder.path())).unwrap();
    assert_eq!(heads(&plan), &assumed);
    let converted: Value =
        serde_json::from_str(&run(&["convert", "-o", "out", "--json"], folder.path())).unwrap();
    assert_eq!((heads(&converted), heads(&converted["report"])), (&assumed, &assumed));
    assert_eq!(
        (&converted["headline"], &converted["report"]["headline"]),
        (&json!(HEADLINE), &json!(HEADLINE))
    );
    let unverified: Value =
        serde_json::from_str(&run(&["convert", "-o", "other", "--json", "--no-verify"], folder.path()))
            .unwrap();
    assert_eq!((heads(&unverified), &unverified["headline"]), (&assumed, &Value::Null));

    let shown = run(&["verify", "out", "--report", "page.html"], folder.path());
    let card = fs::read_to_string(folder.path().join("out/README.md")).unwrap();
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    for (text, begins) in [(&shown, "≈ same"), (&card, "**same"), (&page, "Same")] {
        let (_, rest) = HEADLINE.split_once("same").unwrap();
        assert!(text.contains(&format!("{begins}{rest}")), "{text}");
        assert!(text.contains("2,4,8") && text.contains("--num-heads"), "{text}");
        assert!(!text.contains("is what the source says"), "{text}");
    }
    assert!(shown.contains("num_heads 2,4,8 (--num-heads)"), "{shown}");
}

#[test]
fn a_batch_shows_headlines() {
    let folder = tempfile::tempdir().unwrap();
    let job = |name: &str, more: Value| {
        let mut job = json!({ "source": example(name), "out": name.replace(['/', '.'], "_") });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job.to_string() + "\n"
    };
    let jobs = job("vit_small_twin", json!({ "crop_pct": 1.0 }))
        + &job("cvt_tiny/tiny.pth", json!({ "num_heads": "1,2,4", "image_size": 64 }));
    fs::write(folder.path().join("jobs.jsonl"), jobs).unwrap();
    let output = vitport(&["batch", "jobs.jsonl"], folder.path());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("  same, if the assumption holds\n") && shown.contains(HEADLINE), "{shown}");
    let results = fs::read_to_string(folder.path().join("jobs.results.jsonl")).unwrap();
    let lines: Vec<Value> = results.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_end = |line: &&Value, name: &str| {
        line["event"] == "end" && line["source"].as_str().is_some_and(|source| source.ends_with(name))
    };
    let of = |name: &str| lines.iter().find(|line| is_end(line, name)).unwrap();
    let twin = of("vit_small_twin");
    assert_eq!(twin["headline"], "same, if the assumption holds");
    let [crop] = twin["assumptions"].as_array().unwrap().as_slice() else { panic!("{twin}") };
    assert_eq!(
        (&crop["fact"], &crop["overrides"]["origin"]),
        (&json!("crop_pct"), &json!("config.json: pretrained_cfg"))
    );
}
