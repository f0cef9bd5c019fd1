//! safetensors: eight bytes that give the length of a JSON header, the header, and the data.
//!
//! The format's own text (<https://github.com/huggingface/safetensors>, "Format") demands what is checked
//! here: the header fits the file, is UTF-8, begins with `{`, has no key twice, and the tensors cover the
//! data without gaps and without overlaps, each with as many bytes as its shape and dtype say.

mod header;

use crate::contents::Contents;
use crate::dtype::Dtype;
use crate::error::{Fault, Reason, refuse};
use crate::escape::escape;
use crate::evidence::{Container, FileEvidence};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::plain_value::PlainValue;
use crate::source::Source;
use crate::storage::Storage;
use crate::tensor::{Tensor, element_count};
use header::{Entry, Header};

/// Gives the bytes before the header: its length.
const PREFIX: u64 = 8;

/// Returns true when the first bytes of a file look like safetensors: a header length that the file can hold, and
/// the header's opening brace.
pub(crate) fn looks_like(start: &[u8], file_len: u64) -> bool {
    let Some((length, rest)) = start.split_first_chunk::<8>() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    rest.first() == Some(&b'{') && (length < 1 << 40 || length <= file_len)
}

/// Reads the header of file number `file`.
pub(crate) fn read(source: &Source, file: usize, limits: &Limits) -> Result<Contents, Fault> {
    let (header, data_start) = header(source, limits)?;
    let data_len = source.len.saturating_sub(data_start);
    // One storage for each tensor, so that tensors are views from element 0 whatever their alignment.
    let numbered = header.tensors.iter().enumerate();
    let tensors = numbered.map(|(storage, (name, entry))| tensor(name, entry, storage, limits));
    let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
    check_coverage(&header, data_len)?;
    let storages = header
        .tensors
        .iter()
        .map(|(_, entry)| {
            Storage::stored(file, String::new(), data_start + entry.begin, entry.end - entry.begin)
        })
        .collect();
    let mut contents = Contents::flat(tensors, storages, FileEvidence::of(Container::Safetensors));
    contents.metadata = header
        .metadata
        .into_iter()
        .map(|(path, value)| Metadata { path, value: PlainValue::Str(value) })
        .collect();
    Ok(contents)
}

/// Returns the parsed header, and where the data begins.
fn header(source: &Source, limits: &Limits) -> Result<(Header, u64), Fault> {
    let start = source.bytes_at(0, 8, "the length of the header")?;
    let length = start.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if length > source.len.saturating_sub(PREFIX) {
        return refuse(
            Reason::Truncated,
            format!("the header declares {length} bytes, but the file has {} bytes", source.len),
        );
    }
    if length > limits.max_header_bytes {
        return refuse(
            Reason::Limit,
            format!("the header of {length} bytes is longer than the limit of {}", limits.max_header_bytes),
        );
    }
    let bytes = source.bytes_at(PREFIX, usize::try_from(length).unwrap_or(usize::MAX), "the header")?;
    if bytes.first() != Some(&b'{') {
        return refuse(Reason::Malformed, "the header does not begin with '{'");
    }
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return refuse(Reason::Malformed, "the header is not valid UTF-8");
    };
    let header = header::parse(text, limits)?;
    Ok((header, PREFIX + length))
}

/// Returns the tensor of a header's entry, in storage number `storage`.
fn tensor(name: &str, entry: &Entry, storage: usize, limits: &Limits) -> Result<Tensor, Fault> {
    let shown = escape(name);
    let Some(dtype) = Dtype::from_name(&entry.dtype) else {
        return refuse(
            Reason::Unsupported,
            format!(
                "tensor '{shown}' has the dtype '{}', which this reader does not hold",
                escape(&entry.dtype)
            ),
        );
    };
    if entry.shape.len() > limits.max_dims {
        return refuse(
            Reason::Limit,
            format!("tensor '{shown}' has {} dimensions, more than {}", entry.shape.len(), limits.max_dims),
        );
    }
    let Some(bytes) = element_count(&entry.shape).and_then(|count| count.checked_mul(dtype.size())) else {
        return refuse(Reason::Malformed, format!("the shape of tensor '{shown}' has more than 2^64 bytes"));
    };
    if entry.begin > entry.end || entry.end - entry.begin != bytes {
        return refuse(
            Reason::Malformed,
            format!(
                "tensor '{shown}' lies at bytes {} to {}, but its shape and dtype take {bytes} bytes",
                entry.begin, entry.end
            ),
        );
    }
    Ok(Tensor::contiguous(name, dtype, entry.shape.clone(), 0, storage))
}

/// Checks that the tensors cover the data exactly: no gap in which something could hide, no overlap.
fn check_coverage(header: &Header, data_len: u64) -> Result<(), Fault> {
    let mut ranges: Vec<(u64, u64, &str)> =
        header.tensors.iter().map(|(name, entry)| (entry.begin, entry.end, name.as_str())).collect();
    ranges.sort_unstable();
    let mut at = 0;
    for (begin, end, name) in ranges {
        if begin != at {
            let what = if begin < at { "overlaps the tensor before it" } else { "leaves a gap before it" };
            return refuse(Reason::Contradiction, format!("tensor '{}' {what} in the data", escape(name)));
        }
        at = end;
    }
    if at > data_len {
        return refuse(
            Reason::Truncated,
            format!("the tensors take {at} bytes, but only {data_len} bytes follow the header"),
        );
    }
    if at < data_len {
        return refuse(
            Reason::Contradiction,
            format!("{} bytes follow the last tensor and belong to none", data_len - at),
        );
    }
    Ok(())
}
