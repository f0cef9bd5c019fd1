//! Checks that what goes wrong while weights are written ends in an error of the right class: a damaged source, a full disk;
//! and a folder that is opened again says what is missing in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use vitport::folder::layout::FileLayout;
use vitport::folder::reader::Folder;
use vitport::folder::syncing::Syncing;
use vitport::folder::{FolderErrorClass, gather};
use vitport::plan::{Part, Plan};
use vitport_checkpoint::{Checkpoint, Dtype, Limits};

use super::source::{Source, bytes_of, singles, target, written};
use crate::{child, example};

#[test]
fn a_source_that_shrinks_meanwhile_is_named() {
    let source = Source::new(&[("w", Dtype::F32, &[500_000], bytes_of(&singles(500_000, 1)))]);
    let path = source.folder.path().join("source.safetensors");
    fs::File::options().write(true).open(&path).unwrap().set_len(700_000).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error =
        written(&source, vec![target("w", Dtype::F32, &[500_000], vec![source.whole("w")])], out.path())
            .unwrap_err();
    assert_eq!(error.class(), FolderErrorClass::Source, "{error}");
    assert!(error.to_string().contains("source.safetensors"), "{error}");
}

#[test]
fn a_flipped_bit_in_a_zip_is_found() {
    let example = example::path("cvt_tiny");
    let original = fs::read_dir(example)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "pth"))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.pth");
    let mut bytes = fs::read(&original).unwrap();
    let write_to = |path: &Path| {
        let checkpoint = Checkpoint::open(path, &Limits::default()).unwrap();
        let slice = |tensor: &vitport_checkpoint::Tensor| Part::Slice {
            tensor: tensor.clone().into(),
            first: 0,
            elements: tensor.elements(),
        };
        let targets = checkpoint
            .tensors()
            .iter()
            .map(|tensor| target(&tensor.name, tensor.dtype, &tensor.shape, vec![slice(tensor)]));
        let plan = Plan { targets: targets.collect(), ..Plan::default() };
        let layout = FileLayout::new(&plan, u64::MAX).unwrap();
        let out = tempfile::tempdir().unwrap();
        gather::write_weights(&checkpoint, &layout, out.path(), &Syncing::new(false), &|_| ())
    };
    assert!(write_to(&original).is_ok());
    let checkpoint = Checkpoint::open(&original, &Limits::default()).unwrap();
    let largest = checkpoint.tensors().iter().max_by_key(|tensor| tensor.bytes()).unwrap();
    let (_, at) = checkpoint.plain_bytes(largest).unwrap();
    bytes[usize::try_from(at + largest.bytes() / 2).unwrap()] ^= 16;
    fs::write(&damaged, bytes).unwrap();
    let error = write_to(&damaged).unwrap_err();
    assert_eq!(error.class(), FolderErrorClass::Source, "{error}");
    assert!(error.to_string().contains("CRC"), "{error}");
}

#[test]
fn a_file_beyond_the_size_limit_is_refused_before_any_work() {
    const PLACE: &str = "VITPORT_TEST_CARRY_PLACE";
    let source = Source::new(&[("w", Dtype::F32, &[100_000], bytes_of(&singles(100_000, 1)))]);
    if let Some(place) = std::env::var_os(PLACE) {
        let parts = (0..5).map(|_| source.whole("w")).collect();
        let targets = vec![target("w", Dtype::F32, &[5, 100_000], parts)];
        let error = written(&source, targets, Path::new(&place)).unwrap_err();
        assert_eq!(error.class(), FolderErrorClass::Disk, "{error}");
        let message = error.to_string();
        assert!(
            message.starts_with("cannot reserve space for") && message.contains("--max-shard-size"),
            "{message}"
        );
        println!("tried");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        // In blocks of 512 bytes; ignored, the signal becomes an error.
        .args(["-c", r#"trap '' XFSZ; ulimit -f 2000 && exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(child::only(a_file_beyond_the_size_limit_is_refused_before_any_work))
        .arg("--nocapture")
        .env(PLACE, place.path())
        .output()
        .unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("tried"),
        "{output:?}"
    );
}

#[test]
fn a_written_folder_opens_again_and_a_broken_one_says_what_is_wrong() {
    let source = Source::new(&[("w", Dtype::F32, &[2], bytes_of(&[1.0, 2.0]))]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let open = || {
        Folder::open(path, &Limits::default()).map_err(|error| {
            assert_eq!(error.class(), FolderErrorClass::Source, "{error}");
            error.to_string()
        })
    };
    assert!(open().unwrap_err().contains("has no config.json"));
    assert!(
        Folder::open(&path.join("nowhere"), &Limits::default())
            .unwrap_err()
            .to_string()
            .contains("is not a folder")
    );
    fs::write(path.join("config.json"), r#"{"model_type": "vit"}"#).unwrap();
    assert!(open().is_err());
    written(&source, vec![target("w", Dtype::F32, &[2], vec![source.whole("w")])], path).unwrap();
    let opened = open().unwrap();
    assert_eq!(opened.config["model_type"], "vit");
    assert!(opened.processor.is_none());
    assert_eq!(opened.checkpoint.tensors().len(), 1);
    fs::write(path.join("preprocessor_config.json"), r#"{"size": 224}"#).unwrap();
    assert_eq!(open().unwrap().processor.unwrap()["size"], 224);
    for (text, complaint) in [("[]", "not an object"), ("{\"a\": 1", "is not JSON"), ("", "is not JSON")] {
        fs::write(path.join("config.json"), text).unwrap();
        assert!(open().unwrap_err().contains(complaint), "{text}");
    }
}
