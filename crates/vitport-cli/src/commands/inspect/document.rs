//! The document of `vitport inspect`: everything that a file shows of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use vitport_checkpoint::{
    Checkpoint, ChosenBy, Dtype, FileEvidence, LazyBits, Metadata, Root, SavedModule, Storage, Tensor,
};

use super::{by_dtype, shared_storages, unread};
use crate::document::Document;

/// Describes what is in a checkpoint: `vitport inspect`.
#[derive(Serialize, JsonSchema)]
pub struct InspectDocument<'a> {
    /// Lists the files that it was opened from.
    files: Vec<OpenedFile>,
    /// Holds what the file shows of itself: its container, and everything that its pickle names.
    evidence: &'a FileEvidence,
    /// Gives the nested part that a conversion would take.
    root: &'a Root,
    /// Says why that one.
    chosen_by: ChosenBy,
    /// Lists all nested parts that hold tensors.
    roots: &'a [Root],
    /// Lists plain values next to the weights.
    metadata: &'a [Metadata],
    /// Lists the modules of a model that was saved whole.
    modules: &'a [SavedModule],
    /// Counts the tensors and bytes of each dtype.
    dtypes: BTreeMap<&'static str, DtypeCount>,
    /// Lists the runs of bytes that tensors are views of.
    storages: &'a [Storage],
    /// Lists the storages of which several tensors show the same elements.
    shared_storages: Vec<SharedStorage<'a>>,
    /// Lists the tensors.
    tensors: Vec<TensorRow<'a>>,
}

impl Document for InspectDocument<'_> {
    const SCHEMA: &'static str = "vitport/inspect/2";
}

/// Describes a file that was opened.
#[derive(Serialize, JsonSchema)]
struct OpenedFile {
    /// Gives its path.
    path: String,
    /// Gives its length.
    bytes: u64,
}

/// Counts what there is of one dtype.
#[derive(Serialize, JsonSchema)]
struct DtypeCount {
    /// Counts the tensors.
    tensors: usize,
    /// Counts their bytes.
    bytes: u64,
}

/// Describes a storage that several tensors share.
#[derive(Serialize, JsonSchema)]
struct SharedStorage<'a> {
    /// Gives its place in `storages`.
    storage: usize,
    /// Names the tensors.
    tensors: Vec<&'a str>,
}

/// Describes a tensor.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum TensorRow<'a> {
    /// Describes one that can be read.
    Read {
        /// Gives its name.
        name: &'a str,
        /// Names its dtype.
        dtype: Dtype,
        /// Gives its shape.
        shape: &'a [u64],
        /// Gives the sha256 of its values, row-major and little-endian, with `--hash`.
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<&'a str>,
        /// Counts the bytes of its values.
        bytes: u64,
        /// Gives its place in `storages`.
        storage: usize,
        /// Counts the elements before its first.
        offset: u64,
        /// Counts the elements from one index to the next in each dimension.
        strides: &'a [u64],
        /// Says whether its elements lie row-major without gaps.
        contiguous: bool,
        /// Says what must be done to the stored elements, if anything.
        #[serde(skip_serializing_if = "Option::is_none")]
        lazy_bits: Option<LazyBits>,
    },
    /// Describes one of a kind that is not read.
    Unread {
        /// Gives its name.
        name: &'a str,
        /// Gives PyTorch's name of its dtype, where the file says it.
        dtype: Option<&'a str>,
        /// Gives its shape, where the file says it.
        shape: Option<&'a [u64]>,
        /// Says of what kind it is.
        unsupported: &'a str,
    },
}

/// Returns everything.
pub(super) fn document<'a>(
    checkpoint: &'a Checkpoint,
    root: Option<&str>,
    tensors: &'a [Arc<Tensor>],
    hashes: Option<&'a [String]>,
) -> InspectDocument<'a> {
    let read = tensors.iter().enumerate().map(|(index, tensor)| TensorRow::Read {
        name: &tensor.name,
        dtype: tensor.dtype,
        shape: &tensor.shape,
        sha256: hashes.and_then(|hashes| hashes.get(index)).map(String::as_str),
        bytes: tensor.bytes(),
        storage: tensor.storage,
        offset: tensor.offset,
        strides: &tensor.strides,
        contiguous: tensor.is_contiguous(),
        lazy_bits: (!tensor.lazy_bits.is_none()).then_some(tensor.lazy_bits),
    });
    let unread = unread(checkpoint, root).into_iter().map(|(name, tensor)| TensorRow::Unread {
        name,
        dtype: tensor.dtype.as_deref(),
        shape: tensor.shape.as_deref(),
        unsupported: &tensor.kind,
    });
    let files = checkpoint.files().iter();
    let dtypes = by_dtype(tensors).into_iter();
    let shared = shared_storages(tensors).into_iter();
    InspectDocument {
        files: files
            .map(|file| OpenedFile { path: file.path.display().to_string(), bytes: file.len })
            .collect(),
        evidence: checkpoint.evidence(),
        root: checkpoint.root(),
        chosen_by: checkpoint.root_choice().how,
        roots: checkpoint.roots(),
        metadata: checkpoint.metadata(),
        modules: checkpoint.all_modules(),
        dtypes: dtypes.map(|(name, (tensors, bytes))| (name, DtypeCount { tensors, bytes })).collect(),
        storages: checkpoint.storages(),
        shared_storages: shared.map(|(storage, tensors)| SharedStorage { storage, tensors }).collect(),
        tensors: read.chain(unread).collect(),
    }
}
