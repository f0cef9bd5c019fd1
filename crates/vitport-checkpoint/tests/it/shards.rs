//! Folders and shard indices: what is opened, and what a shard's name may not do.

use std::fs;
use std::path::Path;

use vitport_checkpoint::{Checkpoint, CheckpointError, CheckpointErrorClass, Limits, Reason};

use crate::support::{data, one_line};

fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open(path, &Limits::default())
}

/// The shards next to the tests, copied to where they may be changed.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data("shards")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

const INDEX: &str = "model.safetensors.index.json";

/// The refusal of the shards with a changed index.
fn with_index(change: impl Fn(String) -> String) -> (Reason, String) {
    let folder = copy();
    let path = folder.path().join(INDEX);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, change(text)).unwrap();
    one_line(open(folder.path()).map(drop).unwrap_err())
}

#[test]
fn an_index_opens_by_itself_too() {
    let folder = open(&data("shards")).unwrap();
    let index = open(&data("shards").join(INDEX)).unwrap();
    assert_eq!(folder.tensors(), index.tensors());
    assert_eq!(folder.files().len(), 2);
    assert_eq!(folder.evidence().shards, Some(2));
}

#[test]
fn shard_names_that_lead_out_of_the_folder() {
    for name in ["/etc/passwd", "../part-1-of-2.safetensors", "a/../../x", "C:\\\\x", "sub\\\\x", ""] {
        let (reason, text) = with_index(|text| text.replacen("part-1-of-2.safetensors", name, 1));
        assert_eq!(reason, Reason::Shard, "{name}");
        assert!(text.contains("leads out of the folder"), "{text}");
    }
}

#[test]
fn a_missing_shard_is_named() {
    let folder = copy();
    fs::remove_file(folder.path().join("part-2-of-2.safetensors")).unwrap();
    let (reason, text) = one_line(open(folder.path()).map(drop).unwrap_err());
    assert_eq!(reason, Reason::Shard);
    assert!(text.contains("'part-2-of-2.safetensors' is missing"), "{text}");
}

#[test]
fn a_tensor_that_its_shard_does_not_hold() {
    let (reason, text) = with_index(|text| text.replacen("stem.bias", "stem.beast", 1));
    assert_eq!(reason, Reason::Shard);
    assert!(text.contains("'stem.beast'"), "{text}");
}

#[test]
fn an_index_that_names_a_tensor_twice() {
    let (reason, text) = with_index(|text| {
        text.replacen("\"weight_map\": {", "\"weight_map\": {\"stem.bias\": \"part-1-of-2.safetensors\",", 1)
    });
    assert_eq!(reason, Reason::Contradiction);
    assert!(text.contains("'stem.bias' twice"), "{text}");
}

#[test]
fn json_that_is_no_index() {
    assert_eq!(with_index(|_| "{\"a\": 1}".into()).0, Reason::UnknownFormat);
    assert_eq!(with_index(|_| "{\"weight_map\": {}}".into()).0, Reason::NoTensors);
    assert_eq!(with_index(|_| "{\"weight_map\": {\"a\": 1}}".into()).0, Reason::Malformed);
    assert_eq!(with_index(|_| "{\"weight_map\": {}, \"weight_map\": {}}".into()).0, Reason::Malformed);
    assert_eq!(with_index(|_| "{".into()).0, Reason::Malformed);
}

#[test]
fn an_index_is_not_its_own_shard() {
    let (reason, _) = with_index(|text| text.replace("part-1-of-2.safetensors", INDEX));
    assert_eq!(reason, Reason::UnknownFormat);
}

#[cfg(unix)]
#[test]
fn symlinked_shards_are_fine() {
    let folder = tempfile::tempdir().unwrap();
    for name in [INDEX, "part-1-of-2.safetensors", "part-2-of-2.safetensors"] {
        std::os::unix::fs::symlink(data("shards").join(name), folder.path().join(name)).unwrap();
    }
    assert_eq!(open(folder.path()).unwrap().tensors(), open(&data("shards")).unwrap().tensors());
}

#[test]
fn the_file_of_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let put = |from: &str, to: &str| fs::copy(data(from), folder.path().join(to)).unwrap();
    let (reason, _) = one_line(open(folder.path()).map(drop).unwrap_err());
    assert_eq!(reason, Reason::NoTensors);

    put("small.pth", "weights.pth");
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert_eq!(open(folder.path()).unwrap().files()[0].path, folder.path().join("weights.pth"));

    put("train.pth", "other.pth");
    let (reason, text) = one_line(open(folder.path()).map(drop).unwrap_err());
    assert_eq!(reason, Reason::Ambiguous);
    assert!(text.contains("'other.pth', 'weights.pth'"), "{text}");

    put("small.pth", "pytorch_model.bin");
    assert!(open(folder.path()).unwrap().files()[0].path.ends_with("pytorch_model.bin"));
    put("dtypes.safetensors", "model.safetensors");
    assert!(open(folder.path()).unwrap().files()[0].path.ends_with("model.safetensors"));
}

#[test]
fn paths_that_do_not_exist() {
    let error = open(Path::new("/nowhere/model.pth")).map(drop).unwrap_err();
    assert_eq!(error.class(), CheckpointErrorClass::NotFound);
    assert!(error.to_string().contains("/nowhere/model.pth"));
}

#[cfg(unix)]
#[test]
fn devices_are_not_opened() {
    assert_eq!(open(Path::new("/dev/zero")).map(drop).unwrap_err().reason(), Some(Reason::UnknownFormat));
}
