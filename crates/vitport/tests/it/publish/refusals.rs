//! Checks that what may not be replaced is refused before any work is done, by name, and nothing is left on the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use vitport::folder::publish::{Options, Staging};
use vitport::folder::{FolderError, FolderErrorClass};

use super::names;

const PLAIN: Options = Options { force: false, fsync: false };
const FORCE: Options = Options { force: true, fsync: false };

/// The refusal's message, after checking its class and that nothing was made next to `out`.
fn refused(out: &Path, protect: &[PathBuf], options: Options) -> String {
    let place = fs::canonicalize(out.parent().unwrap()).unwrap();
    let before = names(&place);
    let error = Staging::begin(out, protect, options).expect_err("should be refused");
    assert_eq!(error.class(), FolderErrorClass::Usage, "{error}");
    assert_eq!(names(&place), before);
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

fn model(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join("config.json"), r#"{"model_type": "vit"}"#).unwrap();
    fs::write(path.join("model.safetensors"), "weights").unwrap();
}

#[test]
fn a_folder_with_something_in_it_needs_force() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    model(&out);
    assert!(refused(&out, &[], PLAIN).contains("exists and is not empty"));
    assert!(Staging::begin(&out, &[], FORCE).is_ok());
    assert_eq!(names(&out), ["config.json", "model.safetensors"]);
}

#[test]
fn force_does_not_delete_a_stranger_s_folder() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("photos");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("holiday.jpg"), "").unwrap();
    assert!(refused(&out, &[], FORCE).contains("has no config.json"));
    model(&out);
    assert!(refused(&out, &[], FORCE).contains("holds `holiday.jpg`, which no conversion writes"));
    fs::create_dir(out.join("runs")).unwrap();
    assert!(refused(&out, &[], FORCE).contains("holds the folder `runs`"));
}

#[test]
fn force_deletes_only_what_a_conversion_writes() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    let ours: [(&str, &str); 7] = [
        ("preprocessor_config.json", "{}"),
        ("model-00001-of-00002.safetensors", ""),
        ("model.safetensors.index.json", "{}"),
        ("modeling_microsoft_cvt.py", ""),
        ("how it went.json", "{\n  \"schema\": 1,\n  \"vitport\": \"0.1.0\""),
        ("README.md", "# card"),
        (".gitattributes", ""),
    ];
    for (name, text) in ours {
        model(&out);
        fs::write(out.join(name), text).unwrap();
        drop(Staging::begin(&out, &[], FORCE).unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    for name in
        ["labels.txt", "pytorch_model.bin", "model-1-of-2.safetensors", "modelling.py", "notes.json", ".env"]
    {
        fs::write(out.join(name), "mine").unwrap();
        let message = refused(&out, &[], FORCE);
        assert!(message.contains(&format!("holds `{name}`, which no conversion writes")), "{message}");
        fs::remove_file(out.join(name)).unwrap();
    }
    fs::remove_file(out.join("model-00001-of-00002.safetensors")).unwrap();
    symlink("../elsewhere", out.join("model-00001-of-00002.safetensors")).unwrap();
    assert!(refused(&out, &[], FORCE).contains("holds `model-00001-of-00002.safetensors`"));
}

#[test]
fn force_deletes_no_folder_of_another_framework() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("hub");
    model(&out);
    for config in ["{}", "not JSON", r#"{"architecture": "vit_base_patch16_224", "num_classes": 10}"#] {
        fs::write(out.join("config.json"), config).unwrap();
        assert!(refused(&out, &[], FORCE).contains("has no config.json of a transformers model"), "{config}");
    }
}

#[test]
fn a_file_that_came_up_at_the_last_moment_is_left() {
    let parent = tempfile::tempdir().unwrap();
    let stale = parent.path().join(".out.vitport-abc123");
    model(&stale);
    fs::write(stale.join("mine.txt"), "mine").unwrap();
    drop(Staging::begin(&parent.path().join("out"), &[], FORCE).unwrap());
    assert_eq!(names(&stale), ["config.json", "mine.txt", "model.safetensors"]);
}

#[test]
fn a_file_a_link_and_a_place_below_a_file_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "precious").unwrap();
    let real = parent.path().join("real");
    model(&real);
    let (link, dangling) = (parent.path().join("link"), parent.path().join("dangling"));
    symlink(&real, &link).unwrap();
    symlink("nowhere", &dangling).unwrap();
    for options in [PLAIN, FORCE] {
        assert!(refused(&file, &[], options).contains("is a file, not a folder"));
        assert!(refused(&link, &[], options).contains("is a symbolic link to"));
        assert!(refused(&dangling, &[], options).contains("is a symbolic link to `nowhere`"));
        let error = Staging::begin(&file.join("a/b"), &[], options).unwrap_err();
        assert!(matches!(&error, FolderError::ParentNotAFolder { parent, .. } if *parent == file), "{error}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(matches!(Staging::begin(Path::new("/"), &[], FORCE), Err(FolderError::Unnamed(_))));
    assert!(matches!(Staging::begin(Path::new(""), &[], FORCE), Err(FolderError::Unnamed(_))));
}

#[test]
fn the_current_folder_and_those_around_it_are_refused() {
    for out in [".", "..", "../.."] {
        let error = Staging::begin(Path::new(out), &[], FORCE).unwrap_err();
        assert!(matches!(error, FolderError::Current(_)), "{out}: {error}");
    }
}

#[test]
fn a_mount_point_is_refused() {
    let error = Staging::begin(Path::new("/proc"), &[], FORCE).unwrap_err();
    assert!(matches!(error, FolderError::MountPoint(_)), "{error}");
}

#[test]
fn the_source_is_neither_replaced_nor_written_into() {
    let parent = tempfile::tempdir().unwrap();
    let source = parent.path().join("source");
    model(&source);
    let weights = source.join("model.safetensors");
    let inside = source.join("out");
    assert!(refused(&source, std::slice::from_ref(&source), FORCE).contains(" is the source "));
    assert!(refused(&weights, std::slice::from_ref(&weights), FORCE).contains(" is the source "));
    assert!(refused(&source, std::slice::from_ref(&weights), FORCE).contains(" contains the source "));
    assert!(refused(&inside, std::slice::from_ref(&source), PLAIN).contains(" lies in the source "));

    // The same by other names: through a link to the folder, and through a link in it to bytes elsewhere.
    let alias = parent.path().join("alias");
    symlink(&source, &alias).unwrap();
    assert!(refused(&source, &[alias.join("model.safetensors")], FORCE).contains(" contains the source "));
    assert!(
        refused(&alias.join("out"), std::slice::from_ref(&source), PLAIN).contains(" lies in the source ")
    );
    let snapshot = parent.path().join("snapshot");
    fs::create_dir(&snapshot).unwrap();
    fs::write(snapshot.join("config.json"), r#"{"model_type": "vit"}"#).unwrap();
    symlink(&weights, snapshot.join("model.safetensors")).unwrap();
    assert!(
        refused(&snapshot, &[snapshot.join("model.safetensors")], FORCE).contains(" contains the source ")
    );

    // A folder next to the source is nobody's concern.
    assert!(Staging::begin(&parent.path().join("out"), &[source, weights], FORCE).is_ok());
}

#[test]
fn an_escape_sequence_in_a_name_does_not_reach_the_terminal() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("a\u{1b}[2J\nb");
    model(&out);
    let message = refused(&out, &[], PLAIN);
    assert!(!message.contains('\u{1b}'), "{message}");
}
