//! Compressed records, unpacked once into a temporary file that has no name; and storages that were computed, which lie there, too.
//!
//! Deflate can only be read from its beginning, while tensors are read in blocks by several threads. So
//! the first read of a compressed record unpacks all of it, checks its length and its checksum, and every
//! read is positional again. All records of a checkpoint share one temporary file, which the operating
//! system removes when the process ends, however it ends.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::platform::read_exact_at;
use crate::source::Source;
use crate::storage::Storage;

/// Describes the temporary file, and where the records lie in it.
#[derive(Debug)]
pub(super) struct Spool {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Option<File>,
    end: u64,
    /// Says for each storage where its decoded bytes begin in the temporary file.
    starts: Vec<Option<u64>>,
}

impl Spool {
    pub(super) fn new(storages: usize) -> Self {
        Self { state: Mutex::new(State { file: None, end: 0, starts: vec![None; storages] }) }
    }

    /// Reads decoded bytes of storage number `index`, `at` bytes after its beginning.
    pub(super) fn read(
        &self,
        index: usize,
        source: &Source,
        storage: &Storage,
        compressed_len: u64,
        at: u64,
        out: &mut [u8],
    ) -> Result<(), Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let start = match state.starts.get(index).copied().flatten() {
            Some(start) => start,
            None => state.unpack(index, source, storage, compressed_len)?,
        };
        state.read(start.saturating_add(at), out)
    }

    /// Adds the bytes of a storage whose number is the next one.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<(), Fault> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).keep(bytes)
    }

    /// Reads bytes of storage number `index`, which was added, `at` bytes after its beginning.
    pub(super) fn read_kept(&self, index: usize, at: u64, out: &mut [u8]) -> Result<(), Fault> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let start = state.starts.get(index).copied().flatten();
        state.read(start.unwrap_or(u64::MAX).saturating_add(at), out)
    }
}

impl State {
    /// Appends the bytes of a new storage.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let start = self.end;
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(start))?;
            file.write_all(bytes)?;
        }
        self.starts.push(Some(start));
        self.end = start.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Reads bytes of the temporary file.
    fn read(&self, at: u64, out: &mut [u8]) -> Result<(), Fault> {
        match &self.file {
            Some(file) => Ok(read_exact_at(file, out, at)?),
            None => refuse(Reason::Malformed, "a record is not in the temporary file"),
        }
    }

    fn unpack(
        &mut self,
        index: usize,
        source: &Source,
        storage: &Storage,
        packed: u64,
    ) -> Result<u64, Fault> {
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let start = self.end;
        let Some(file) = &mut self.file else {
            return refuse(Reason::Malformed, "there is no temporary file");
        };
        file.seek(SeekFrom::Start(start))?;
        let written = unpack_into(source, storage, packed, file)?;
        if let Some(slot) = self.starts.get_mut(index) {
            *slot = Some(start);
        }
        self.end = start.saturating_add(written);
        Ok(start)
    }
}

/// Unpacks a record into `to`, checking that it has the declared length and checksum.
fn unpack_into(source: &Source, storage: &Storage, packed: u64, to: &mut File) -> Result<u64, Fault> {
    let mut decoder = flate2::read::DeflateDecoder::new(Window { source, at: storage.offset, left: packed });
    let mut hasher = crc32fast::Hasher::new();
    let mut block = vec![0; 128 << 10];
    let mut total = 0_u64;
    loop {
        let count = match decoder.read(&mut block) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                source.check_running()?;
                return damaged(storage, &error.to_string());
            }
        };
        let decoded = block.get(..count).unwrap_or_default();
        total = total.saturating_add(count as u64);
        if total > storage.len {
            return damaged(storage, "it decompresses to more than it declares");
        }
        if count == 0 {
            break;
        }
        hasher.update(decoded);
        to.write_all(decoded)?;
    }
    if total != storage.len {
        return damaged(storage, "it decompresses to less than it declares");
    }
    match storage.crc32 {
        Some(expected) if expected != hasher.finalize() => {
            refuse(Reason::Checksum, format!("record '{}' does not match its CRC-32", escape(&storage.key)))
        }
        _ => Ok(total),
    }
}

fn damaged<T>(storage: &Storage, why: &str) -> Result<T, Fault> {
    refuse(Reason::Malformed, format!("compressed record '{}': {}", escape(&storage.key), escape(why)))
}

/// Describes a part of a source as a reader.
pub(crate) struct Window<'a> {
    pub(crate) source: &'a Source,
    pub(crate) at: u64,
    pub(crate) left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let Some(out) = out.get_mut(..count) else {
            return Ok(0);
        };
        match self.source.read_exact_at(out, self.at) {
            Ok(()) => {
                self.at += count as u64;
                self.left -= count as u64;
                Ok(count)
            }
            Err(Fault::Io(error)) => Err(error),
            Err(Fault::Refused(refusal)) => Err(std::io::Error::other(refusal.detail)),
            Err(Fault::Dangerous(call)) => Err(std::io::Error::other(call)),
        }
    }
}
