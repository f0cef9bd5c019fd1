//! From a tensor to its bytes.
//!
//! [`Bytes`] holds the open files and the storages. A read is one of three: of contiguous elements, one
//! positional read into the caller's buffer; of other views, a gather ([`strided`]); of compressed
//! records, the same from a temporary file that they were unpacked into ([`spool`]). Afterwards, elements
//! that are stored big-endian or have lazy operations are put right in place ([`values`]).

pub(crate) mod audit;
mod hash;
pub(crate) mod spool;
mod strided;
mod values;

use std::path::Path;

use crate::error::{CheckpointError, Fault, Reason, refuse};
use crate::opened::FileHandle;
use crate::source::Source;
use crate::storage::{Encoding, Storage, StoragePart};
use crate::tensor::Tensor;
pub(crate) use spool::Window;

/// Holds the open files and what lies in them.
#[derive(Debug)]
pub(crate) struct Bytes {
    sources: Vec<Source>,
    storages: Vec<Storage>,
    spool: spool::Spool,
    kept: strided::Kept,
}

impl Bytes {
    pub(crate) fn new(sources: Vec<Source>, storages: Vec<Storage>) -> Self {
        let spool = spool::Spool::new(storages.len());
        Self { sources, storages, spool, kept: strided::Kept::default() }
    }

    pub(crate) fn handles(&self) -> impl Iterator<Item = FileHandle> {
        self.sources.iter().map(Source::handle)
    }

    /// Does what [`Checkpoint::check_unchanged`](crate::Checkpoint::check_unchanged) says.
    pub(crate) fn check_unchanged(&self) -> Result<(), CheckpointError> {
        self.sources.iter().try_for_each(|s| s.check_unchanged().map_err(|fault| fault.in_file(&s.path)))
    }

