//! Checks that no output takes the place of a file that is not its own kind: refused by name, before any work, nothing changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{example, names, vitport};

/// Runs the command, which has to refuse with 2, and returns its line.
fn refused(arguments: &[&str], folder: &Path) -> String {
    let before = names(folder);
    let output = vitport(arguments, folder);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(names(folder), before, "{arguments:?}");
    stderr
}

#[test]
fn a_report_replaces_nothing_but_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let labels: String = (0..5).map(|class| format!("class {class}\n")).collect();
    for name in ["labels.txt", "notes.json", "mapping.toml", "picture.png"] {
        fs::write(place.join(name), &labels).unwrap();
    }
    symlink("labels.txt", place.join("soft.json")).unwrap();
    fs::hard_link(place.join("labels.txt"), place.join("hard.json")).unwrap();
    // The source does not exist: that is not even looked at.
    let convert = ["convert", "absent.pth", "-o", "out"];
    for (options, says) in [
        (vec!["--labels", "labels.txt", "--report", "labels.txt"], "would overwrite what is read"),
        (vec!["--labels", "labels.txt", "--report", "soft.json"], "would overwrite what is read"),
        (vec!["--labels", "labels.txt", "--report", "hard.json"], "would overwrite what is read"),
        (vec!["--mapping", "mapping.toml", "--report", "./mapping.toml"], "would overwrite what is read"),
        (vec!["--image", "picture.png", "--report", "picture.png"], "would overwrite what is read"),
        (vec!["--report", "notes.json"], "would overwrite a file that is not a report"),
        (vec!["--report", "out/LICENSE"], "would overwrite a file of the model"),
    ] {
        let message = refused(&[&convert[..], &options].concat(), place);
        assert!(message.contains(says), "{options:?}: {message}");
    }
    assert!(names(place).iter().all(|name| fs::read_to_string(place.join(name)).unwrap() == labels));

    let source = example("vit_small_twin");
    let report = ["convert", source.to_str().unwrap(), "--report", "report.html"];
    for out in ["one", "two"] {
        let output = vitport(&[&report[..], &["-o", out]].concat(), place);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn force_deletes_no_file_that_no_conversion_writes() {
    let folder = tempfile::tempdir().unwrap();
    let source = example("vit_small_twin");
    let convert = ["convert", source.to_str().unwrap(), "-o", "out", "--no-verify"];
    assert!(vitport(&convert, folder.path()).status.success());
    let forced = [&convert[..], &["--force"]].concat();
    assert!(vitport(&forced, folder.path()).status.success());
    let out = folder.path().join("out");
    fs::write(out.join("thesis.tex"), "five years").unwrap();
    assert!(refused(&forced, folder.path()).contains("holds `thesis.tex`, which no conversion writes"));
    // Before the source is looked at.
    let absent = ["convert", "absent.pth", "-o", "out", "--force"];
    assert!(refused(&absent, folder.path()).contains("`thesis.tex`"));
    assert_eq!(fs::read_to_string(out.join("thesis.tex")).unwrap(), "five years");
    fs::remove_file(out.join("thesis.tex")).unwrap();
    let labels = ["convert", "absent.pth", "-o", "out", "--force", "--labels", "out/config.json"];
    assert!(refused(&labels, folder.path()).contains("contains the source `out/config.json`"));
}

#[test]
fn results_are_added_to_nothing_but_results() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    let job =
        |report: &str| format!("{{\"source\": \"absent.pth\", \"out\": \"o\", \"report\": \"{report}\"}}\n");
    fs::write(place.join("jobs.jsonl"), job("r.json")).unwrap();
    fs::write(place.join("labels.txt"), "cat\n").unwrap();
    fs::hard_link(place.join("jobs.jsonl"), place.join("same.jsonl")).unwrap();
    symlink("labels.txt", place.join("link")).unwrap();
    for results in ["jobs.jsonl", "same.jsonl", "labels.txt", "link", "."] {
        let message = refused(&["batch", "jobs.jsonl", "--results", results], place);
        assert!(message.contains("not a results file of a batch"), "{message}");
    }
    assert_eq!(fs::read_to_string(place.join("labels.txt")).unwrap(), "cat\n");
    assert_eq!(fs::read_to_string(place.join("jobs.jsonl")).unwrap(), job("r.json"));

    for report in ["jobs.jsonl", "mine.jsonl"] {
        fs::write(place.join("jobs.jsonl"), job(report)).unwrap();
        let output = vitport(&["batch", "jobs.jsonl", "--results", "mine.jsonl"], place);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("would overwrite the jobs or the results"), "{stderr}");
    }
    let two = job("r.json") + &job("./r.json").replace("\"o\"", "\"p\"");
    fs::write(place.join("jobs.jsonl"), two).unwrap();
    let output = vitport(&["batch", "jobs.jsonl"], place);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("its `report` is that of line 1 too"), "{stderr}");
    assert!(!place.join("mine.jsonl").exists() && !place.join("jobs.results.jsonl").exists());
}
