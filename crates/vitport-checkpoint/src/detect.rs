//! What kind of file this is, known from its bytes and never from its name.

use crate::error::{Fault, Reason, refuse};
use crate::source::Source;
use crate::{safetensors, tar, zip};

/// Describes the kinds of file that have a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Stands for safetensors.
    Safetensors,
    /// Means a zip, of PyTorch's or of numpy's.
    Zip,
    /// Stands for PyTorch's old tar.
    Tar,
    /// Stands for something that begins as a pickle: PyTorch's legacy stream, or a plain one.
    Pickle,
    /// Means a JSON document: a shard index.
    Json,
}

/// Formats that are recognised in order to be refused by name: how they begin, and what they are.
const STRANGERS: [(&[u8], &str); 12] = [
    (b"\x93NUMPY", "a single numpy array (.npy), which has no tensor names"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (b"GGUF", "a GGUF file, as llama.cpp reads"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
    (b"<!DOCTYPE", "an HTML page, probably an error page of the download"),
    (b"<!doctype", "an HTML page, probably an error page of the download"),
    (b"<html", "an HTML page, probably an error page of the download"),
    (b"<?xml", "an XML document, probably an error message of the download"),
    (b"\x1f\x8b", "a gzip stream (unpack it first)"),
    (b"BZh", "a bzip2 stream (unpack it first)"),
    (b"\xfd7zXZ\0", "an xz stream (unpack it first)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard stream (unpack it first)"),
];

/// Looks at the beginning, and for a zip at the end, of a file.
pub(crate) fn kind(source: &Source) -> Result<Kind, Fault> {
    if source.len == 0 {
        return refuse(Reason::Truncated, "the file is empty");
    }
    let start =
        source.bytes_at(0, usize::try_from(source.len.min(512)).unwrap_or(512), "the file's beginning")?;
    if let Some((_, what)) = STRANGERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return refuse(Reason::UnknownFormat, format!("this is {what}"));
    }
    if is_onnx(&start) {
        return refuse(Reason::UnknownFormat, "this is probably an ONNX model");
    }
    if start.starts_with(b"PK\x03\x04") {
        return Ok(Kind::Zip);
    }
    if safetensors::looks_like(&start, source.len) {
        return Ok(Kind::Safetensors);
    }
    if start.first() == Some(&0x80) && start.get(1).is_some_and(|protocol| (1..=5).contains(protocol)) {
        return Ok(Kind::Pickle);
    }
    if tar::looks_like(&start) {
        return Ok(Kind::Tar);
    }
    if zip::has_end_record(source)? {
        return Ok(Kind::Zip);
    }
    if matches!(start.as_slice(), [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]) {
        return refuse(
            Reason::UnknownFormat,
            "this is a zlib stream, as joblib compresses its dumps (unpack it first)",
        );
    }
    let first_text = start.iter().find(|byte| !byte.is_ascii_whitespace());
    if first_text == Some(&b'{') {
        return Ok(Kind::Json);
    }
    // Protocol 0 has no header; what torch and numpy write with it begins with a global or a mark.
    if start.first().is_some_and(|byte| b"(c]}L".contains(byte)) {
        return Ok(Kind::Pickle);
    }
    refuse(Reason::UnknownFormat, "this is no weight file of a known format")
}

/// Returns whether a file begins as the ONNX models of known writers do: a small version, then the name of the writer (fields 1 and 2 of
/// `ModelProto` in onnx.proto).
fn is_onnx(start: &[u8]) -> bool {
    matches!(start, [0x08, 1..=64, 0x12, ..])
}
