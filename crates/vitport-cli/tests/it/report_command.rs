//! Tests `vitport report`, and the dates of pages and logs.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{example, vitport};

fn at(date: &str, arguments: &[&str], folder: &std::path::Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitport"));
    command.args(arguments).current_dir(folder).env("SOURCE_DATE_EPOCH", date).output().unwrap()
}

#[test]
fn many_reports_are_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let (twin, cvt) = (example("vit_small_twin"), example("cvt_tiny/tiny.pth"));
    let (twin, cvt) = (twin.to_str().unwrap(), cvt.to_str().unwrap());
    let facts = ["--num-heads", "1,2,4", "--image-size", "64"];
    assert!(vitport(&["convert", twin, "-o", "vit", "--report", "vit.json"], folder.path()).status.success());
    let converted = vitport(&[&["convert", cvt, "-o", "cvt", "--json"], &facts[..]].concat(), folder.path());
    fs::write(folder.path().join("cvt.json"), converted.stdout).unwrap();
    // A document of an error has what was found, too.
    let failed = vitport(&[&["verify", cvt, "vit", "--json"], &facts[..]].concat(), folder.path());
    assert_eq!(failed.status.code(), Some(5));
    fs::write(folder.path().join("failed.json"), failed.stdout).unwrap();

    let reports = ["report", "vit.json", "cvt.json", "failed.json", "-o", "all.html"];
    let output = at("1700000000", &[&reports[..], &["--json"]].concat(), folder.path());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<&str> =
        document["models"].as_array().unwrap().iter().map(|row| row["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["same", "same_with_known_deviation", "different"]);
    let page = fs::read_to_string(folder.path().join("all.html")).unwrap();
    for said in [
        "ViTForImageClassification",
        "CvtForImageClassification",
        "cvt-gelu",
        "2023-11-14T22:13:20Z",
        "different",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert_eq!(page.matches("<tr>").count(), 4);
    // The gravest comes first, and the same command makes the same page.
    assert!(page.find("failed.json").unwrap() < page.find("cvt.json").unwrap());
    assert!(at("1700000000", &reports, folder.path()).status.success());
    assert!(fs::read_to_string(folder.path().join("all.html")).unwrap() == page);
}

#[test]
fn what_is_no_report_is_refused_by_name_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, code, kind) in [
        ("a.json", "{}", 3, "refused"),
        ("b.json", "[", 3, "unreadable"),
        ("absent.json", "", 3, "unreadable"),
    ] {
        if !text.is_empty() {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let output = vitport(&["report", name, "--json"], folder.path());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), document["kind"].as_str()), (Some(code), Some(kind)), "{document}");
        assert_eq!(document["file"], name);
        assert!(!folder.path().join("overview.html").exists());
    }
    fs::write(folder.path().join("mine.html"), "mine").unwrap();
    for out in ["mine.html", "page.json"] {
        assert_eq!(vitport(&["report", "a.json", "-o", out], folder.path()).status.code(), Some(2), "{out}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("mine.html")).unwrap(), "mine");
}

#[test]
fn a_page_says_when_and_by_which_command_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let twin = example("vit_small_twin").display().to_string();
    for (arguments, name) in [
        (vec!["convert", &twin, "-o", "vit", "--report", "page.html"], "page.html"),
        (vec!["verify", &twin, "vit", "--report", "again.html"], "again.html"),
    ] {
        assert!(at("0", &arguments, folder.path()).status.success());
        let page = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(page.contains("1970-01-01T00:00:00Z"), "{name}");
        assert!(page.contains(&format!("vitport {}", arguments.join(" "))), "{name}");
        // Where the facts come from.
        assert!(page.contains("config.json: "), "{name}");
    }
}
