//! Where bytes lie: the files of a checkpoint, and the storages in them.

use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

/// Describes one file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SourceFile {
    /// Holds its path, as it was opened.
    pub path: PathBuf,
    /// Holds its length in bytes when it was opened.
    pub len: u64,
}

/// Describes a run of bytes that tensors are views of: a record of a zip, a storage of a legacy stream, the data of
/// a safetensors file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Storage {
    /// Holds the index into [`Checkpoint::files`](crate::Checkpoint::files).
    pub file: usize,
    /// Says what the file calls it, such as `data/17`; empty where the format has no name for it.
    pub key: String,
    /// Says where its bytes begin in the file.
    pub offset: u64,
    /// Holds its bytes once decoded.
    pub len: u64,
    /// Counts the decoded bytes before element 0: an array's own header inside a zip record, otherwise 0.
    pub origin: u64,
    /// Gives the CRC-32 of the decoded bytes, where the container records one and it means something.
    pub crc32: Option<u32>,
    /// Says how its bytes are encoded in the file.
    pub encoding: Encoding,
    /// Is true when elements of more than one byte are stored most significant byte first.
    pub big_endian: bool,
    /// Holds the device that the storage was on when it was saved, such as `cuda:0`, where the file says.
    pub device: Option<Arc<str>>,
}

/// Describes how a storage's bytes are encoded in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub enum Encoding {
    /// Means that they lie there as they are.
    Stored,
    /// Means that they are compressed with deflate, as zip entries may be.
    Deflated {
        /// Holds the bytes it takes in the file.
        compressed_len: u64,
    },
    /// Means that they are spelt out as text inside a pickle, and decoded when the pickle was read.
    Inline {
        /// Holds the decoded bytes.
        #[serde(skip)]
        bytes: Arc<[u8]>,
    },
    /// Means that they are joined of parts of other storages, as the shards of a tensor are.
    Joined {
        /// Lists the parts, one after the other without gaps.
        #[serde(skip)]
        parts: Arc<[StoragePart]>,
    },
    /// Means that they lie in none of the files: they were computed and added
    /// ([`Checkpoint::add`](crate::Checkpoint::add)).
    Computed,
}

/// Describes a part of a storage that is joined of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoragePart {
    /// Says at which byte of the joined storage it begins.
    pub start: u64,
    /// Holds the index of the storage that its bytes are in, which is not joined itself.
    pub storage: usize,
    /// Counts the decoded bytes of that storage's record before it.
    pub at: u64,
}

impl Storage {
    /// Returns a storage whose bytes lie as they are at `offset` of file number `file`, without a checksum.
    pub(crate) fn stored(file: usize, key: String, offset: u64, len: u64) -> Self {
        Self {
            file,
            key,
            offset,
            len,
            origin: 0,
            crc32: None,
            encoding: Encoding::Stored,
            big_endian: false,
            device: None,
        }
    }
}
