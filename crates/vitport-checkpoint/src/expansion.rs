//! Bytes that would come out, against bytes that went in.
//!
//! A small file can describe much: a compressed record of zeros, a view that repeats one element a
//! million million times, a storage under a hundred thousand names. Each is lawful up to a point; beyond
//! it the file is refused before anything is read.

use crate::contents::Contents;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::limits::Limits;
use crate::source::Source;
use crate::storage::Encoding;

/// Refuses contents that would expand beyond the limits.
pub(crate) fn check(sources: &[Source], contents: &Contents, limits: &Limits) -> Result<(), Fault> {
    let stored: u64 = sources.iter().map(|source| source.len).fold(0, u64::saturating_add);
    let allowed =
        stored.saturating_mul(limits.max_expansion_factor).saturating_add(limits.max_expansion_bytes);
    let unpacked = contents
        .storages
        .iter()
        .filter(|storage| matches!(storage.encoding, Encoding::Deflated { .. }))
        .map(|storage| storage.len)
        .fold(0, u64::saturating_add);
    if unpacked > allowed {
        return refuse(
            Reason::Limit,
            format!("compressed records of a file of {stored} bytes would unpack to {unpacked} bytes"),
        );
    }
    let mut total = 0_u64;
    for tensor in &contents.tensors {
        let bytes = tensor.bytes();
        let held = contents.storages.get(tensor.storage).map_or(0, |storage| storage.len);
        if bytes > held.saturating_add(limits.max_expansion_bytes) {
            return refuse(
                Reason::Limit,
                format!("tensor '{}' would expand {held} stored bytes to {bytes}", escape(&tensor.name)),
            );
        }
        total = total.saturating_add(bytes);
    }
    if total > allowed {
        return refuse(
            Reason::Limit,
            format!("the tensors of a file of {stored} bytes would come to {total} bytes"),
        );
    }
    Ok(())
}
