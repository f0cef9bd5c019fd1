//! Positional reads from files, and forward reading of a window of one.
//!
//! A [`Source`] has no position, so threads may share it. A [`Stream`] walks forward through a part of a
//! source with a small buffer and never reads beyond its end; what it skips is not read at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{CheckpointError, Fault, Reason, Refusal, refuse};
use crate::opened::{FileHandle, Opened};
use crate::platform::read_exact_at;
use crate::stop::Stop;

/// Describes an open regular file, the length it had, and when it had last been written to; or a part of one, read as if it were
/// a file of its own.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// Says where in the file it begins.
    begin: u64,
    opened: Arc<Opened>,
    stop: Stop,
}

impl Source {
    /// Opens a regular file. Pipes, devices and folders are not opened at all.
    pub(crate) fn open(path: &Path, stop: &Stop) -> Result<Self, CheckpointError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                CheckpointError::NotFound { path: path.to_path_buf() }
            }
            kind if kind != io::ErrorKind::PermissionDenied && is_link(path) => {
                let what = format!("this is a symbolic link that cannot be followed ({source})");
                Fault::from(Refusal::new(Reason::UnknownFormat, what)).in_file(path)
            }
            _ => CheckpointError::Io { path: path.to_path_buf(), source },
        };
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            let fault: Result<(), Fault> = refuse(Reason::UnknownFormat, "this is not a regular file");
            fault.map_err(|fault| fault.in_file(path))?;
        }
        let opened = Opened::open(path).map_err(failed)?;
        Ok(Self { path: path.to_path_buf(), len: opened.len(), begin: 0, opened, stop: stop.clone() })
    }

    /// Returns the `len` bytes from `offset` on.
    pub(crate) fn part(&self, offset: u64, len: u64, what: &str) -> Result<Self, Fault> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return refuse(
                Reason::Truncated,
                format!("{what} needs {len} bytes at offset {offset}, but the file has {} bytes", self.len),
            );
        }
        let (path, opened, stop) = (self.path.clone(), Arc::clone(&self.opened), self.stop.clone());
        Ok(Self { path, len, begin: self.begin.saturating_add(offset), opened, stop })
    }

    /// Refuses a file that was written to since it was opened, as far as its length and its time show it.
    pub(crate) fn check_unchanged(&self) -> Result<(), Fault> {
        self.opened.check_unchanged()
    }

    /// Returns another handle of the same file.
    pub(crate) fn handle(&self) -> FileHandle {
        FileHandle(Arc::clone(&self.opened))
    }

    /// Fills `out` from `offset` on, in one positional read where the operating system allows.
    pub(crate) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Result<(), Fault> {
        self.check_running()?;
        match read_exact_at(&*self.opened.file()?, out, self.begin.saturating_add(offset)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => refuse(
                Reason::Truncated,
                format!("{} bytes at offset {offset} reach beyond the end of the file", out.len()),
            ),
            other => Ok(other?),
        }
    }

    /// Fails once reading is to stop.
    pub(crate) fn check_running(&self) -> Result<(), Fault> {
        match self.stop.is_stopped() {
            true => Err(io::Error::other("reading was stopped").into()),
            false => Ok(()),
        }
    }

    /// Reads `len` bytes at `offset` after checking that the file has them.
    pub(crate) fn bytes_at(&self, offset: u64, len: usize, what: &str) -> Result<Vec<u8>, Fault> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len) {
            return refuse(
                Reason::Truncated,
                format!("{what} needs {len} bytes at offset {offset}, but the file has {} bytes", self.len),
            );
        }
        let mut out = vec![0; len];
        self.read_exact_at(&mut out, offset)?;
        Ok(out)
    }
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

/// Describes where a [`Stream`] takes its bytes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Origin<'a> {
    /// Means a file.
    File(&'a Source),
    /// Holds the bytes in memory: a record that had to be decompressed.
    Memory(&'a [u8]),
}

impl Origin<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::File(source) => source.len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> Result<(), Fault> {
        match self {
            Self::File(source) => source.read_exact_at(out, offset),
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let found = bytes.get(start..).and_then(|rest| rest.get(..out.len()));
                let Some(found) = found else {
                    return refuse(Reason::Truncated, "the data ends too early");
                };
                out.copy_from_slice(found);
                Ok(())
            }
        }
    }
}

/// Gives the bytes that are fetched at a time.
const FETCHED: u64 = 8 << 10;

/// Describes a forward reader of the bytes `position..end` of an origin.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    origin: Origin<'a>,
    /// Says where the buffer's first byte lies in the origin.
    base: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Gives the bytes of the buffer that are already consumed.
    used: usize,
}

