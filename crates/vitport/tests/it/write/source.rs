//! Holds a checkpoint with known bytes to write from, and plans of a few lines.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::json;
use tempfile::TempDir;
use vitport::folder::layout::FileLayout;
use vitport::folder::syncing::Syncing;
use vitport::folder::{Result, gather};
use vitport::plan::{Part, Plan, Target};
use vitport_checkpoint::{Checkpoint, Dtype, Limits, Tensor};

/// Holds a safetensors file in a temporary folder, opened.
pub struct Source {
    pub folder: TempDir,
    pub checkpoint: Checkpoint,
}

impl Source {
    /// Writes the tensors, each with its name, dtype, shape and bytes.
    pub fn new(tensors: &[(&str, Dtype, &[u64], Vec<u8>)]) -> Self {
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for (name, dtype, shape, bytes) in tensors {
            let begin = data.len();
            data.extend_from_slice(bytes);
            header.insert(
                (*name).to_owned(),
                json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, data.len()]}),
            );
        }
        let header = serde_json::Value::Object(header).to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source.safetensors");
        std::fs::write(&path, file).unwrap();
        let checkpoint = Checkpoint::open(&path, &Limits::default()).unwrap();
        Source { folder, checkpoint }
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        Tensor::clone(self.checkpoint.tensor(name).unwrap())
    }

    /// Returns all elements of a tensor.
    pub fn whole(&self, name: &str) -> Part {
        let tensor = self.tensor(name);
        Part::Slice { first: 0, elements: tensor.elements(), tensor: tensor.into() }
    }
}

/// Returns bytes without a pattern, the same for the same seed.
pub fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(count)
    .collect()
}

/// Returns float32 values between -1 and 1 without a pattern.
pub fn singles(count: usize, seed: u64) -> Vec<f32> {
    noise(count * 4, seed)
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| i32::from_le_bytes(bytes) as f32 / i32::MAX as f32)
        .collect()
}

pub fn bytes_of(singles: &[f32]) -> Vec<u8> {
    singles.iter().flat_map(|single| single.to_le_bytes()).collect()
}

pub fn target(name: &str, dtype: Dtype, shape: &[u64], parts: Vec<Part>) -> Target {
    Target { name: name.into(), dtype, shape: shape.into(), parts: parts.into(), operation: "rename" }
}

/// Writes the targets into `folder` as one file, and gives back the bytes of each by name, as the safetensors library
/// reads them.
pub fn written(source: &Source, targets: Vec<Target>, folder: &Path) -> Result<HashMap<String, Vec<u8>>> {
    let plan = Plan { targets, ..Plan::default() };
    let layout = FileLayout::new(&plan, u64::MAX)?;
    gather::write_weights(&source.checkpoint, &layout, folder, &Syncing::new(false), &|_| ())?;
    let file = std::fs::read(folder.join("model.safetensors")).unwrap();
    let read = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(read.len(), plan.targets.len());
    for target in &plan.targets {
        let view = read.tensor(&target.name).unwrap();
        let shape: Vec<u64> = view.shape().iter().map(|&dim| dim as u64).collect();
        assert_eq!(
            (format!("{}", view.dtype()).as_str(), &shape),
            (target.dtype.name(), &target.shape.to_vec())
        );
    }
    Ok(read.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect())
}
