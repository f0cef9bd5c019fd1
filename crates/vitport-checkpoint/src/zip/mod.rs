//! Zip containers, as PyTorch and numpy write them: entries found, checked against each other, not read.
//!
//! A zip says most things twice: in the central directory at its end and in a header before each entry.
//! Readers that believe different copies see different files, so everything that is said twice must
//! agree here, no name may occur twice, and no two entries may share bytes. The layout is that of PKWARE's
//! APPNOTE 6.3.

mod central;
mod end;
mod local;
mod number;

use std::collections::HashMap;
use std::io::Read;

use foldhash::fast::RandomState;

use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::limits::Limits;
use crate::read::Window;
use crate::source::Source;
use crate::storage::{Encoding, Storage};

use end::Ends;
pub(crate) use end::has_end_record;

/// Describes a zip whose directory has been read and checked.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Holds the entries in the order of the central directory.
    pub(crate) entries: Vec<Entry>,
    /// Holds the entries' numbers by their names.
    by_name: HashMap<Box<str>, usize, RandomState>,
    /// Is false when every CRC-32 in the archive is 0, so that none of them means anything.
    pub(crate) has_checksums: bool,
}

/// Describes one entry of a zip.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Holds its name, root folder included.
    pub(crate) name: Box<str>,
    /// Gives the CRC-32 of the decoded bytes.
    pub(crate) crc32: u32,
    /// Gives the bytes in the file.
    pub(crate) compressed_len: u64,
    /// Gives the bytes once decoded.
    pub(crate) len: u64,
    /// Says where its local header begins in the file.
    pub(crate) header_offset: u64,
    /// Says where its bytes begin in the file.
    pub(crate) data_offset: u64,
    /// Is true when the bytes are compressed with deflate.
    pub(crate) deflated: bool,
    /// Holds the general purpose flags.
    pub(crate) flags: u16,
}

/// Reads the directory, and finds where the entries' bytes begin.
///
/// # Errors
/// Refuses a local header that differs from the directory, entries that overlap, and a name that occurs twice.
pub(crate) fn open(source: &Source, limits: &Limits) -> Result<Archive, Fault> {
    let end = end::find(source)?;
    let mut entries = central::read(source, &end.last, limits)?;
    let mut filled = entries.iter().filter(|entry| entry.len > 0).peekable();
    let has_checksums = filled.peek().is_none() || filled.any(|entry| entry.crc32 != 0);
    entries.iter_mut().try_for_each(|entry| local::check(source, entry))?;
    check_places(&entries, &end)?;
    let mut by_name = HashMap::default();
    for (number, entry) in entries.iter().enumerate() {
        if by_name.insert(entry.name.clone(), number).is_some() {
            return refuse(
                Reason::Contradiction,
                format!("the zip holds two entries called '{}'", escape(&entry.name)),
            );
        }
    }
    Ok(Archive { entries, by_name, has_checksums })
}

/// Checks that no two entries share bytes, and that none reaches into the central directory. An end record before the last
/// one must lie inside an entry's bytes: those are a zip themselves. Elsewhere it would lead to a second directory.
fn check_places(entries: &[Entry], end: &Ends) -> Result<(), Fault> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_unstable_by_key(|entry| entry.header_offset);
    let ends = order.iter().skip(1).map(|next| next.header_offset).chain([end.last.directory_offset]);
    for (entry, limit) in order.iter().zip(ends) {
        if entry.data_end() > limit {
            return refuse(
                Reason::Contradiction,
                format!("the zip entry '{}' overlaps what follows it", escape(&entry.name)),
            );
        }
    }
    let is_inside = |at: &u64| {
        let before = order.partition_point(|entry| entry.data_offset <= *at);
        before.checked_sub(1).and_then(|index| order.get(index)).is_some_and(|entry| *at < entry.data_end())
    };
    if end.others.iter().all(is_inside) {
        return Ok(());
    }
    refuse(Reason::Contradiction, "the zip has two central directories")
}

impl Entry {
    /// Returns where its bytes end in the file.
    fn data_end(&self) -> u64 {
        self.data_offset.saturating_add(self.compressed_len)
    }
}

