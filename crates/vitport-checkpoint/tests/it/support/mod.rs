//! What the tests share: the files next to them, and what torch says is in those.

pub mod pickles;
pub mod zips;

use std::path::{Path, PathBuf};

use vitport_checkpoint::{Checkpoint, CheckpointError, Limits, Reason, Tensor};

/// A file or folder of `tests/data`.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Opens a file of `tests/data`.
pub fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&data(name), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Writes bytes to a temporary file and opens that.
pub fn open_bytes(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    open_bytes_with(bytes, &Limits::default())
}

/// The same with other limits.
pub fn open_bytes_with(bytes: &[u8], limits: &Limits) -> Result<Checkpoint, CheckpointError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Checkpoint::open(file.path(), limits)
}

/// The same, with dangerous calls allowed.
pub fn open_dangerous(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    open_bytes_with(bytes, &Limits { allow_dangerous_pickle: true, ..Limits::default() })
}

/// The refusal that the bytes must meet with, as one line.
pub fn refusal(bytes: &[u8]) -> (Reason, String) {
    match open_bytes(bytes) {
        Ok(checkpoint) => panic!("opened, with {} tensors", checkpoint.tensors().len()),
        Err(error) => one_line(error),
    }
}

/// An error's reason and its message, which must be one line without control characters.
pub fn one_line(error: CheckpointError) -> (Reason, String) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.contains(": ") && text.contains("; "), "says what and what to do: {text}");
    (error.reason().unwrap_or_else(|| panic!("not a refusal: {text}")), text)
}

/// All of a tensor's bytes, read in one go.
pub fn bytes(checkpoint: &Checkpoint, tensor: &Tensor) -> Vec<u8> {
    let mut out = vec![0; tensor.bytes() as usize];
    checkpoint.read(tensor, 0, &mut out).unwrap();
    out
}

/// A float32 tensor's values.
pub fn floats(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    let tensor = checkpoint.tensor(name).unwrap_or_else(|| panic!("no tensor {name}"));
    bytes(checkpoint, tensor)
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect()
}

/// What `make.py` wrote down for each file.
pub fn expected() -> serde_json::Map<String, serde_json::Value> {
    let text = std::fs::read_to_string(data("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A checkpoint in the form of `expected.json`: name, dtype, shape, SHA-256.
pub fn described(checkpoint: &Checkpoint) -> Vec<serde_json::Value> {
    let row =
        |t: &Tensor| serde_json::json!([t.name, t.dtype, t.shape, checkpoint.sha256_of_tensor(t).unwrap()]);
    checkpoint.tensors().iter().map(|tensor| row(tensor)).collect()
}
