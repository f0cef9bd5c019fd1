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

#[test]
fn jobs_share_defaults_and_the_command_line_forces_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut own = vit("b");
    own["dtype"] = json!("f32");
    write(folder.path(), &[json!({ "defaults": { "dtype": "bf16", "no_card": true } }), vit("a"), own]);
    let dtypes = || {
        ["a", "b"].map(|out| {
            let config = fs::read(folder.path().join(out).join("config.json")).unwrap();
            serde_json::from_slice::<Value>(&config).unwrap()["torch_dtype"].clone()
        })
    };
    assert_eq!(batch(folder.path(), &[]).0, Some(0));
    assert_eq!(dtypes(), ["bfloat16", "float32"]);
    assert!(!names(&folder.path().join("a")).contains(&"README.md".to_owned()));
    assert_eq!(batch(folder.path(), &["--default", "dtype=f16"]).0, Some(2), "the folders are there");
    assert_eq!(batch(folder.path(), &["--default", "dtype=f16", "--force"]).0, Some(0));
    assert_eq!(dtypes(), ["float16", "float32"]);
    // Another default is another job, the same one is up to date.
    let (_, document, _) = batch(folder.path(), &["--default", "dtype=f16", "--resume"]);
    assert_eq!(document["skipped"], 2);
    let (code, _, stderr) = batch(folder.path(), &["--default", "colour=red"]);
    assert!(code == Some(2) && stderr.contains("`colour`"), "{stderr}");
}

#[test]
fn the_log_has_the_time_and_ends_with_a_table() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[vit("a"), json!({ "source": "absent.pth", "out": "b" })]);
    let run = |options: &[&str]| {
        command(folder.path(), options).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap()
    };
    let time = "2023-11-14T22:13:20Z";
    let first = run(&[]);
    let (stdout, stderr) =
        (String::from_utf8(first.stdout).unwrap(), String::from_utf8(first.stderr).unwrap());
    assert!(stdout.starts_with(&format!("{time}  done  ")), "{stdout}");
    assert!(stderr.starts_with(&format!("error: {time}  line 2: absent.pth")), "{stderr}");
    assert_eq!(stderr.matches("no such file").count(), 1, "a reason is said once: {stderr}");
    for row in ["done: not verified", "failed: unreadable (exit 3)"] {
        assert!(stdout.contains(row), "{row}: {stdout}");
    }
    assert!(stdout.ends_with("2 jobs: 1 done, 0 skipped (up to date), 1 failed\n"), "{stdout}");
    let again = String::from_utf8(run(&["--resume"]).stdout).unwrap();
    assert!(again.starts_with(&format!("{time}  skipped (up to date)  ")), "{again}");

    let json = run(&["--resume", "--log-format", "json"]);
    let lines = String::from_utf8(json.stderr).unwrap();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events: Vec<(Value, Value, Value)> =
        lines.map(|line| (line["event"].clone(), line["line"].clone(), line["status"].clone())).collect();
    let null = Value::Null;
    let expected = [
        (json!("start"), json!(1), null.clone()),
        (json!("end"), json!(1), json!("skipped")),
        (json!("start"), json!(2), null),
        (json!("end"), json!(2), json!("failed")),
    ];
    assert_eq!(events, expected);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_jobs_that_run_and_leaves_nothing_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let outs: Vec<String> = (0..24).map(|index| format!("m{index}")).collect();
    write(folder.path(), &outs.iter().map(|out| cvt(out)).collect::<Vec<_>>());
    let mut ended = 0;
    for (signal, number) in [("INT", 2), ("TERM", 15), ("INT", 2), ("TERM", 15)] {
        let mut run = Command::new("env");
        run.args([
            "--default-signal=INT,TERM",
            env!("CARGO_BIN_EXE_vitport"),
            "batch",
            "jobs.jsonl",
            "--resume",
        ]);
        let run = run.args(["--jobs", "2", "-q"]).current_dir(folder.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150));
        assert!(Command::new("kill").args(["-s", signal, &run.id().to_string()]).status().unwrap().success());
        let status = run.wait_with_output().unwrap().status;
        ended += usize::from(status.code() == Some(128 + number));
        let hidden: Vec<_> = names(folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(hidden.is_empty(), "{signal}: {hidden:?}");
    }
    assert!(ended > 0, "no run was ended at work");
    let (code, document, stderr) = batch(folder.path(), &["--resume"]);
    assert_eq!((code, &document["failed"]), (Some(0), &json!(0)), "{stderr}");
}
