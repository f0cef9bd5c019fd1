//! Checks that a folder appears whole under its name, or not at all; what stood there before goes away altogether.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Barrier;

use vitport::folder::publish::{Options, Staging};
use vitport::folder::{FolderError, FolderErrorClass};

use super::{config, generation_of, names};
use crate::child;

const PLAIN: Options = Options { force: false, fsync: true };
const FORCE: Options = Options { force: true, fsync: true };

/// A staging folder with two files that say `generation`.
fn staged(out: &Path, options: Options, generation: &str) -> Staging {
    try_staged(out, options, generation).unwrap()
}

/// The same, where another run may have taken the name already.
fn try_staged(out: &Path, options: Options, generation: &str) -> Result<Staging, FolderError> {
    let staging = Staging::begin(out, &[], options)?;
    staging.write("config.json", config(generation).as_bytes())?;
    staging.write("model.safetensors", generation.as_bytes())?;
    Ok(staging)
}

fn generation(out: &Path) -> String {
    assert_eq!(names(out), ["config.json", "model.safetensors"]);
    let generation = generation_of(out);
    assert_eq!(generation, fs::read_to_string(out.join("model.safetensors")).unwrap());
    generation
}

#[test]
fn nothing_is_to_be_seen_before_and_all_of_it_after() {
    let parent = tempfile::tempdir().unwrap();
    for (name, existing) in [("new", false), ("empty", true)] {
        let out = parent.path().join(name);
        if existing {
            fs::create_dir(&out).unwrap();
        }
        let staging = staged(&out, PLAIN, "first");
        assert_eq!(out.exists(), existing);
        let published = staging.publish().unwrap();
        assert_eq!((published.out, published.left_behind), (out.clone(), None));
        assert_eq!(generation(&out), "first");
    }
    assert_eq!(names(parent.path()), ["empty", "new"]);
}

#[test]
fn force_replaces_every_file_of_the_old_folder() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    staged(&out, PLAIN, "first").publish().unwrap();
    fs::write(out.join("model-00001-of-00002.safetensors"), "a shard of the old model").unwrap();
    staged(&out, FORCE, "second").publish().unwrap();
    assert_eq!(generation(&out), "second");
    assert_eq!(names(parent.path()), ["out"]);
}

#[test]
fn an_abandoned_folder_goes_away_with_the_parents_made_for_it() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("a/b/out");
    let staging = staged(&out, PLAIN, "first");
    assert!(parent.path().join("a/b").is_dir());
    drop(staging);
    assert_eq!(names(parent.path()), [""; 0]);

    let kept = staged(&out, PLAIN, "first");
    fs::write(parent.path().join("a/somebody else's"), "").unwrap();
    drop(kept);
    assert_eq!(names(&parent.path().join("a")), ["somebody else's"]);
    staged(&out, PLAIN, "second").publish().unwrap();
    assert_eq!(generation(&out), "second");
}

#[test]
fn what_came_up_meanwhile_is_not_overwritten() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let late = staged(&out, PLAIN, "late");
    staged(&out, PLAIN, "early").publish().unwrap();
    assert!(matches!(late.publish(), Err(FolderError::Exists(_))));
    assert_eq!(generation(&out), "early");

    let late = staged(&out, FORCE, "late");
    fs::remove_dir_all(&out).unwrap();
    fs::write(&out, "a file").unwrap();
    assert!(matches!(late.publish(), Err(FolderError::NotAFolder { .. })));
    assert_eq!(fs::read_to_string(&out).unwrap(), "a file");
    assert_eq!(names(parent.path()), ["out"]);
}

#[test]
fn of_many_at_once_one_wins_or_each_in_turn() {
    let parent = tempfile::tempdir().unwrap();
    for (options, winners) in [(PLAIN, 1), (FORCE, 8)] {
        let out = parent.path().join("missing/out");
        let start = Barrier::new(8);
        let published = std::thread::scope(|scope| {
            let run = |number: usize| {
                let (out, start) = (&out, &start);
                move || {
                    start.wait();
                    try_staged(out, options, &format!("run {number}"))?.publish()
                }
            };
            let runs: Vec<_> = (0..8).map(|number| scope.spawn(run(number))).collect();
            let results: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                assert_eq!(error.class(), FolderErrorClass::Usage, "{error}");
            }
            results.iter().filter(|result| result.is_ok()).count()
        });
        assert_eq!(published, winners);
        assert!(generation(&out).starts_with("run "));
        assert_eq!(names(&parent.path().join("missing")), ["out"]);
        fs::remove_dir_all(parent.path().join("missing")).unwrap();
    }
}

#[test]
fn the_folder_s_mode_follows_the_umask() {
    const PLACE: &str = "VITPORT_TEST_UMASK_PLACE";
    if let Some(out) = std::env::var_os(PLACE) {
        staged(Path::new(&out), PLAIN, "first").publish().unwrap();
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    for (umask, folder, file) in [("022", 0o755, 0o644), ("077", 0o700, 0o600), ("002", 0o775, 0o664)] {
        let out = parent.path().join(umask);
        let status = Command::new("sh")
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(child::only(the_folder_s_mode_follows_the_umask))
            .env(PLACE, &out)
            .output()
            .unwrap();
        assert!(status.status.success(), "{status:?}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&out), folder, "umask {umask}");
        assert_eq!(mode(&out.join("config.json")), file, "umask {umask}");
    }
}