impl<'a> Stream<'a> {
    /// Returns a stream over `len` bytes from `start`, cut to what the origin has.
    pub(crate) fn new(origin: Origin<'a>, start: u64, len: u64) -> Self {
        let end = start.saturating_add(len).min(origin.len());
        Self { origin, base: start.min(end), end, buffer: Vec::new(), used: 0 }
    }

    /// Returns where the next byte lies in the origin.
    pub(crate) fn position(&self) -> u64 {
        self.base.saturating_add(self.used as u64)
    }

    /// Returns the bytes left.
    pub(crate) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.position())
    }

    /// Returns what the stream reads from.
    pub(crate) fn origin(&self) -> Origin<'a> {
        self.origin
    }

    fn refill(&mut self) -> Result<(), Fault> {
        let len = self.remaining().min(FETCHED);
        self.base = self.position();
        self.buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        self.used = 0;
        self.origin.read_exact_at(&mut self.buffer, self.base)
    }

    /// Returns the next byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        let Some(&byte) = self.buffer.get(self.used) else {
            return self.byte_of_next_fetch();
        };
        self.used += 1;
        Ok(byte)
    }

    #[cold]
    fn byte_of_next_fetch(&mut self) -> Result<u8, Fault> {
        self.refill()?;
        let Some(&byte) = self.buffer.first() else {
            return refuse(
                Reason::Truncated,
                format!("the data ends at offset {}, in the middle of an object", self.position()),
            );
        };
        self.used = 1;
        Ok(byte)
    }

    /// Returns the next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        if let Some(out) = self.buffer.get(self.used..).and_then(<[u8]>::first_chunk::<N>) {
            self.used += N;
            return Ok(*out);
        }
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// Returns the next `len` bytes; refused before anything is allocated when there are fewer.
    pub(crate) fn take(&mut self, len: u64) -> Result<Vec<u8>, Fault> {
        self.check(len)?;
        let mut out = vec![0; usize::try_from(len).unwrap_or(0)];
        self.fill(&mut out)?;
        Ok(out)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), Fault> {
        self.check(out.len() as u64)?;
        let mut filled = 0;
        while filled < out.len() {
            if self.used >= self.buffer.len() {
                self.refill()?;
            }
            let ready = self.buffer.get(self.used..).unwrap_or_default();
            let rest = out.get_mut(filled..).unwrap_or_default();
            let count = ready.len().min(rest.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..count), ready.get(..count)) {
                to.copy_from_slice(from);
            }
            filled += count;
            self.used += count;
        }
        Ok(())
    }

    /// Passes over `len` bytes without reading them, and says where they begin.
    pub(crate) fn skip(&mut self, len: u64) -> Result<u64, Fault> {
        self.check(len)?;
        let start = self.position();
        let buffered = (self.buffer.len() - self.used.min(self.buffer.len())) as u64;
        if len <= buffered {
            self.used += usize::try_from(len).unwrap_or(0);
        } else {
            self.base = start.saturating_add(len);
            self.buffer.clear();
            self.used = 0;
        }
        Ok(start)
    }

    /// Returns a line without its `\n`, at most `max` bytes long.
    pub(crate) fn line(&mut self, max: usize) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return Ok(out),
                byte if out.len() < max => out.push(byte),
                _ => {
                    return refuse(
                        Reason::Limit,
                        format!("a line at offset {} is longer than {max} bytes", self.position()),
                    );
                }
            }
        }
    }

    fn check(&self, len: u64) -> Result<(), Fault> {
        if len > self.remaining() {
            return refuse(
                Reason::Truncated,
                format!(
                    "an object at offset {} declares {len} bytes, but only {} are left",
                    self.position(),
                    self.remaining()
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, Stream};

    #[test]
    fn a_stream_keeps_count_across_refills_and_skips() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let mut stream = Stream::new(Origin::Memory(&bytes), 10, 199_000);
        assert_eq!(stream.byte().unwrap(), 10);
        assert_eq!(stream.take(70_000).unwrap(), bytes[11..70_011]);
        assert_eq!(stream.skip(100_000).unwrap(), 70_011);
        assert_eq!(stream.position(), 170_011);
        assert_eq!(stream.byte().unwrap(), bytes[170_011]);
        assert!(stream.take(1 << 60).is_err());
        assert!(stream.skip(stream.remaining() + 1).is_err());
        stream.skip(stream.remaining()).unwrap();
        assert!(stream.byte().is_err());
    }
}