    /// Adds a storage that lies in none of the files, and returns its number.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        self.spool.keep(bytes)?;
        let stored = Storage::stored(0, String::new(), 0, bytes.len() as u64);
        self.storages.push(Storage { encoding: Encoding::Computed, ..stored });
        Ok(self.storages.len() - 1)
    }

    pub(crate) fn storages(&self) -> &[Storage] {
        &self.storages
    }

    pub(crate) fn storage(&self, tensor: &Tensor) -> Result<&Storage, CheckpointError> {
        self.storages.get(tensor.storage).ok_or_else(|| misuse(tensor, "it is not of this checkpoint"))
    }

    fn source(&self, storage: &Storage) -> Result<&Source, Fault> {
        match self.sources.get(storage.file) {
            Some(source) => Ok(source),
            None => refuse(Reason::Malformed, "a storage lies in no file"),
        }
    }

    pub(crate) fn path(&self, storage: &Storage) -> &Path {
        self.sources.get(storage.file).map_or(Path::new(""), |source| &source.path)
    }

    /// Returns the same as [`Checkpoint::plain_bytes`](crate::Checkpoint::plain_bytes).
    pub(crate) fn plain(&self, tensor: &Tensor) -> Option<(usize, u64)> {
        let storage = self.storages.get(tensor.storage)?;
        let verbatim = storage.encoding == Encoding::Stored
            && tensor.is_contiguous()
            && tensor.lazy_bits.is_none()
            && !(storage.big_endian && tensor.dtype.size() > 1);
        let skipped = tensor.offset.checked_mul(tensor.dtype.size())?.checked_add(storage.origin)?;
        verbatim.then_some(())?;
        Some((storage.file, storage.offset.checked_add(skipped)?))
    }

    /// Reads for [`Checkpoint::read`](crate::Checkpoint::read). What is read as it lies in a record is noted in `seen`.
    pub(crate) fn read(
        &self,
        tensor: &Tensor,
        first: u64,
        out: &mut [u8],
        seen: Option<&audit::Seen>,
    ) -> Result<(), CheckpointError> {
        let storage = self.storage(tensor)?;
        let size = tensor.dtype.size();
        let count = out.len() as u64 / size;
        if count * size != out.len() as u64 {
            return Err(misuse(tensor, "the buffer does not hold a whole number of elements"));
        }
        if first.checked_add(count).is_none_or(|end| end > tensor.elements()) {
            return Err(misuse(tensor, "the range reaches beyond the last element"));
        }
        if out.is_empty() {
            return Ok(());
        }
        let in_file = |fault: Fault| fault.in_file(self.path(storage));
        if tensor.is_contiguous() {
            let at = tensor.offset.checked_add(first).and_then(|element| element.checked_mul(size));
            let at = at.ok_or_else(|| misuse(tensor, "its offset does not fit into 64 bits"))?;
            self.raw(tensor.storage, at, out, seen).map_err(in_file)?;
        } else {
            self.gather(tensor, first, out, seen).map_err(in_file)?;
        }
        values::put_right(tensor, storage.big_endian, out);
        Ok(())
    }

    /// Reads decoded bytes of a storage, `at` bytes after its first element.
    fn raw(&self, index: usize, at: u64, out: &mut [u8], seen: Option<&audit::Seen>) -> Result<(), Fault> {
        let storage = self.storages.get(index);
        let Some(storage) = storage else {
            return refuse(Reason::Malformed, "a tensor names a storage that does not exist");
        };
        let at = at.saturating_add(storage.origin);
        self.record(index, storage, at, out, seen)
    }

    /// Reads decoded bytes of a storage of `len` bytes that is joined of parts of others.
    fn joined(
        &self,
        parts: &[StoragePart],
        len: u64,
        mut at: u64,
        mut out: &mut [u8],
        seen: Option<&audit::Seen>,
    ) -> Result<(), Fault> {
        let mut next = parts.partition_point(|part| part.start <= at);
        while !out.is_empty() {
            let end = parts.get(next).map_or(len, |part| part.start);
            let part = next.checked_sub(1).and_then(|index| parts.get(index));
            let of_part = part.and_then(|part| Some((part, self.storages.get(part.storage)?)));
            let Some((part, storage)) = of_part.filter(|_| end > at) else {
                return refuse(Reason::Malformed, "the parts of a storage leave a gap");
            };
            let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(out.len());
            let (now, later) = out.split_at_mut_checked(count).unwrap_or_default();
            let inside = part.at.saturating_add(at - part.start);
            self.record(part.storage, storage, inside, now, seen)?;
            (out, at, next) = (later, at.saturating_add(count as u64), next + 1);
        }
        Ok(())
    }

    /// Reads decoded bytes of a storage's record, `at` bytes after the record's beginning.
    fn record(
        &self,
        index: usize,
        storage: &Storage,
        at: u64,
        out: &mut [u8],
        seen: Option<&audit::Seen>,
    ) -> Result<(), Fault> {
        let end = at.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > storage.len) {
            return refuse(
                Reason::Truncated,
                format!("{} bytes at {at} are asked for of a storage of {} bytes", out.len(), storage.len),
            );
        }
        match &storage.encoding {
            Encoding::Stored => {
                self.source(storage)?.read_exact_at(out, storage.offset.saturating_add(at))?;
                if let Some(seen) = seen {
                    seen.note(index, at, out);
                }
                Ok(())
            }
            Encoding::Deflated { compressed_len } => {
                self.spool.read(index, self.source(storage)?, storage, *compressed_len, at, out)
            }
            Encoding::Joined { parts } => self.joined(parts, storage.len, at, out, seen),
            Encoding::Computed => self.spool.read_kept(index, at, out),
            Encoding::Inline { bytes } => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                let Some(found) = bytes.get(start..).and_then(|rest| rest.get(..out.len())) else {
                    return refuse(
                        Reason::Truncated,
                        "a storage inside the pickle is shorter than it declares",
                    );
                };
                out.copy_from_slice(found);
                Ok(())
            }
        }
    }
}

fn misuse(tensor: &Tensor, why: &'static str) -> CheckpointError {
    CheckpointError::Misuse { tensor: tensor.name.to_string(), why }
}
