//! How much a file may ask for before it is refused.
//!
//! Everything in a file that says "how many" or "how long" is compared with one of these numbers before
//! memory is set aside for it. The defaults are far above what published vision models need (the largest
//! hold some thousands of tensors), and small enough that a refusal takes well under a second and 200 MB.

use crate::stop::Stop;

/// Describes the limits of one [`Checkpoint::open`](crate::Checkpoint::open). Change single fields of the default:
///
/// ```
/// # use vitport_checkpoint::Limits;
/// let limits = Limits { max_tensors: 1_000_000, ..Limits::default() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds tensors that one checkpoint may name, all nested parts together. Default 100,000.
    pub max_tensors: usize,
    /// Bounds dicts, lists and objects that may lie inside each other around a tensor. Default 100; more than
    /// 200 counts as 200, since the walk uses the thread's stack.
    pub max_depth: usize,
    /// Bounds bytes in one tensor's name, its path included. Default 4,096.
    pub max_name_len: usize,
    /// Bounds dimensions of one tensor. Default 64, as in PyTorch.
    pub max_dims: usize,
    /// Bounds bytes of a safetensors header, an index file, a zip's directory or a zip's pickle. Default 32 MiB; the
    /// safetensors format itself allows 100,000,000.
    pub max_header_bytes: u64,
    /// Bounds bytes of memory that a pickle's objects may take while they are read, and three times what all
    /// names of its tensors may come to. Default 100 MiB, enough for some 60,000 tensors.
    pub max_pickle_memory: usize,
    /// Bounds instructions of one pickle. Default 20 million.
    pub max_pickle_steps: u64,
    /// Bounds entries of a zip or tar container. Default 200,000.
    pub max_entries: usize,
    /// Bounds bytes by which tensors may exceed what the file stores for them, through compression or through
    /// stride-0 expansion. Default 1 GiB; see also [`max_expansion_factor`](Self::max_expansion_factor).
    pub max_expansion_bytes: u64,
    /// Bounds, besides the bytes above, how many times the file's own length all tensors together may come to
    /// (a storage that several names share is counted for each). Default 64.
    pub max_expansion_factor: u64,
    /// Bounds plain values kept from next to the weights of a pickle, where more are left out and that is
    /// noted; and entries of a safetensors header's `__metadata__`, where more are refused. Default 4,096.
    pub max_metadata: usize,
    /// Bounds shards of one index file. Default 4,096; at most 128 files are open at a time.
    pub max_shards: usize,
    /// Takes the tensors of a file whose pickle would make a dangerous call in Python; default false, so that such a file is
    /// refused. The call is never made here, and [`FileEvidence::dangerous_call`](crate::FileEvidence::dangerous_call) names
    /// it. [`Checkpoint::survey`](crate::Checkpoint::survey) shows such files in any case.
    pub allow_dangerous_pickle: bool,
    /// Ends all reading of the files' bytes with an error, while they are opened or later, once it is told to. Default never.
    pub stop: Stop,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tensors: 100_000,
            max_depth: 100,
            max_name_len: 4096,
            max_dims: 64,
            max_header_bytes: 32 << 20,
            max_pickle_memory: 100 << 20,
            max_pickle_steps: 20_000_000,
            max_entries: 200_000,
            max_expansion_bytes: 1 << 30,
            max_expansion_factor: 64,
            max_metadata: 4096,
            max_shards: 4096,
            allow_dangerous_pickle: false,
            stop: Stop::default(),
        }
    }
}
