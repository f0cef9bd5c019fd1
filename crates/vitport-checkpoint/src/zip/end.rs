//! The end of a zip: where its central directory lies, in the 32-bit record and the 64-bit one.
//!
//! Bytes may stand before the first entry and after the last record (padding, or another file's
//! remains), as far as the directory can still be found in only one way. The last end record counts, as for
//! other readers; one before it must lie inside an entry's bytes, where it ends a zip within the zip.

use super::number::Record;
use crate::error::{Fault, Reason, refuse};
use crate::source::Source;

const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";
const DIRECTORY: &[u8] = b"PK\x01\x02";

/// Gives the length of the end record without its comment.
const END_LEN: u64 = 22;
/// Gives the length of the locator of the 64-bit end record.
const LOCATOR_LEN: u64 = 20;
/// Gives the length of the 64-bit end record without its extensible part.
const END64_LEN: u64 = 56;
/// Gives how far before the end of the file the end record may begin: its own length, the longest comment,
/// and as much padding again.
const SEARCHED: u64 = END_LEN + 2 * 0xffff;

/// Describes what the end records say, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Says where the central directory begins in the file.
    pub(super) directory_offset: u64,
    /// Holds its length in bytes.
    pub(super) directory_len: u64,
    /// Holds the number of its entries.
    pub(super) entries: u64,
    /// Says what must be added to the offsets in the directory: bytes before the archive.
    pub(super) shift: u64,
}

/// Describes the end that counts, and where other end records stand that lead to other directories.
pub(super) struct Ends {
    pub(super) last: End,
    pub(super) others: Vec<u64>,
}

/// Returns true when the file ends like a zip.
pub(crate) fn has_end_record(source: &Source) -> Result<bool, Fault> {
    let (tail, _) = tail(source)?;
    Ok(tail.windows(4).any(|window| window == END))
}

fn tail(source: &Source) -> Result<(Vec<u8>, u64), Fault> {
    let len = source.len.min(SEARCHED);
    let start = source.len - len;
    Ok((source.bytes_at(start, usize::try_from(len).unwrap_or(0), "the end of the zip")?, start))
}

/// Finds the end records and with them the directory.
pub(super) fn find(source: &Source) -> Result<Ends, Fault> {
    let (tail, tail_start) = tail(source)?;
    let mut candidates: Vec<(u64, Result<End, Fault>)> = Vec::new();
    let positions = tail.windows(4).enumerate().filter(|(_, window)| *window == END).map(|(at, _)| at);
    let mut last_fault = None;
    for at in positions {
        let rest = tail.get(at..).unwrap_or_default();
        let position = tail_start + at as u64;
        match interpret(source, rest, position) {
            Ok(Some(end)) => candidates.push((position, Ok(end))),
            Ok(None) => {}
            // Bytes that only look like an end record are passed over, two truths are not.
            Err(fault) => match &fault {
                Fault::Refused(refusal) if refusal.reason == Reason::Contradiction => {
                    candidates.push((position, Err(fault)));
                }
                Fault::Refused(_) => last_fault = Some(fault),
                Fault::Io(_) | Fault::Dangerous(_) => return Err(fault),
            },
        }
    }
    match (candidates.pop(), last_fault) {
        (Some((_, last)), _) => {
            let last = last?;
            let is_other = |end: &Result<End, Fault>| end.as_ref().ok() != Some(&last);
            let others = candidates.iter().filter(|(_, end)| is_other(end)).map(|(position, _)| *position);
            Ok(Ends { last, others: others.collect() })
        }
        (None, Some(fault)) => Err(fault),
        (None, None) => refuse(Reason::Truncated, "the zip has no end record, its end is missing"),
    }
}

/// Reads the end record at `position`, of which `bytes` are the beginning. `None` when it is too short to
/// be one.
fn interpret(source: &Source, bytes: &[u8], position: u64) -> Result<Option<End>, Fault> {
    if (bytes.len() as u64) < END_LEN {
        return Ok(None);
    }
    let mut record = Record::new(bytes);
    record.bytes(4)?;
    let (disk, directory_disk) = (record.u16()?, record.u16()?);
    let (disk_entries, entries) = (record.u16()?, record.u16()?);
    let (len, offset) = (record.u32()?, record.u32()?);
    let narrow = Narrow { entries, len, offset };
    let wide = end64(source, position)?;
    if disk != directory_disk || disk_entries != entries || (disk != 0 && (disk != 0xffff || wide.is_none()))
    {
        return refuse(Reason::Unsupported, "the zip is spread over several disks");
    }
    let (said, records_start) = match wide {
        Some((said, start)) => {
            narrow.check(&said)?;
            (said, start)
        }
        None if narrow.is_saturated() => {
            return refuse(
                Reason::Contradiction,
                "the zip lacks the 64-bit end record that its end calls for",
            );
        }
        None => (narrow.widen(), position),
    };
    locate(source, said, records_start).map(Some)
}

