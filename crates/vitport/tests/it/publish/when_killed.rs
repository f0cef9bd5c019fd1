//! Checks that a run that is killed at any moment leaves the old folder or the new one, and what it leaves next to them is gone
//! after the next run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use vitport::folder::publish::{Options, Staging};

use super::{config, generation_of};
use crate::child;

const OUT: &str = "VITPORT_TEST_KILL_OUT";
const FILES: usize = 24;

/// Publishes generation after generation, each of many files, until it is killed.
fn publish_for_ever(out: &Path) {
    for generation in std::process::id().. {
        publish(out, &generation.to_string());
    }
}

fn publish(out: &Path, generation: &str) {
    let staging = Staging::begin(out, &[], Options { force: true, fsync: false }).unwrap();
    staging.write("config.json", config(generation).as_bytes()).unwrap();
    for number in 0..FILES {
        staging.write(&shard(number), generation.as_bytes()).unwrap();
    }
    staging.publish().unwrap();
}

fn shard(number: usize) -> String {
    format!("model-{:05}-of-{FILES:05}.safetensors", number + 1)
}

/// Checks that `out` is one whole generation, and says which.
fn whole(out: &Path) -> String {
    let generation = generation_of(out);
    for number in 0..FILES {
        let file = fs::read_to_string(out.join(shard(number))).unwrap();
        assert_eq!(file, generation, "file {number} is of another generation");
    }
    assert_eq!(fs::read_dir(out).unwrap().count(), FILES + 1);
    generation
}

#[test]
fn a_killed_run_leaves_a_whole_folder() {
    if let Some(out) = std::env::var_os(OUT) {
        publish_for_ever(Path::new(&out));
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    publish(&out, "first");
    let (mut leftovers, mut replaced) = (0, 0);
    let mut before = whole(&out);
    for round in 0..60_u64 {
        let mut run = Command::new(std::env::current_exe().unwrap())
            .args(child::only(a_killed_run_leaves_a_whole_folder))
            .env(OUT, &out)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Moments spread over the run's first dozens of generations, from when the test begins there.
        let mut said = BufReader::new(run.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == "running 1 test"));
        std::thread::sleep(Duration::from_micros(round * 7_919 % 20_000));
        run.kill().unwrap();
        run.wait().unwrap();
        let now = whole(&out);
        replaced += usize::from(now != before);
        before = now;
        let siblings = fs::read_dir(parent.path()).unwrap().count() - 1;
        assert!(siblings <= 1, "one killed run left {siblings} folders, or an earlier one's are still there");
        leftovers += siblings;
    }
    // Otherwise the runs were killed before they did anything, and nothing has been tried.
    assert!(leftovers > 0 && replaced > 0, "{leftovers} killed at work, {replaced} published before");
    publish(&out, "last");
    assert_eq!(whole(&out), "last");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
}
