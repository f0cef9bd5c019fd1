//! Checksums computed on the way, so that a checked conversion reads each byte once.
//!
//! A zip keeps one CRC-32 a record. Blocks that are read through an [`Audit`] are checksummed while they
//! are still in the cache, each by itself; at the end the checksums of neighbouring blocks are combined
//! into that of the record, and only what nobody read is read now. Formats without checksums pass.

use std::sync::{Mutex, PoisonError};

use super::Bytes;
use crate::error::{CheckpointError, Reason, refuse};
use crate::escape::escape;
use crate::storage::{Encoding, Storage};
use crate::tensor::Tensor;

/// Gives the bytes that are read at a time of what nobody read.
const BLOCK: usize = 256 << 10;

/// Reads under supervision. Share it between threads, read through it, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct Audit<'a> {
    bytes: &'a Bytes,
    seen: Seen,
}

/// Holds, for each storage that is to be checked, the blocks that were read of its record.
#[derive(Debug)]
pub(crate) struct Seen {
    records: Vec<Option<Mutex<Chunks>>>,
}

type Chunks = Vec<Chunk>;

/// Describes the checksum of a block that was read: from which byte of the record on, and the running state, which
/// knows the length.
#[derive(Debug)]
struct Chunk {
    start: u64,
    len: u64,
    hasher: crc32fast::Hasher,
}

impl Seen {
    /// Remembers that these bytes lie `start` bytes after the beginning of a storage's record.
    pub(super) fn note(&self, storage: usize, start: u64, bytes: &[u8]) {
        if let Some(Some(record)) = self.records.get(storage) {
            let mut hasher = crc32fast::Hasher::new();
            hasher.update(bytes);
            let chunk = Chunk { start, len: bytes.len() as u64, hasher };
            record.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
        }
    }
}

impl<'a> Audit<'a> {
    pub(crate) fn new<'t>(bytes: &'a Bytes, tensors: impl IntoIterator<Item = &'t Tensor>) -> Self {
        let mut records: Vec<_> = bytes.storages().iter().map(|_| None).collect();
        let mut check = |number: usize| {
            let is_checked = |storage: &Storage| storage.crc32.is_some();
            if bytes.storages().get(number).is_some_and(is_checked)
                && let Some(record) = records.get_mut(number)
            {
                *record = Some(Mutex::default());
            }
        };
        for tensor in tensors {
            match bytes.storages().get(tensor.storage).map(|storage| &storage.encoding) {
                Some(Encoding::Joined { parts }) => parts.iter().for_each(|part| check(part.storage)),
                _ => check(tensor.storage),
            }
        }
        Self { bytes, seen: Seen { records } }
    }

    /// Reads like [`Checkpoint::read`](crate::Checkpoint::read), and remembers the checksum of what it read.
    ///
    /// # Errors
    /// As [`Checkpoint::read`](crate::Checkpoint::read).
    pub fn read(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), CheckpointError> {
        self.bytes.read(tensor, first, out, Some(&self.seen))
    }

    /// Returns the same as [`Checkpoint::plain_bytes`](crate::Checkpoint::plain_bytes).
    #[must_use]
    pub fn plain_bytes(&self, tensor: &Tensor) -> Option<(usize, u64)> {
        self.bytes.plain(tensor)
    }

    /// Returns the SHA-256 of the tensor's row-major little-endian bytes, read through this audit, in lower-case hexadecimal.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn sha256(&self, tensor: &Tensor) -> Result<String, CheckpointError> {
        super::hash::sha256(tensor, |first, block| self.read(tensor, first, block))
    }

    /// Checks every record that holds one of the tensors, reading what was not read through the audit; and that nobody
    /// wrote to the files meanwhile.
    ///
    /// # Errors
    /// Refuses a record that does not match its checksum, and a file that was changed; also when the file cannot be read.
    pub fn finish(self) -> Result<(), CheckpointError> {
        let bytes = self.bytes;
        let checked = self.check_records();
        bytes.check_unchanged().and(checked)
    }

    fn check_records(self) -> Result<(), CheckpointError> {
        let bytes = self.bytes;
        let mut block = Vec::new();
        for (index, (storage, chunks)) in bytes.storages().iter().zip(self.seen.records).enumerate() {
            let Some(chunks) = chunks else {
                continue;
            };
            let chunks = chunks.into_inner().unwrap_or_else(PoisonError::into_inner);
            check(bytes, index, storage, chunks, &mut block)
                .map_err(|fault| fault.in_file(bytes.path(storage)))?;
        }
        Ok(())
    }
}

fn check(
    bytes: &Bytes,
    index: usize,
    storage: &Storage,
    mut chunks: Chunks,
    block: &mut Vec<u8>,
) -> Result<(), crate::error::Fault> {
    let Some(expected) = storage.crc32 else {
        return Ok(());
    };
    if matches!(storage.encoding, Encoding::Deflated { .. }) {
        // Unpacking checks the record.
        let mut first = [0];
        let len = usize::from(storage.len > 0);
        return bytes.record(index, storage, 0, first.get_mut(..len).unwrap_or_default(), None);
    }
    chunks.sort_unstable_by_key(|chunk| chunk.start);
    let mut whole = crc32fast::Hasher::new();
    let mut at = 0;
    for chunk in chunks {
        if chunk.start < at {
            continue;
        }
        read_through(bytes, index, storage, at..chunk.start, &mut whole, block)?;
        whole.combine(&chunk.hasher);
        at = chunk.start.saturating_add(chunk.len);
    }
    read_through(bytes, index, storage, at..storage.len, &mut whole, block)?;
    let found = whole.finalize();
    if found == expected {
        return Ok(());
    }
    refuse(
        Reason::Checksum,
        format!("record '{}' has CRC-32 {found:08x}, but {expected:08x} is recorded", escape(&storage.key)),
    )
}

/// Reads a part of a record that nobody has read yet.
fn read_through(
    bytes: &Bytes,
    index: usize,
    storage: &Storage,
    range: std::ops::Range<u64>,
    hasher: &mut crc32fast::Hasher,
    block: &mut Vec<u8>,
) -> Result<(), crate::error::Fault> {
    let mut at = range.start;
    if at < range.end {
        block.resize(BLOCK, 0);
    }
    while at < range.end {
        let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(block.len());
        let part = block.get_mut(..len).unwrap_or_default();
        bytes.record(index, storage, at, part, None)?;
        hasher.update(part);
        at += len as u64;
    }
    Ok(())
}
