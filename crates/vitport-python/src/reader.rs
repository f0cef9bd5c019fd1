//! Reads the tensors of a checkpoint into Python's own memory, each once and checked on the way.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};
use rayon::prelude::*;
use vitport_checkpoint::{Audit, Checkpoint, CheckpointError, Tensor};
use vitport_cli::program::{Call, reading_failed};
use vitport_cli::watch::Watch;

use crate::given::options;
use crate::raised::raised;

/// Counts the bytes that a thread reads at a time: they are still in its cache when their checksum is computed. A multiple of every dtype's size.
const BLOCK: usize = 256 << 10;

/// Counts the bytes between two looks for Ctrl-C.
const LOOK: usize = 64 << 20;

/// Divides the addresses at which tensors of this size or more begin: some processors copy more slowly to others.
const PAGE: usize = 4096;

/// Holds a tensor's name, dtype by safetensors' name, and shape.
type Described = (String, &'static str, Vec<u64>);

/// Reads an opened file.
#[pyclass(frozen, module = "vitport._vitport")]
pub struct Reader {
    checkpoint: Checkpoint,
}

#[pymethods]
impl Reader {
    /// Opens a file and chooses the part that holds the weights, or the one of `key`. Reads no tensor.
    #[new]
    fn new(py: Python<'_>, path: PathBuf, given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let call =
            Call { command: "inspect".to_owned(), arguments: vec![path.into()], options: options(given)? };
        let opened = py.detach(|| call.open(&Watch::default()));
        opened.map(|checkpoint| Self { checkpoint }).map_err(|document| raised(py, &document, None))
    }

    /// Returns name, dtype and shape of each tensor in the order of the file.
    fn tensors(&self) -> Vec<Described> {
        self.checkpoint.tensors().iter().map(|tensor| described(tensor)).collect()
    }

    /// Returns the files' paths.
    fn files(&self) -> Vec<PathBuf> {
        self.checkpoint.files().iter().map(|file| file.path.clone()).collect()
    }

    /// Returns the path of the part of the file that holds the tensors, and what stands next to them as pairs of paths and JSON.
    fn about(&self) -> (String, Vec<(String, String)>) {
        let json = |value: &vitport_checkpoint::PlainValue| serde_json::to_string(value).unwrap_or_default();
        let metadata = self.checkpoint.metadata().iter();
        let entries = metadata.map(|entry| (entry.path.to_string(), json(&entry.value))).collect();
        (self.checkpoint.root().path.clone(), entries)
    }

    /// Returns the number of the file in which a tensor lies as it is in memory, and where it begins there; none where it has to be
    /// unpacked or put in order.
    fn place(&self, name: &str) -> PyResult<Option<(usize, u64)>> {
        Ok(self.checkpoint.plain_bytes(self.tensor(name)?))
    }

    /// Returns `count` elements of a tensor from number `first` on, in row-major order, and where they begin in the memory. Checksums
    /// are not looked at.
    fn read<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        first: u64,
        count: u64,
    ) -> PyResult<(Bound<'py, PyByteArray>, usize)> {
        let tensor = self.tensor(name)?;
        filled(py, tensor, first, count, |first, bytes| self.checkpoint.read(tensor, first, bytes))
    }

    /// Returns every tensor's bytes and where they begin in the memory, in the order of the file. All checksums have matched.
    fn read_all<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyByteArray>, usize)>> {
        let audit: Audit<'_> = self.checkpoint.audit();
        let read = |tensor: &Arc<Tensor>| {
            filled(py, tensor, 0, tensor.elements(), |first, bytes| audit.read(tensor, first, bytes))
        };
        let all = self.checkpoint.tensors().iter().map(read).collect::<PyResult<_>>()?;
        py.detach(|| audit.finish()).map_err(|error| failed(py, error))?;
        Ok(all)
    }
}

impl Reader {
    fn tensor(&self, name: &str) -> PyResult<&Arc<Tensor>> {
        self.checkpoint.tensor(name).ok_or_else(|| PyKeyError::new_err(name.to_owned()))
    }
}

/// Fills new memory with elements of a tensor, on all threads.
fn filled<'py>(
    py: Python<'py>,
    tensor: &Tensor,
    first: u64,
    count: u64,
    read: impl Fn(u64, &mut [u8]) -> Result<(), CheckpointError> + Sync,
) -> PyResult<(Bound<'py, PyByteArray>, usize)> {
    let size = tensor.dtype.size();
    let bytes = count.checked_mul(size).and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.filter(|bytes| bytes.checked_add(PAGE).is_some());
    let bytes = bytes.ok_or_else(|| PyMemoryError::new_err("a tensor is larger than memory can be"))?;
    // Elements in another order are picked from the whole that they lie in, so they are read at once.
    let block = if tensor.is_contiguous() { BLOCK } else { bytes.max(1) };
    let spare = if bytes >= PAGE { PAGE } else { 0 };
    let mut begin = 0;
    let memory = PyByteArray::new_with(py, bytes + spare, |memory| {
        begin = if spare > 0 { memory.as_ptr().align_offset(PAGE).min(spare) } else { 0 };
        let mut rest = memory.get_mut(begin..).and_then(|rest| rest.get_mut(..bytes)).unwrap_or_default();
        let mut at = first;
        while !rest.is_empty() {
            let (part, after) = rest.split_at_mut(rest.len().min(LOOK.max(block)));
            let elements = part.len() as u64 / size;
            let blocks = |(number, out): (usize, &mut [u8])| {
                read(at.saturating_add(number as u64 * (block as u64 / size)), out)
            };
            py.detach(|| part.par_chunks_mut(block).enumerate().try_for_each(blocks))
                .map_err(|error| failed(py, error))?;
            py.check_signals()?;
            at = at.saturating_add(elements);
            rest = after;
        }
        Ok(())
    })?;
    Ok((memory, begin))
}

fn described(tensor: &Tensor) -> Described {
    (tensor.name.to_string(), tensor.dtype.name(), tensor.shape.to_vec())
}

fn failed(py: Python<'_>, error: CheckpointError) -> PyErr {
    raised(py, &reading_failed(error), None)
}
