//! What a container's reader hands to the [`Checkpoint`](crate::Checkpoint): tensors in the order of the
//! file, and the branches of the tree of dicts that they hang on.

use std::ops::Range;
use std::sync::Arc;

use crate::evidence::{FileEvidence, Unsupported};
use crate::metadata::Metadata;
use crate::saved_module::SavedModule;
use crate::storage::Storage;
use crate::tensor::Tensor;

/// Holds what one file contains.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Holds all tensors under their full dotted paths, in the order of a depth-first walk.
    pub(crate) tensors: Vec<Arc<Tensor>>,
    /// Holds the storages that the tensors name.
    pub(crate) storages: Vec<Storage>,
    /// Holds every dict, list or object that holds tensors, parents before children. The first is the top.
    pub(crate) branches: Vec<Branch>,
    /// Lists the tensors that are not plain blocks of elements.
    pub(crate) unsupported: Vec<Unsupported>,
    /// Says what lies next to the weights.
    pub(crate) metadata: Vec<Metadata>,
    /// Lists the modules that were saved whole, by their full paths.
    pub(crate) modules: Vec<SavedModule>,
    /// Holds the rest.
    pub(crate) evidence: FileEvidence,
}

/// Describes a dict, list or object with tensors in it.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    /// Holds its dotted path; empty for the top.
    pub(crate) path: String,
    /// Holds the keys that lead to it, from the top.
    pub(crate) depth: usize,
    /// Holds the part of [`Contents::tensors`] that hangs on it.
    pub(crate) tensors: Range<usize>,
    /// Says how many tensors, supported or not, are its own entries and not its branches'.
    pub(crate) direct: usize,
    /// Holds the part of [`Contents::unsupported`] that hangs on it.
    pub(crate) unsupported: Range<usize>,
}

impl Branch {
    /// Returns how many bytes of a full path are this branch's own.
    pub(crate) fn prefix_len(&self) -> usize {
        if self.depth == 0 { 0 } else { self.path.len() + 1 }
    }
}

impl Contents {
    /// Returns a flat list of tensors: formats that have no nesting.
    pub(crate) fn flat(
        tensors: impl IntoIterator<Item: Into<Arc<Tensor>>>,
        storages: Vec<Storage>,
        evidence: FileEvidence,
    ) -> Self {
        let tensors: Vec<_> = tensors.into_iter().map(Into::into).collect();
        let top = Branch {
            path: String::new(),
            depth: 0,
            tensors: 0..tensors.len(),
            direct: tensors.len(),
            unsupported: 0..0,
        };
        Self { tensors, storages, branches: vec![top], evidence, ..Self::default() }
    }
}
