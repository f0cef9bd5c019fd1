//! Folders of torch.distributed.checkpoint: what torch reads back of them is read, and hostile ones are refused.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vitport_checkpoint::{Checkpoint, CheckpointError, Container, Encoding, Limits, PlainValue, Reason};

use crate::support::{bytes, data, described, one_line};

fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open_whole(path, &Limits::default())
}

/// A folder next to the tests, copied to where it may be changed.
fn copy(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(data("distributed").join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// The refusal of a folder whose `.metadata` is changed: of the first place where `from` stands, as many bytes.
fn with_metadata(name: &str, from: &[u8], to: &[u8]) -> (Reason, String) {
    let folder = copy(name);
    let path = folder.path().join(".metadata");
    let mut text = fs::read(&path).unwrap();
    let at = text.windows(from.len()).position(|window| window == from).expect("it stands there");
    text.splice(at..at + from.len(), to.iter().copied());
    fs::write(&path, text).unwrap();
    one_line(open(folder.path()).map(drop).unwrap_err())
}

#[test]
fn what_torch_reads_back_is_read() {
    let expected: Value =
        serde_json::from_slice(&fs::read(data("distributed/expected.json")).unwrap()).unwrap();
    for name in ["tiny", "alone", "sharded"] {
        let checkpoint = open(&data("distributed").join(name)).unwrap();
        let mut found = described(&checkpoint);
        found.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
        assert_eq!(Value::from(found), expected[name], "{name}");
        assert_eq!(checkpoint.evidence().container, Some(Container::TorchDistributed));
        checkpoint.verify_all().unwrap();
        // A part at a time is what the whole is.
        for tensor in checkpoint.tensors().iter().filter(|tensor| tensor.elements() > 0) {
            let whole = bytes(&checkpoint, tensor);
            let size = tensor.dtype.size() as usize;
            for first in 0..tensor.elements() {
                let mut rest = vec![0; whole.len() - first as usize * size];
                checkpoint.read(tensor, first, &mut rest).unwrap();
                assert_eq!(rest, whole[first as usize * size..], "{}", tensor.name);
            }
        }
    }
}

#[test]
fn the_parts_are_those_of_the_state_dict_that_was_saved() {
    for name in ["alone", "sharded"] {
        let folder = data("distributed").join(name);
        let checkpoint = Checkpoint::open(&folder, &Limits::default()).unwrap();
        assert_eq!(checkpoint.root().path, "model", "{name}");
        assert!(checkpoint.tensor("0.weight").is_some(), "{name}");
        let by_description = open(&folder.join(".metadata")).unwrap();
        assert_eq!(by_description.files(), checkpoint.files());
        let value = |path: &str| {
            let found = checkpoint.metadata().iter().find(|entry| entry.path == path);
            found.map(|entry| entry.value.clone()).unwrap_or_else(|| panic!("{name}: no {path}"))
        };
        assert_eq!(value("epoch"), PlainValue::Int(3));
        assert_eq!(value("args.name"), PlainValue::Str("vit".to_owned()));
        assert_eq!(
            value("args.mean"),
            PlainValue::List(vec![PlainValue::Float(0.5), PlainValue::Float(0.25)])
        );
    }
    let sharded = open(&data("distributed/sharded")).unwrap();
    let joined = |name: &str| {
        let tensor = sharded.tensor(name).unwrap();
        matches!(sharded.storages()[tensor.storage].encoding, Encoding::Joined { .. })
    };
    assert!(joined("model.0.weight") && joined("model.by_columns") && joined("model.uneven"));
    assert!(!joined("model.both") && !joined("model.count"));
}

#[test]
fn a_damaged_part_is_noticed() {
    for name in ["alone", "sharded"] {
        let folder = copy(name);
        let checkpoint = open(folder.path()).unwrap();
        let tensor = checkpoint.tensor("model.0.weight").unwrap();
        let storage = match &checkpoint.storages()[tensor.storage].encoding {
            Encoding::Joined { parts } => parts[1].storage,
            _ => tensor.storage,
        };
        let storage = &checkpoint.storages()[storage];
        let file = &checkpoint.files()[storage.file].path;
        let mut damaged = fs::read(file).unwrap();
        damaged[storage.offset as usize + 2] ^= 1;
        fs::write(file, damaged).unwrap();
        let (reason, _) = one_line(open(folder.path()).unwrap().verify_all().unwrap_err());
        assert_eq!(reason, Reason::Checksum, "{name}");
    }
}

#[test]
fn metadata_that_contradicts_the_parts_is_refused() {
    // The size of the whole, 2 × 3.
    let (reason, text) = with_metadata("tiny", b"K\x02K\x03\x86", b"K\x03K\x03\x86");
    assert_eq!((reason, text.contains("'w'")), (Reason::Contradiction, true), "{text}");
    for (from, to, expected) in [
        (&b"__0_0.distcp"[..], &b"../../_.dist"[..], Reason::Shard),
        (b"state_dict_metadata", b"state_dict_metadatx", Reason::Malformed),
        (b"BytesStorageMetadata", b"BytesStorageMetadatx", Reason::Malformed),
        (b"relative_path", b"relative_pat_", Reason::Malformed),
    ] {
        let (reason, text) = with_metadata("tiny", from, to);
        assert_eq!(reason, expected, "{text}");
    }
    // A global that runs code, in place of that of a path.
    let (_, error) = {
        let folder = copy("tiny");
        let path = folder.path().join(".metadata");
        let text = fs::read(&path).unwrap();
        let from = b"\x8c\x07pathlib\x94\x8c\x09PosixPath";
        let at = text.windows(from.len()).position(|window| window == from).expect("it stands there");
        let mut changed = text.clone();
        changed.splice(at..at + from.len(), b"\x8c\x05posix\x94\x8c\x06system".iter().copied());
        fs::write(&path, changed).unwrap();
        (folder.path().to_owned(), open(folder.path()).map(drop).unwrap_err())
    };
    assert!(matches!(error, CheckpointError::Dangerous { .. }), "{error}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = copy("sharded");
    fs::remove_file(folder.path().join("__1_0.distcp")).unwrap();
    let error = open(folder.path()).map(drop).unwrap_err();
    assert!(error.to_string().contains("__1_0.distcp: there is no such file"), "{error}");
    fs::remove_file(folder.path().join(".metadata")).unwrap();
    let (reason, text) = one_line(open(folder.path()).map(drop).unwrap_err());
    assert_eq!(reason, Reason::Truncated);
    assert!(text.contains("without the '.metadata'"), "{text}");
    let folder = copy("alone");
    let part = folder.path().join("__0_0.distcp");
    let whole = fs::read(&part).unwrap();
    fs::write(&part, &whole[..whole.len() / 2]).unwrap();
    let (reason, text) = one_line(open(folder.path()).map(drop).unwrap_err());
    assert_eq!(reason, Reason::Truncated, "{text}");
}

#[test]
fn limits_hold() {
    let folder = data("distributed/sharded");
    for limits in [
        Limits { max_tensors: 5, ..Limits::default() },
        Limits { max_shards: 1, ..Limits::default() },
        Limits { max_header_bytes: 1000, ..Limits::default() },
        Limits { max_name_len: 8, ..Limits::default() },
        Limits { max_entries: 6, ..Limits::default() },
    ] {
        let (reason, text) = one_line(Checkpoint::open_whole(&folder, &limits).map(drop).unwrap_err());
        assert_eq!(reason, Reason::Limit, "{text}");
    }
}

#[test]
fn what_is_not_read_is_named_with_the_command_for_this_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("it's a run");
    fs::create_dir(&folder).unwrap();
    for name in [".metadata", "__0_0.distcp"] {
        fs::copy(data("distributed/tiny").join(name), folder.join(name)).unwrap();
    }
    let part = folder.join("__0_0.distcp");
    let length = fs::read(&part).unwrap().len();
    fs::write(&part, vec![7; length]).unwrap();
    let (reason, text) = one_line(open(&folder).map(drop).unwrap_err());
    assert_eq!(reason, Reason::InParts, "{text}");
    assert!(text.contains("dcp_to_torch \"") && text.contains("it's a run\" OUT.pth"), "{text}");
}
