//! The source's weights as a cast leaves them, still in the source's own layout and under its own names.
//!
//! A cast to float16 or bfloat16 moves the outputs by far more than the order of additions does, and by how much depends on the
//! network: attention and norms make some errors larger. So it is not estimated. The source network is run once more on
//! its own weights, each rounded as the cast rounds it, and must then agree with the target as closely as without a cast.
//! That every weight was rounded rightly is seen by comparing bytes; that the rounded network is the same network, by this.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use super::weights::{SourceWeights, find, read_f32, scratch_for, unreadable, widen};
use crate::folder::TargetContents;
use crate::mapping::{SourceTensor, Sources};
use crate::nn::{ForwardError, Weights};
use crate::plan::{Part, Parts, Plan, Target};

/// Reads a source's weights, rounded.
pub(super) struct RoundedWeights<'a> {
    plain: SourceWeights<'a>,
    checkpoint: &'a Checkpoint,
    tensors: &'a Sources,
    /// Holds casts by the tensor's name in the file.
    casts: HashMap<&'a str, Cast<'a>>,
}

/// Holds what happens to a tensor on its way into the folder.
struct Cast<'a> {
    dtype: Dtype,
    /// Says what changes it before rounding.
    change: Option<Change<'a>>,
}

/// Holds a tensor that is folded into another.
#[derive(Clone, Copy)]
enum Change<'a> {
    /// Stands for the factor of each row that is multiplied in.
    Factors(&'a Arc<Tensor>),
    /// Stands for the addend of each column that is added.
    Addends(&'a Arc<Tensor>),
}

impl Change<'_> {
    fn part(self, tensor: &Arc<Tensor>) -> Part {
        let tensor = Arc::clone(tensor);
        match self {
            Self::Factors(factors) => Part::ScaledRows { tensor, factors: Arc::clone(factors) },
            Self::Addends(addends) => Part::ShiftedColumns { tensor, addends: Arc::clone(addends) },
        }
    }

    fn operand(&self) -> &Tensor {
        match self {
            Self::Factors(operand) | Self::Addends(operand) => operand,
        }
    }
}

impl<'a> RoundedWeights<'a> {
    /// Returns the weights of `tensors` as `plan` rounds them; none if it rounds nothing to a half precision.
    pub(super) fn new(checkpoint: &'a Checkpoint, tensors: &'a Sources, plan: &'a Plan) -> Option<Self> {
        let mut casts = HashMap::new();
        for target in plan.targets.iter().filter(|target| matches!(target.dtype, Dtype::F16 | Dtype::BF16)) {
            for part in &target.parts {
                let (tensor, change) = match part {
                    Part::Slice { tensor, .. } if tensor.dtype != target.dtype => (tensor, None),
                    Part::ScaledRows { tensor, factors } => (tensor, Some(Change::Factors(factors))),
                    Part::ShiftedColumns { tensor, addends } => (tensor, Some(Change::Addends(addends))),
                    _ => continue,
                };
                casts.insert(&*tensor.name, Cast { dtype: target.dtype, change });
            }
        }
        let plain = SourceWeights::new(checkpoint, tensors);
        (!casts.is_empty()).then_some(Self { plain, checkpoint, tensors, casts })
    }

    /// Returns what becomes of a tensor: of all its parts the same.
    fn cast_of(&self, tensor: &SourceTensor) -> Option<&Cast<'a>> {
        tensor.parts.iter().find_map(|part| match part {
            Part::Slice { tensor, .. } => self.casts.get(&*tensor.name),
            _ => None,
        })
    }

    /// Reads elements `first..` of the tensor as the folder's writer would write it by itself, then widened, and its
    /// factors or addends taken out again.
    fn rounded(
        &self,
        tensor: &SourceTensor,
        cast: &Cast<'_>,
        first: u64,
        out: &mut [f32],
    ) -> Result<(), ForwardError> {
        let name = &tensor.name;
        let parts: Parts = match (cast.change, tensor.view()) {
            (Some(change), Some(view)) => Parts::from_iter([change.part(view)]),
            _ => tensor.parts.clone(),
        };
        let target = Target {
            name: Arc::clone(name),
            dtype: cast.dtype,
            shape: tensor.shape.as_slice().into(),
            parts,
            operation: "rename",
        };
        let size = cast.dtype.size();
        let mut bytes = vec![0; out.len().saturating_mul(usize::try_from(size).unwrap_or(usize::MAX))];
        let audit = self.checkpoint.audit();
        let mut contents = TargetContents::new(&target, &audit).map_err(|error| unreadable(name, error))?;
        contents.read(first.saturating_mul(size), &mut bytes).map_err(|error| unreadable(name, error))?;
        widen(cast.dtype, &bytes, out);
        let Some(change) = cast.change else { return Ok(()) };
        let operand = change.operand();
        let mut operands = vec![0.0; usize::try_from(operand.elements()).unwrap_or(usize::MAX)];
        read_f32(self.checkpoint, operand, 0, &mut operands)?;
        let row = (tensor.elements() / operand.elements().max(1)).max(1);
        for (element, value) in (first..).zip(out) {
            let place = match change {
                Change::Factors(_) => element / row,
                Change::Addends(_) => element % operand.elements().max(1),
            };
            let known = usize::try_from(place).ok().and_then(|place| operands.get(place)).copied();
            let (number, known) = (f64::from(*value), known.map(f64::from));
            *value = match (change, known) {
                (Change::Addends(_), Some(addend)) => number - addend,
                // What is multiplied with 0 again may be anything.
                (Change::Factors(_), Some(factor)) if factor != 0.0 => number / factor,
                _ => number,
            } as f32;
        }
        Ok(())
    }
}

impl Weights for RoundedWeights<'_> {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        scratch: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        let tensor = find(self.tensors, name, shape)?;
        match self.cast_of(tensor) {
            Some(cast) => {
                let values = scratch_for(tensor, &elements, scratch)?;
                self.rounded(tensor, cast, elements.start as u64, values)?;
                Ok(values)
            }
            None => self.plain.part(name, shape, elements, scratch),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.plain.contains(name)
    }
}
