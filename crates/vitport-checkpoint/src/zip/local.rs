//! The header before each entry, which must repeat what the central directory says.
//!
//! An entry that was written in one go has its checksum and sizes after its bytes (flag bit 3); then the
//! header may say 0 for them, and what stands after the bytes must agree.

use super::Entry;
use super::central::wide_fields;
use super::number::Record;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::source::Source;

const SIGNATURE: &[u8] = b"PK\x03\x04";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";

/// Gives the length of the header without its name and extra field.
const HEADER_LEN: usize = 30;

/// Is flag bit 3: checksum and sizes follow the bytes.
const HAS_DESCRIPTOR: u16 = 1 << 3;

/// Names the flag bits that must be the same in both places: encryption, the descriptor, patch data, strong
/// encryption, masked headers.
const COMPARED: u16 = 1 | HAS_DESCRIPTOR | 1 << 5 | 1 << 6 | 1 << 13;

/// Compares the local header with the directory's entry and finds where the bytes begin.
pub(super) fn check(source: &Source, entry: &mut Entry) -> Result<(), Fault> {
    // Header and name are fetched together; the extra field is only skipped.
    let wanted = HEADER_LEN.saturating_add(entry.name.len());
    let bytes = source.bytes_at(entry.header_offset, wanted, "a zip entry's header")?;
    let mut record = Record::new(&bytes);
    if record.bytes(4)? != SIGNATURE {
        return differs(entry, "there is no header where the directory says");
    }
    record.bytes(2)?;
    let (flags, method) = (record.u16()?, record.u16()?);
    record.bytes(4)?;
    let crc32 = record.u32()?;
    let (compressed_len, len) = (record.u32()?, record.u32()?);
    let (name_len, extra_len) = (record.u16()?, record.u16()?);
    if usize::from(name_len) != entry.name.len() || record.bytes(name_len.into())? != entry.name.as_bytes() {
        return differs(entry, "the header before its bytes gives another name");
    }
    if (flags ^ entry.flags) & COMPARED != 0 {
        return differs(entry, "the header before its bytes has other flags");
    }
    if method != if entry.deflated { 8 } else { 0 } {
        return differs(entry, "the header before its bytes names another compression");
    }
    let extra_at = entry.header_offset.saturating_add(wanted as u64);
    entry.data_offset = extra_at.saturating_add(extra_len.into());
    if entry.data_offset.checked_add(entry.compressed_len).is_none_or(|end| end > source.len) {
        return refuse(
            Reason::Truncated,
            format!("the zip entry '{}' reaches beyond the end of the file", escape(&entry.name)),
        );
    }
    let mut said = Sizes { crc32, compressed_len: compressed_len.into(), len: len.into() };
    if said.is_saturated() && extra_len > 0 {
        let extra = source.bytes_at(extra_at, extra_len.into(), "a zip entry's extra field")?;
        said.widen(&extra, &entry.name)?;
    }
    if flags & HAS_DESCRIPTOR != 0 {
        if !said.is_blank() && !said.agrees(entry) {
            return differs(entry, "the header before its bytes gives other sizes");
        }
        return check_descriptor(source, entry);
    }
    if said.agrees(entry) {
        return Ok(());
    }
    differs(entry, "the header before its bytes gives other sizes or another checksum")
}

fn differs(entry: &Entry, how: &str) -> Result<(), Fault> {
    refuse(
        Reason::Contradiction,
        format!("the zip entry '{}' differs from the directory: {how}", escape(&entry.name)),
    )
}

/// Holds the checksum and sizes as a header gives them.
struct Sizes {
    crc32: u32,
    compressed_len: u64,
    len: u64,
}

/// Gives the 32-bit size that points to the extra field.
const SATURATED: u64 = u32::MAX as u64;

impl Sizes {
    fn is_saturated(&self) -> bool {
        self.compressed_len == SATURATED || self.len == SATURATED
    }

    /// Takes the sizes from the extra field, where there are any: first the decoded one.
    fn widen(&mut self, extra: &[u8], name: &str) -> Result<(), Fault> {
        let Some(mut wide) = wide_fields(extra, name)? else {
            return Ok(());
        };
        for size in [&mut self.len, &mut self.compressed_len] {
            if *size == SATURATED {
                *size = wide.u64()?;
            }
        }
        Ok(())
    }

    /// Returns true when the header leaves the numbers to the descriptor.
    fn is_blank(&self) -> bool {
        self.crc32 == 0 && self.compressed_len == self.len && (self.len == 0 || self.len == SATURATED)
    }

    fn agrees(&self, entry: &Entry) -> bool {
        self.crc32 == entry.crc32 && self.compressed_len == entry.compressed_len && self.len == entry.len
    }
}

/// Checks the descriptor after the bytes: optional signature, checksum, and sizes of 32 or 64 bits.
fn check_descriptor(source: &Source, entry: &Entry) -> Result<(), Fault> {
    let at = entry.data_offset.saturating_add(entry.compressed_len);
    let available = source.len.saturating_sub(at).min(24);
    let bytes = source.bytes_at(at, usize::try_from(available).unwrap_or(0), "a zip data descriptor")?;
    let body = bytes.strip_prefix(DESCRIPTOR).unwrap_or(&bytes);
    let narrow = |record: &mut Record<'_>| -> Result<_, Fault> {
        Ok((record.u32()?, u64::from(record.u32()?), u64::from(record.u32()?)))
    };
    let wide =
        |record: &mut Record<'_>| -> Result<_, Fault> { Ok((record.u32()?, record.u64()?, record.u64()?)) };
    let expected = (entry.crc32, entry.compressed_len, entry.len);
    // Without a signature the checksum itself may look like one.
    for body in [body, &bytes] {
        let found = [narrow(&mut Record::new(body)).ok(), wide(&mut Record::new(body)).ok()];
        if found.contains(&Some(expected)) {
            return Ok(());
        }
    }
    if entry.len == 0 && entry.compressed_len == 0 {
        // PyTorch's writer sets the flag for empty records and leaves the descriptor out.
        return Ok(());
    }
    differs(entry, "the descriptor behind its bytes gives other sizes or another checksum")
}