/// Describes what an end record says about the directory.
#[derive(Clone, Copy, Debug)]
struct Said {
    entries: u64,
    len: u64,
    offset: u64,
}

/// Describes the same in the 32-bit record, where the highest value of a field means "see the 64-bit record".
struct Narrow {
    entries: u16,
    len: u32,
    offset: u32,
}

impl Narrow {
    fn is_saturated(&self) -> bool {
        self.entries == u16::MAX || self.len == u32::MAX || self.offset == u32::MAX
    }

    fn widen(&self) -> Said {
        Said { entries: self.entries.into(), len: self.len.into(), offset: self.offset.into() }
    }

    /// Checks that both records say the same wherever the 32-bit one says anything.
    fn check(&self, wide: &Said) -> Result<(), Fault> {
        let agrees = (self.entries == u16::MAX || u64::from(self.entries) == wide.entries)
            && (self.len == u32::MAX || u64::from(self.len) == wide.len)
            && (self.offset == u32::MAX || u64::from(self.offset) == wide.offset);
        if agrees {
            return Ok(());
        }
        refuse(Reason::Contradiction, "the two end records of the zip disagree about its directory")
    }
}

/// Returns the 64-bit end record of the end record at `position`, if a locator stands before that: what it says
/// and where it begins.
fn end64(source: &Source, position: u64) -> Result<Option<(Said, u64)>, Fault> {
    let Some(locator_at) = position.checked_sub(LOCATOR_LEN) else {
        return Ok(None);
    };
    let locator = source.bytes_at(locator_at, 20, "the zip64 locator")?;
    let mut locator = Record::new(&locator);
    if locator.bytes(4)? != LOCATOR64 {
        return Ok(None);
    }
    let (disk, offset, disks) = (locator.u32()?, locator.u64()?, locator.u32()?);
    if disk != 0 || disks > 1 {
        return refuse(Reason::Unsupported, "the zip is spread over several disks");
    }
    // It normally stands right before its locator; where bytes precede the archive, its offset is off.
    let adjacent = locator_at.checked_sub(END64_LEN);
    let mut found = None;
    for at in [Some(offset), adjacent].into_iter().flatten() {
        let is_same = found.as_ref().is_some_and(|(_, known)| *known == at);
        if is_same || at.checked_add(END64_LEN).is_none_or(|end| end > locator_at) {
            continue;
        }
        let bytes = source.bytes_at(at, 56, "the zip64 end record")?;
        let mut record = Record::new(&bytes);
        if record.bytes(4)? != END64 {
            continue;
        }
        record.bytes(8 + 2 + 2 + 4 + 4)?;
        let (disk_entries, entries) = (record.u64()?, record.u64()?);
        if disk_entries != entries {
            return refuse(Reason::Unsupported, "the zip is spread over several disks");
        }
        if found.is_some() {
            return refuse(Reason::Contradiction, "the zip has two zip64 end records");
        }
        found = Some((Said { entries, len: record.u64()?, offset: record.u64()? }, at));
    }
    match found {
        Some(found) => Ok(Some(found)),
        None => refuse(Reason::Contradiction, "the zip64 locator does not lead to a zip64 end record"),
    }
}

/// Finds the directory: where the records say, or, when bytes precede the archive, right before them.
fn locate(source: &Source, said: Said, records_start: u64) -> Result<End, Fault> {
    let end = |offset: u64, shift: u64| End {
        directory_offset: offset,
        directory_len: said.len,
        entries: said.entries,
        shift,
    };
    let Some(adjacent) = records_start.checked_sub(said.len) else {
        return refuse(
            Reason::Truncated,
            "the directory of the zip is longer than what stands before its end",
        );
    };
    if said.offset > adjacent {
        return refuse(Reason::Truncated, "the directory of the zip lies beyond its end");
    }
    if said.len == 0 {
        return Ok(end(said.offset, 0));
    }
    if said.offset == adjacent {
        return Ok(end(adjacent, 0));
    }
    let is_directory = |at: u64| source.bytes_at(at, 4, "the zip directory").map(|bytes| bytes == DIRECTORY);
    match (is_directory(said.offset)?, is_directory(adjacent)?) {
        (true, false) => Ok(end(said.offset, 0)),
        (false, true) => Ok(end(adjacent, adjacent - said.offset)),
        (true, true) => refuse(Reason::Contradiction, "the zip has two central directories"),
        (false, false) => refuse(Reason::Malformed, "the directory of the zip is not where its end says"),
    }
}
