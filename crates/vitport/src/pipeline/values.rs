//! A look at the values of a source's tensors, before a mapping is chosen.

use vitport_checkpoint::Checkpoint;

use crate::mapping::{Sources, TensorValues};
use crate::nn::Weights;
use crate::verify::SourceWeights;

/// Gives the number of values read at a time.
const CHUNK: usize = 1 << 16;

/// Holds tensors under a definition's names, read from a checkpoint.
pub(super) struct FileValues<'a> {
    pub checkpoint: &'a Checkpoint,
    pub tensors: &'a Sources,
}

impl TensorValues for FileValues<'_> {
    fn largest(&self, tensor: &str) -> Result<Option<f64>, String> {
        let Some((_, found)) = self.tensors.entry(tensor) else { return Ok(None) };
        let shape: Vec<usize> =
            found.shape.iter().map(|&size| usize::try_from(size).unwrap_or(usize::MAX)).collect();
        let count = usize::try_from(found.elements()).unwrap_or(usize::MAX);
        let weights = SourceWeights::new(self.checkpoint, self.tensors);
        let (mut scratch, mut largest) = (Vec::new(), 0.0_f64);
        for first in (0..count).step_by(CHUNK) {
            let chunk = first..count.min(first.saturating_add(CHUNK));
            let values =
                weights.part(tensor, &shape, chunk, &mut scratch).map_err(|error| error.to_string())?;
            for value in values {
                // NaN is not zero.
                let size = f64::from(value.abs());
                largest = if size.is_nan() { f64::INFINITY } else { largest.max(size) };
            }
        }
        Ok(Some(largest))
    }
}
