//! What is not read is refused by its name, with what to do about it.

use vitport_checkpoint::{Checkpoint, Limits, Reason};

use crate::support::pickles::Pickle;
use crate::support::zips::{entry, torch_file, zip};
use crate::support::{self, data, one_line, open, refusal};

/// The refusal of a file next to the tests.
fn refused(name: &str) -> (Reason, String) {
    match Checkpoint::open(&data(name), &Limits::default()) {
        Ok(_) => panic!("{name} opened"),
        Err(error) => one_line(error),
    }
}

#[test]
fn tensors_without_plain_elements() {
    for (file, tensor, what) in [
        ("sparse.pth", "sparse", "a sparse tensor"),
        ("sparse_csr.pth", "csr", "a sparse tensor"),
        ("quantized.pth", "w", "a quantized tensor"),
        ("nested.pth", "w", "a nested tensor"),
        ("meta.pth", "w", "a meta tensor"),
        ("complex128.pth", "w", "has the dtype complex128"),
        ("object.npz", "w", "an array of Python objects"),
    ] {
        let (reason, text) = refused(file);
        assert_eq!(reason, Reason::Unsupported, "{file}");
        assert!(text.contains(&format!("'{tensor}'")) && text.contains(what), "{text}");
        // A look at the file is possible all the same.
        let survey = Checkpoint::survey(&data(file), &Limits::default()).unwrap();
        assert_eq!(survey.evidence().unsupported[0].path, tensor, "{file}");
    }
}

#[test]
fn beside_the_weights_they_are_only_listed() {
    let c = open("sparse_beside.pth");
    assert_eq!(c.evidence().unsupported[0].path, "extra.s");
    assert_eq!(c.root().path, "state_dict");
    let (reason, _) = one_line(open("sparse_beside.pth").select("").unwrap_err());
    assert_eq!(reason, Reason::Unsupported);
}

#[test]
fn files_that_are_something_else() {
    for (start, what) in [
        (&b"\x93NUMPY\x01\x00"[..], ".npy"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x78\x9c\x4b\x4c", "zlib"),
        (b"\x08\x01\x12\x07pytorch", "ONNX"),
        (b"\x08\x0a\x12\x07pytorch", "ONNX"),
        (b"hello, world", "known"),
        (b"\0\0\0\0\0\0\0\0\0\0", "known"),
        (b"{\"architecture\": \"vit\"}", "no 'weight_map'"),
    ] {
        let (reason, text) = refusal(start);
        assert_eq!(reason, Reason::UnknownFormat);
        assert!(text.contains(what), "{text}");
    }
    let (reason, text) = refusal(b"");
    assert_eq!(reason, Reason::Truncated);
    assert!(text.contains("empty"), "{text}");
}

#[test]
fn zips_that_are_something_else() {
    for (name, what) in [
        ("m/model.json", "TorchScript archive of PyTorch 1.2"),
        ("export/archive_format", "torch.export"),
        ("serialized_exported_program.json", "torch.export"),
        ("weights/model.pth", "around weight files"),
        ("readme.txt", "without weights"),
    ] {
        let (reason, text) = refusal(&zip(&[entry(name, b"x")]));
        assert_eq!(reason, Reason::UnknownFormat);
        assert!(text.contains(what), "{text}");
    }
    let (reason, text) = refusal(&zip(&[entry("a.npy", b"x"), entry("b.txt", b"x")]));
    assert_eq!(reason, Reason::UnknownFormat);
    assert!(text.contains("other files among them"), "{text}");
}

#[test]
fn nested_tensors_of_the_jagged_layout() {
    // `_rebuild_from_type_v2(_rebuild_njt, NestedTensor, (parts,), state)`: the parts are tensors, but not of the model.
    let pickle = Pickle::new()
        .op(b"}")
        .text("n")
        .global("torch._tensor", "_rebuild_from_type_v2")
        .op(b"(")
        .global("torch.nested._internal.nested_tensor", "_rebuild_njt")
        .global("torch.nested._internal.nested_tensor", "NestedTensor")
        .op(b"}")
        .text("values")
        .tensor("0", 4, 0, &[4], &[1])
        .op(b"s\x85NtRs.")
        .0;
    let (reason, text) = refusal(&torch_file(&pickle));
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("'n' is a nested tensor"), "{text}");
}

#[test]
fn dumps_of_joblib() {
    // The elements of the array follow the instruction that sets the wrapper's state.
    let wrapper = Pickle(vec![0x80, 3]).global("joblib.numpy_pickle", "NumpyArrayWrapper").op(b")\x81}b");
    let (reason, text) = refusal(&wrapper.op(&[0, 0, 0x80, 0x3f, b'.']).0);
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("a dump of joblib"), "{text}");
}

#[test]
fn a_tar_that_is_not_torchs() {
    let mut block = vec![0; 1536];
    block[..5].copy_from_slice(b"a.txt");
    block[124..135].copy_from_slice(b"00000000000");
    block[156] = b'0';
    let sum: u64 = block[..512].iter().map(|b| u64::from(*b)).sum::<u64>() + 8 * 32;
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let (reason, text) = refusal(&block);
    assert_eq!(reason, Reason::UnknownFormat);
    assert!(text.contains("'storages'"), "{text}");
}

#[test]
fn files_without_tensors() {
    // {'epoch': 3}
    let (reason, text) = refusal(b"\x80\x02}X\x05\0\0\0epochK\x03s.");
    assert_eq!(reason, Reason::NoTensors);
    assert!(text.contains("holds no tensors"), "{text}");
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_and_names_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let round = folder.path().join("round.pth");
    std::os::unix::fs::symlink(&round, &round).unwrap();
    let (reason, text) = support::one_line(Checkpoint::open(&round, &Limits::default()).unwrap_err());
    assert_eq!(reason, Reason::UnknownFormat);
    assert!(text.contains("symbolic link"), "{text}");
    let long = folder.path().join("n".repeat(5000));
    let error = Checkpoint::open(&long, &Limits::default()).unwrap_err();
    assert!(matches!(error, vitport_checkpoint::CheckpointError::NotFound { .. }), "{error}");
}

#[test]
fn dtypes_that_are_not_held_are_listed_with_their_shapes() {
    let (reason, text) = refused("says/dtypes.pth");
    assert_eq!(reason, Reason::Unsupported);
    assert!(text.contains("has the dtype complex32, which vitport does not read"), "{text}");
    let survey = Checkpoint::survey(&data("says/dtypes.pth"), &Limits::default()).unwrap();
    let mut known: Vec<&str> = survey.tensors().iter().map(|tensor| &*tensor.name).collect();
    known.sort_unstable();
    assert_eq!(known, ["complex64", "float8_e4m3fn", "float8_e5m2", "w"]);
    let unread = &survey.evidence().unsupported;
    let mut names: Vec<&str> = unread.iter().map(|tensor| tensor.path.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["complex128", "complex32", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"]);
    for tensor in unread {
        assert_eq!(tensor.dtype.as_deref(), Some(tensor.path.as_str()));
        assert_eq!(tensor.shape.as_deref(), Some(&[2, 3][..]), "{tensor:?}");
    }
}
