//! The central directory: one record an entry, with its 64-bit sizes where it has them.

use super::Entry;
use super::end::End;
use super::number::Record;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::limits::Limits;
use crate::source::{Origin, Source, Stream};

const SIGNATURE: &[u8] = b"PK\x01\x02";

/// Gives the length of a record without its name, extra field and comment.
const RECORD_LEN: usize = 46;

/// Gives the kind of extra field that holds 64-bit sizes.
const ZIP64: u16 = 0x0001;

/// Names the flag bits that mean that the bytes are encrypted: the entry's, strong encryption, masked headers.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// Reads all records. The data offsets are left at 0 until the local headers have been seen.
pub(super) fn read(source: &Source, end: &End, limits: &Limits) -> Result<Vec<Entry>, Fault> {
    if end.entries > limits.max_entries as u64 {
        return refuse(
            Reason::Limit,
            format!("the zip has {} entries, more than the limit of {}", end.entries, limits.max_entries),
        );
    }
    if end.directory_len > limits.max_header_bytes {
        return refuse(
            Reason::Limit,
            format!(
                "the zip directory has {} bytes, more than {}",
                end.directory_len, limits.max_header_bytes
            ),
        );
    }
    if end.entries.saturating_mul(RECORD_LEN as u64) > end.directory_len {
        return refuse(
            Reason::Contradiction,
            format!("the zip declares {} entries in {} bytes of directory", end.entries, end.directory_len),
        );
    }
    let mut records = Stream::new(Origin::File(source), end.directory_offset, end.directory_len);
    if records.remaining() != end.directory_len {
        return refuse(Reason::Truncated, "the zip directory reaches beyond the end of the file");
    }
    // As many records fit into the directory.
    let mut entries = Vec::with_capacity(usize::try_from(end.entries).unwrap_or(0));
    for _ in 0..end.entries {
        entries.push(entry(&mut records, end.shift, limits)?);
    }
    if records.remaining() == 0 {
        return Ok(entries);
    }
    refuse(Reason::Contradiction, "the zip directory holds more than the entries it declares")
}

fn entry(records: &mut Stream<'_>, shift: u64, limits: &Limits) -> Result<Entry, Fault> {
    if records.remaining() < RECORD_LEN as u64 {
        return too_early();
    }
    let fixed = records.array::<RECORD_LEN>()?;
    let mut record = Record::new(&fixed);
    if record.bytes(4)? != SIGNATURE {
        return refuse(Reason::Malformed, "a record of the zip directory has no signature");
    }
    record.bytes(4)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.bytes(4)?;
    let crc32 = record.u32()?;
    let (compressed_len, len) = (record.u32()?, record.u32()?);
    let (name_len, extra_len, comment_len) = (record.u16()?, record.u16()?, record.u16()?);
    let disk = record.u16()?;
    record.bytes(6)?;
    let offset = record.u32()?;
    let tail_len = u64::from(name_len) + u64::from(extra_len) + u64::from(comment_len);
    if records.remaining() < tail_len {
        return too_early();
    }
    let tail = records.take(tail_len)?;
    let mut tail = Record::new(&tail);
    let name = tail.bytes(name_len.into())?;
    let extra = tail.bytes(extra_len.into())?;

    let name = entry_name(name, limits)?;
    let shown = escape(&name);
    if flags & ENCRYPTED != 0 {
        return refuse(Reason::Unsupported, format!("the zip entry '{shown}' is encrypted"));
    }
    let deflated = match method {
        0 => false,
        8 => true,
        other => {
            return refuse(
                Reason::Unsupported,
                format!(
                    "the zip entry '{shown}' is compressed with method {other}, neither stored nor deflated"
                ),
            );
        }
    };
    let mut wide = wide_fields(extra, &name)?;
    let mut widen = |narrow: u32| match narrow {
        u32::MAX => wide.as_mut().map_or(Ok(u64::from(narrow)), Record::u64),
        narrow => Ok(u64::from(narrow)),
    };
    let len = widen(len)?;
    let compressed_len = widen(compressed_len)?;
    let header_offset = widen(offset)?;
    if disk != 0 && disk != u16::MAX {
        return refuse(Reason::Unsupported, "the zip is spread over several disks");
    }
    if !deflated && len != compressed_len {
        return refuse(
            Reason::Contradiction,
            format!("the zip entry '{shown}' is stored, but declares {compressed_len} bytes for {len}"),
        );
    }
    let Some(header_offset) = header_offset.checked_add(shift) else {
        return refuse(Reason::Truncated, format!("the zip entry '{shown}' lies beyond the end of the file"));
    };
    Ok(Entry { name, crc32, compressed_len, len, header_offset, data_offset: 0, deflated, flags })
}

fn too_early<T>() -> Result<T, Fault> {
    refuse(Reason::Truncated, "a record of the zip directory ends too early")
}

/// Returns a name that every reader takes for the same: UTF-8 without NUL, at which some readers stop.
fn entry_name(bytes: &[u8], limits: &Limits) -> Result<Box<str>, Fault> {
    if bytes.len() > limits.max_name_len {
        return refuse(Reason::Limit, format!("a zip entry's name has {} bytes", bytes.len()));
    }
    match std::str::from_utf8(bytes) {
        Ok(name) if !name.contains('\0') => Ok(name.into()),
        _ => {
            let shown = String::from_utf8_lossy(bytes);
            refuse(
                Reason::Contradiction,
                format!("the zip entry '{}' has a name that is not text", escape(&shown)),
            )
        }
    }
}

/// Returns the 64-bit fields of an extra field, if it has any. Two of them would be two truths.
pub(super) fn wide_fields<'a>(extra: &'a [u8], name: &str) -> Result<Option<Record<'a>>, Fault> {
    let mut rest = extra;
    let mut found = None;
    while let Some((head, tail)) = rest.split_first_chunk::<4>() {
        let [kind_low, kind_high, len_low, len_high] = *head;
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        // PyTorch's own padding may be cut short by other writers; what follows it is padding as well.
        let Some((field, next)) = tail.split_at_checked(len) else {
            break;
        };
        if u16::from_le_bytes([kind_low, kind_high]) == ZIP64 && found.replace(Record::new(field)).is_some() {
            return refuse(
                Reason::Contradiction,
                format!("the zip entry '{}' gives its 64-bit size twice", escape(name)),
            );
        }
        rest = next;
    }
    Ok(found)
}
