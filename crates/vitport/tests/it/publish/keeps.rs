//! Checks that what is the user's in an output folder outlives the model that is published there: a card, a clone's `.git`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use vitport::folder::publish::{Options, PublishedFolder, Staging};

use super::{config, generation_of, names};

const PLAIN: Options = Options { force: false, fsync: true };
const FORCE: Options = Options { force: true, fsync: true };

/// A clone of a repository that the Hub made a moment ago.
fn clone(out: &Path) {
    fs::create_dir_all(out.join(".git/objects")).unwrap();
    fs::write(out.join(".git/HEAD"), "ref: refs/heads/main").unwrap();
    fs::write(out.join(".gitattributes"), "*.safetensors filter=lfs").unwrap();
    fs::write(out.join("README.md"), "mine").unwrap();
}

fn publish(out: &Path, options: Options, card: Option<&str>) -> PublishedFolder {
    let staging = Staging::begin(out, &[], options).unwrap();
    staging.write("config.json", config("new").as_bytes()).unwrap();
    if let Some(card) = card {
        staging.write("README.md", card.as_bytes()).unwrap();
    }
    staging.publish().unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_model_is_published_into_a_clone_and_the_card_there_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    clone(&out);
    let published = publish(&out, PLAIN, Some("new card"));
    assert_eq!(published.kept, ["README.md", ".gitattributes"]);
    assert_eq!(published.left_behind, None);
    assert_eq!(names(&out), [".git", ".gitattributes", "README.md", "config.json"]);
    assert_eq!(read(out.join("README.md")), "mine");
    assert_eq!(read(out.join(".git/HEAD")), "ref: refs/heads/main");
    assert_eq!(names(parent.path()), ["out"]);
}

#[test]
fn force_replaces_the_card_by_a_new_one_and_keeps_it_where_there_is_none() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    clone(&out);
    fs::write(out.join("config.json"), config("old")).unwrap();
    fs::write(out.join("LICENSE"), "my terms").unwrap();
    publish(&out, FORCE, Some("new card"));
    assert_eq!((read(out.join("README.md")), generation_of(&out)), ("new card".into(), "new".into()));
    assert_eq!(
        (read(out.join("LICENSE")), read(out.join(".git/HEAD"))),
        ("my terms".into(), "ref: refs/heads/main".into())
    );
    publish(&out, FORCE, None);
    assert_eq!(read(out.join("README.md")), "new card");
    assert_eq!(names(&out), [".git", ".gitattributes", "LICENSE", "README.md", "config.json"]);
}

#[test]
fn a_run_that_was_killed_before_it_moved_the_git_folder_loses_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    // What is there right after the exchange: the new folder under its name, the clone under the temporary one.
    fs::create_dir(&out).unwrap();
    fs::write(out.join("config.json"), config("new")).unwrap();
    clone(&parent.path().join(".out.vitport-abc123"));
    drop(Staging::begin(&out, &[], FORCE).unwrap());
    assert_eq!(read(out.join(".git/HEAD")), "ref: refs/heads/main");
    assert_eq!(names(parent.path()), ["out"]);
    // With nowhere to move it, it stays where it is.
    let second = parent.path().join(".out.vitport-def456");
    clone(&second);
    drop(Staging::begin(&out, &[], FORCE).unwrap());
    assert_eq!(read(second.join(".git/HEAD")), "ref: refs/heads/main");
}

#[test]
fn a_link_that_is_called_like_a_card_is_not_kept() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(parent.path().join("elsewhere"), "").unwrap();
    symlink("../elsewhere", out.join("README.md")).unwrap();
    let refused = Staging::begin(&out, &[], PLAIN).unwrap_err().to_string();
    assert!(refused.contains("exists and is not empty"), "{refused}");
}
