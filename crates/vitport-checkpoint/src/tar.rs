//! Tar archives, as far as PyTorch before 0.1.10 used them: a few regular files, uncompressed.
//!
//! The layout is that of POSIX `ustar`: blocks of 512 bytes, a header block before each file.

use std::collections::HashMap;

use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::limits::Limits;
use crate::source::Source;

const BLOCK: u64 = 512;

/// Describes where a file of the archive lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Returns true when a file begins with a tar header: its checksum is right.
pub(crate) fn looks_like(start: &[u8]) -> bool {
    Header::parse(start).is_some()
}

/// Returns the regular files of the archive by name.
pub(crate) fn members(source: &Source, limits: &Limits) -> Result<HashMap<String, Member>, Fault> {
    let mut members = HashMap::new();
    let mut at = 0_u64;
    let mut blocks = 0;
    while at.saturating_add(BLOCK) <= source.len {
        let block = source.bytes_at(at, 512, "a tar header")?;
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let Some(header) = Header::parse(&block) else {
            return refuse(Reason::Malformed, format!("the tar header at offset {at} has a wrong checksum"));
        };
        let offset = at + BLOCK;
        let end = offset.checked_add(header.len);
        let Some(end) = end.filter(|end| *end <= source.len) else {
            return refuse(
                Reason::Truncated,
                format!("the tar member '{}' reaches beyond the end of the file", escape(&header.name)),
            );
        };
        let shown = escape(&header.name).to_string();
        if header.is_regular && members.insert(header.name, Member { offset, len: header.len }).is_some() {
            return refuse(Reason::Contradiction, format!("the tar holds two members called '{shown}'"));
        }
        blocks += 1;
        if blocks > limits.max_entries {
            return refuse(Reason::Limit, format!("the tar has more than {} members", limits.max_entries));
        }
        at = end.div_ceil(BLOCK).saturating_mul(BLOCK);
    }
    Ok(members)
}

struct Header {
    name: String,
    len: u64,
    is_regular: bool,
}

impl Header {
    fn parse(block: &[u8]) -> Option<Self> {
        let block = block.first_chunk::<512>()?;
        let checksum = block.get(148..156)?;
        let spaces = 8 * u64::from(b' ');
        let sum = block.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let sum = sum - checksum.iter().map(|byte| u64::from(*byte)).sum::<u64>() + spaces;
        if octal(checksum)? != sum {
            return None;
        }
        let name = block.get(..100)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name);
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let kind = *block.get(156)?;
        Some(Self { name, len: octal(block.get(124..136)?)?, is_regular: matches!(kind, b'0' | 0) })
    }
}

/// Returns an octal number with spaces or zeros around it.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    u64::from_str_radix(digits, 8).ok()
}