impl Archive {
    /// Returns the entry of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).and_then(|&number| self.entries.get(number))
    }

    /// Returns all of an entry's decoded bytes, checked; for small records that are needed at once.
    pub(crate) fn load(&self, source: &Source, entry: &Entry, limits: &Limits) -> Result<Vec<u8>, Fault> {
        let shown = escape(&entry.name);
        if entry.len > limits.max_header_bytes {
            return refuse(
                Reason::Limit,
                format!(
                    "the record '{shown}' has {} bytes, more than {}",
                    entry.len, limits.max_header_bytes
                ),
            );
        }
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX);
        let bytes = if entry.deflated {
            let window = Window { source, at: entry.data_offset, left: entry.compressed_len };
            let mut bytes = Vec::new();
            let decoded = flate2::read::DeflateDecoder::new(window)
                .take(entry.len.saturating_add(1))
                .read_to_end(&mut bytes);
            match decoded {
                Ok(count) if count == len => bytes,
                Ok(_) => {
                    return refuse(
                        Reason::Contradiction,
                        format!("the record '{shown}' does not decompress to the {len} bytes it declares"),
                    );
                }
                Err(error) => {
                    let error = error.to_string();
                    return refuse(
                        Reason::Malformed,
                        format!("the record '{shown}' does not decompress: {}", escape(&error)),
                    );
                }
            }
        } else {
            source.bytes_at(entry.data_offset, len, "a zip record")?
        };
        let found = crc32fast::hash(&bytes);
        if self.has_checksums && found != entry.crc32 {
            return mismatch(entry, found);
        }
        Ok(bytes)
    }

    /// Checks a stored entry's checksum without keeping its bytes.
    pub(crate) fn verify(&self, source: &Source, entry: &Entry) -> Result<(), Fault> {
        if !self.has_checksums {
            return Ok(());
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut block = vec![0; 64 << 10];
        let mut at = 0;
        while at < entry.compressed_len {
            let len = usize::try_from(entry.compressed_len - at).unwrap_or(usize::MAX).min(block.len());
            let part = block.get_mut(..len).unwrap_or_default();
            source.read_exact_at(part, entry.data_offset.saturating_add(at))?;
            hasher.update(part);
            at += len as u64;
        }
        let found = hasher.finalize();
        if found == entry.crc32 { Ok(()) } else { mismatch(entry, found) }
    }

    /// Checks an entry's checksum; a compressed one is unpacked into memory, within the limits.
    pub(crate) fn check(&self, source: &Source, entry: &Entry, limits: &Limits) -> Result<(), Fault> {
        if entry.deflated { self.load(source, entry, limits).map(drop) } else { self.verify(source, entry) }
    }

    /// Returns the first decoded bytes of an entry, at most `len`; unchecked, since the rest is not read.
    pub(crate) fn beginning(&self, source: &Source, entry: &Entry, len: usize) -> Result<Vec<u8>, Fault> {
        let len = usize::try_from(entry.len).unwrap_or(usize::MAX).min(len);
        if !entry.deflated {
            return source.bytes_at(entry.data_offset, len, "a zip record");
        }
        let window = Window { source, at: entry.data_offset, left: entry.compressed_len };
        let mut bytes = Vec::new();
        match flate2::read::DeflateDecoder::new(window).take(len as u64).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => {
                let (name, error) = (escape(&entry.name), error.to_string());
                refuse(
                    Reason::Malformed,
                    format!("the record '{name}' does not decompress: {}", escape(&error)),
                )
            }
        }
    }

    /// Returns the entry as a storage of file number `file`, called `key`.
    pub(crate) fn storage(&self, entry: &Entry, file: usize, key: String) -> Storage {
        let encoding = if entry.deflated {
            Encoding::Deflated { compressed_len: entry.compressed_len }
        } else {
            Encoding::Stored
        };
        let crc32 = self.has_checksums.then_some(entry.crc32);
        Storage { crc32, encoding, ..Storage::stored(file, key, entry.data_offset, entry.len) }
    }
}

fn mismatch<T>(entry: &Entry, found: u32) -> Result<T, Fault> {
    let (name, expected) = (escape(&entry.name), entry.crc32);
    refuse(
        Reason::Checksum,
        format!("record '{name}' has CRC-32 {found:08x}, but {expected:08x} is recorded"),
    )
}
