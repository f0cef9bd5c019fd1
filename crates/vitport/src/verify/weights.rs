//! A checkpoint's tensors as float32, for a forward pass: each is read from its file when the network asks for it, in the
//! layout that it has there.

use std::borrow::Cow;

use half::{bf16, f16};
use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use crate::nn::{ForwardError, Weights};
use crate::state_dict::StateDict;

/// Tensors of a state dict, read from its checkpoint on demand. Nothing is kept, so memory stays that of one layer.
pub struct CheckpointWeights<'a> {
    checkpoint: &'a Checkpoint,
    state_dict: &'a StateDict,
}

impl<'a> CheckpointWeights<'a> {
    /// The tensors of `state_dict`, which must be `checkpoint`'s.
    pub fn new(checkpoint: &'a Checkpoint, state_dict: &'a StateDict) -> Self {
        Self { checkpoint, state_dict }
    }
}

impl Weights for CheckpointWeights<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, ForwardError> {
        let Some(tensor) = self.state_dict.get(name) else {
            return Err(ForwardError::MissingTensor { name: name.to_owned() });
        };
        let has_shape = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(&found, &expected)| found == expected as u64);
        if !has_shape {
            let found = tensor.shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect();
            return Err(ForwardError::WrongShape { name: name.to_owned(), expected: shape.to_vec(), found });
        }
        read_f32(self.checkpoint, tensor).map(Cow::Owned)
    }

    fn contains(&self, name: &str) -> bool {
        self.state_dict.has(name)
    }
}

/// Half-precision numbers, little-endian, as float32.
pub(super) fn widen(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    let halves = bytes.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?)));
    match dtype {
        Dtype::BF16 => halves.map(|half| bf16::from_bits(half).to_f32()).collect(),
        _ => halves.map(|half| f16::from_bits(half).to_f32()).collect(),
    }
}

/// All elements of a float tensor, row-major, as float32. f16 and bf16 are exact in it, f64 is rounded.
///
/// # Errors
/// [`ForwardError::Unreadable`] for other dtypes, and when the file cannot be read.
pub fn read_f32(checkpoint: &Checkpoint, tensor: &Tensor) -> Result<Vec<f32>, ForwardError> {
    let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| ForwardError::Unreadable {
        name: tensor.name.clone(),
        source,
    };
    let Ok(elements) = usize::try_from(tensor.elements()) else {
        return Err(unreadable("it has more elements than memory has addresses".into()));
    };
    let read = |bytes: &mut [u8]| checkpoint.read(tensor, 0, bytes).map_err(|error| unreadable(error.into()));
    match tensor.dtype {
        Dtype::F32 => {
            let mut values = vec![0.0_f32; elements];
            read(bytemuck::cast_slice_mut(&mut values))?;
            Ok(values)
        }
        Dtype::F16 => {
            let mut halves = vec![f16::ZERO; elements];
            read(bytemuck::cast_slice_mut(&mut halves))?;
            Ok(halves.into_iter().map(f16::to_f32).collect())
        }
        Dtype::BF16 => {
            let mut halves = vec![bf16::ZERO; elements];
            read(bytemuck::cast_slice_mut(&mut halves))?;
            Ok(halves.into_iter().map(bf16::to_f32).collect())
        }
        Dtype::F64 => {
            let mut doubles = vec![0.0_f64; elements];
            read(bytemuck::cast_slice_mut(&mut doubles))?;
            Ok(doubles.into_iter().map(|double| double as f32).collect())
        }
        other => Err(unreadable(format!("its dtype {other} is none that a network computes in").into())),
    }
}
