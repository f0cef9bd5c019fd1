//! SHA-256 of a tensor's values, for comparing checkpoints across formats.

use sha2::{Digest, Sha256};

use crate::error::CheckpointError;
use crate::tensor::Tensor;

/// Gives the bytes that are read at a time. A multiple of every element's size.
const BLOCK: u64 = 256 << 10;

/// Returns the SHA-256 of the row-major little-endian bytes, as 64 lower-case hexadecimal digits. `read` fills a block with the
/// elements from a number on.
pub(super) fn sha256(
    tensor: &Tensor,
    read: impl Fn(u64, &mut [u8]) -> Result<(), CheckpointError>,
) -> Result<String, CheckpointError> {
    let mut hasher = Sha256::new();
    let mut block = Vec::new();
    let size = tensor.dtype.size();
    let mut left = tensor.bytes();
    let mut first = 0;
    while left > 0 {
        let len = left.min(BLOCK);
        block.resize(usize::try_from(len).unwrap_or(0), 0);
        read(first, &mut block)?;
        hasher.update(&block);
        first += len / size;
        left -= len;
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
