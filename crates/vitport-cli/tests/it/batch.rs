//! Tests many conversions in one run: failures are collected, a run that was killed is taken up again, and shards make a whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{example, names};

fn vit(out: &str) -> Value {
    json!({ "source": example("vit_small_twin"), "out": out, "no_verify": true })
}

fn cvt(out: &str) -> Value {
    json!({ "source": example("cvt_tiny/tiny.pth"), "out": out, "num_heads": [1, 2, 4], "image_size": 64 })
}

fn write(folder: &Path, jobs: &[Value]) -> PathBuf {
    let path = folder.join("jobs.jsonl");
    fs::write(&path, jobs.iter().map(|job| format!("{job}\n")).collect::<String>()).unwrap();
    path
}

fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vitport"));
    command.args(["batch", "jobs.jsonl"]).args(options).current_dir(folder);
    command
}

fn batch(folder: &Path, options: &[&str]) -> (Option<i32>, Value, String) {
    let Output { status, stdout, stderr } = command(folder, options).arg("--json").output().unwrap();
    let document = serde_json::from_slice(&stdout).expect("one document");
    (status.code(), document, String::from_utf8(stderr).unwrap())
}

#[test]
fn nothing_starts_where_a_line_is_bad() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[vit("a"), json!({ "source": "x", "out": "b", "colour": "red" }), vit("./a")]);
    let (code, document, stderr) = batch(folder.path(), &[]);
    assert_eq!(code, Some(2));
    assert_eq!(document["bad_lines"].as_array().unwrap().len(), 2);
    for said in [
        "jobs.jsonl:2: it has a field `colour`",
        "jobs.jsonl:3: its `out` is that of line 1",
        "nothing was started",
    ] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
    assert_eq!(names(folder.path()), ["jobs.jsonl"]);
}

#[test]
fn failures_are_collected_and_do_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let strict = json!({ "strict": true });
    let mut disagreeing = cvt("strict");
    disagreeing.as_object_mut().unwrap().extend(strict.as_object().unwrap().clone());
    let undecided = json!({ "source": example("cvt_tiny/tiny.pth"), "out": "undecided" });
    write(
        folder.path(),
        &[
            json!({ "source": "absent\u{9b}\u{202e}.pth", "out": "absent" }),
            disagreeing,
            undecided,
            vit("vit"),
            cvt("cvt"),
        ],
    );
    let (code, document, stderr) = batch(folder.path(), &["--jobs", "3"]);
    // Disagreement is the gravest of 3, 5 and 4.
    assert_eq!(code, Some(5), "{stderr}");
    let codes: Vec<i64> =
        document["jobs"].as_array().unwrap().iter().map(|job| job["exit_code"].as_i64().unwrap()).collect();
    assert_eq!(codes, [3, 5, 4, 0, 0]);
    assert_eq!((&document["done"], &document["failed"]), (&json!(2), &json!(3)));
    assert_eq!(document["error"]["exit_code"], 5);
    assert!(stderr.contains("3 of 5 jobs failed (lines 1, 2, 3)"), "{stderr}");
    assert_eq!(names(folder.path()), ["cvt", "jobs.jsonl", "jobs.results.jsonl", "vit"]);
    let results = fs::read_to_string(folder.path().join("jobs.results.jsonl")).unwrap();
    assert!(
        results.contains(r"absent\u009b\u202e.pth"),
        "shown on a terminal, it does not command it: {results}"
    );
}

#[test]
fn resume_leaves_out_what_is_done_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let statuses = |options: &[&str]| {
        let (code, document, _) = batch(folder.path(), options);
        let jobs = document["jobs"].as_array().unwrap();
        let statuses: Vec<String> =
            jobs.iter().map(|job| job["status"].as_str().unwrap().to_owned()).collect();
        (code.unwrap(), statuses)
    };
    let own = folder.path().join("own.pth");
    fs::copy(example("cvt_tiny/tiny.pth"), &own).unwrap();
    let mut from_own = cvt("own");
    from_own["source"] = json!("own.pth");
    write(folder.path(), &[vit("a"), from_own.clone(), cvt("c")]);
    assert_eq!(statuses(&[]), (0, vec!["done".to_owned(); 3]));
    assert_eq!(statuses(&["--resume"]), (0, vec!["skipped".to_owned(); 3]));
    // Another option, a source that was written anew, a folder that was tampered with: none of them is done, and none is
    // replaced without force.
    fs::copy(example("cvt_tiny/tiny.pth"), &own).unwrap();
    fs::write(folder.path().join("c/config.json"), "{}").unwrap();
    let mut other = vit("a");
    other["dtype"] = json!("f16");
    write(folder.path(), &[other.clone(), from_own.clone(), cvt("c")]);
    assert_eq!(statuses(&["--resume"]), (2, vec!["failed".to_owned(); 3]));
    for job in [&mut other, &mut from_own] {
        job["force"] = json!(true);
    }
    write(folder.path(), &[other, from_own]);
    assert_eq!(statuses(&["--resume"]), (0, vec!["done".to_owned(); 2]));
    // A card may be edited.
    fs::write(folder.path().join("a/README.md"), "mine").unwrap();
    assert_eq!(statuses(&["--resume"]), (0, vec!["skipped".to_owned(); 2]));
}

#[test]
fn two_shards_at_once_make_a_whole_and_resume_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let outs: Vec<String> = (0..9).map(|index| format!("registry/m{index}")).collect();
    write(folder.path(), &outs.iter().map(|out| vit(out)).collect::<Vec<_>>());
    let running: Vec<_> = ["1/2", "2/2"]
        .map(|shard| {
            command(folder.path(), &["--shard", shard, "--jobs", "2"]).stdout(Stdio::null()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for mut shard in running {
        assert!(shard.wait().unwrap().success());
    }
    assert_eq!(names(&folder.path().join("registry")).len(), 9);
    let (code, document, _) = batch(folder.path(), &["--resume"]);
    assert_eq!((code, &document["skipped"], &document["done"]), (Some(0), &json!(9), &json!(0)));
}

#[test]
fn a_killed_run_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let outs: Vec<String> = (0..24).map(|index| format!("m{index}")).collect();
    write(folder.path(), &outs.iter().map(|out| cvt(out)).collect::<Vec<_>>());
    let mut kills = 0;
    for pause in [40, 90, 140, 200, 260] {
        let mut run = command(folder.path(), &["--resume", "--jobs", "2", "-q"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        kills += usize::from(run.try_wait().unwrap().is_none());
        let _ = run.kill();
        run.wait().unwrap();
    }
    assert!(kills > 0, "no run was killed");
    let (code, document, stderr) = batch(folder.path(), &["--resume"]);
    assert_eq!((code, &document["failed"]), (Some(0), &json!(0)), "{stderr}");
    let mut expected: Vec<String> = outs;
    expected.extend(["jobs.jsonl".to_owned(), "jobs.results.jsonl".to_owned()]);
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}
