//! The sum of a weight and a product of two small matrices, in float64, rounded once.

use vitport_checkpoint::{Checkpoint, Tensor};

use super::unread;
use crate::folder::{from_f64, to_f64};
use crate::pipeline::ConvertError;
use crate::source::SourceError;

/// Limits the rank of adapters of small weights.
const MOST_RANK: u64 = 4096;

/// Returns the bytes of `base + scale × up × down`: `base` is `[outputs, …inputs]`, `down` `[rank, …inputs]`, `up` `[outputs, rank]`,
/// with axes of 1 behind for a convolution.
///
/// # Errors
/// Returns a refusal for shapes and dtypes that do not fit each other, and an error for tensors that cannot be read.
pub(super) fn added(
    checkpoint: &Checkpoint,
    base: &Tensor,
    down: &Tensor,
    up: &Tensor,
    scale: f64,
) -> Result<Vec<u8>, ConvertError> {
    let (Some((&outputs, inputs)), Some((&rank, of_down))) =
        (base.shape.split_first(), down.shape.split_first())
    else {
        return Err(unread(&down.name, "LoRA of a tensor without axes").into());
    };
    let of_up = up.shape.split_first_chunk::<2>();
    let fits = inputs == of_down
        && of_up.is_some_and(|(first, rest)| *first == [outputs, rank] && rest.iter().all(|&size| size == 1));
    if !fits {
        return Err(unread(&down.name, "LoRA whose matrices do not fit the weight").into());
    }
    if rank > MOST_RANK.max(outputs) {
        return Err(unread(&down.name, "LoRA of a rank above all that the weight could have").into());
    }
    if [base, down, up].iter().any(|tensor| !tensor.dtype.is_float()) || from_f64(base.dtype, 0.0).is_none() {
        return Err(unread(&base.name, "LoRA of a weight that is not a floating-point number").into());
    }
    let (down, up) = (doubles(checkpoint, down)?, doubles(checkpoint, up)?);
    let width = usize::try_from(inputs.iter().product::<u64>()).unwrap_or(usize::MAX).max(1);
    let rank = usize::try_from(rank).unwrap_or(usize::MAX).max(1);
    let size = usize::try_from(base.dtype.size()).unwrap_or(8);
    let mut bytes = Vec::with_capacity(usize::try_from(base.bytes()).unwrap_or(0));
    let (mut stored, mut row, mut sum) =
        (vec![0; width.saturating_mul(size)], vec![0.0; width], vec![0.0; width]);
    for (factors, first) in up.chunks_exact(rank).zip((0_u64..).step_by(width)) {
        checkpoint.read(base, first, &mut stored).map_err(SourceError::from)?;
        to_f64(base.dtype, &stored, &mut row);
        sum.fill(0.0);
        for (factor, column) in factors.iter().zip(down.chunks_exact(width)) {
            sum.iter_mut().zip(column).for_each(|(sum, value)| *sum += factor * value);
        }
        for (value, sum) in row.iter().zip(&sum) {
            bytes.extend(from_f64(base.dtype, value + scale * sum).unwrap_or_default());
        }
    }
    Ok(bytes)
}

/// Reads a small tensor whole.
fn doubles(checkpoint: &Checkpoint, tensor: &Tensor) -> Result<Vec<f64>, ConvertError> {
    let mut bytes = vec![0; usize::try_from(tensor.bytes()).unwrap_or(usize::MAX)];
    checkpoint.read(tensor, 0, &mut bytes).map_err(SourceError::from)?;
    let mut doubles = vec![0.0; usize::try_from(tensor.elements()).unwrap_or(usize::MAX)];
    to_f64(tensor.dtype, &bytes, &mut doubles);
    Ok(doubles)
}
