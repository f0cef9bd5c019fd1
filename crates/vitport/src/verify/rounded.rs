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
    /// Holds what is added to rows of a tensor, by its name in the file.
    sums: HashMap<&'a str, Vec<Sum<'a>>>,
}

/// Holds rows to which others are added before rounding: both as vectors of their elements.
#[derive(Clone, Copy)]
struct Sum<'a> {
    tensor: &'a Arc<Tensor>,
    addends: &'a Arc<Tensor>,
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
        let (mut casts, mut sums) = (HashMap::new(), HashMap::<&str, Vec<Sum<'a>>>::new());
        for target in plan.targets.iter().filter(|target| matches!(target.dtype, Dtype::F16 | Dtype::BF16)) {
            for part in &target.parts {
                let (tensor, change) = match part {
                    Part::Slice { tensor, .. } if tensor.dtype != target.dtype => (tensor, None),
                    Part::ScaledRows { tensor, factors } => (tensor, Some(Change::Factors(factors))),
                    Part::ShiftedColumns { tensor, addends } if tensor.shape.len() == 1 => {
                        sums.entry(&*tensor.name).or_default().push(Sum { tensor, addends });
                        (tensor, None)
                    }
                    Part::ShiftedColumns { tensor, addends } => (tensor, Some(Change::Addends(addends))),
                    _ => continue,
                };
                casts.insert(&*tensor.name, Cast { dtype: target.dtype, change });
            }
        }
        let plain = SourceWeights::new(checkpoint, tensors);
        (!casts.is_empty()).then_some(Self { plain, checkpoint, tensors, casts, sums })
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
        self.written(name, cast.dtype, parts, first, out)?;
        self.add_sums(tensor, cast.dtype, first, out)?;
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

impl RoundedWeights<'_> {
    /// Reads elements `first..` of what the folder's writer would write of these parts, widened.
    fn written(
        &self,
        name: &Arc<str>,
        dtype: Dtype,
        parts: Parts,
        first: u64,
        out: &mut [f32],
    ) -> Result<(), ForwardError> {
        let elements: u64 = parts.iter().map(Part::elements).sum();
        let (name, shape) = (Arc::clone(name), Arc::from([elements]));
        let target = Target { name, dtype, shape, parts, operation: "rename" };
        let size = dtype.size();
        let mut bytes = vec![0; out.len().saturating_mul(usize::try_from(size).unwrap_or(usize::MAX))];
        let failed = |error| unreadable(&target.name, error);
        let audit = self.checkpoint.audit();
        let mut contents = TargetContents::new(&target, &audit).map_err(failed)?;
        contents.read(first.saturating_mul(size), &mut bytes).map_err(failed)?;
        widen(dtype, &bytes, out);
        Ok(())
    }

    /// Puts in place of elements that are summed with others the rounded sum without these, which the source network adds itself.
    fn add_sums(
        &self,
        tensor: &SourceTensor,
        dtype: Dtype,
        first: u64,
        out: &mut [f32],
    ) -> Result<(), ForwardError> {
        let [Part::Slice { tensor: view, first: skipped, .. }] = tensor.parts.as_slice() else {
            return Ok(());
        };
        for Sum { tensor: rows, addends } in self.sums.get(&*view.name).into_iter().flatten() {
            let begin = rows.offset.saturating_sub(view.offset.saturating_add(*skipped));
            let (from, to) = (begin.max(first), begin.saturating_add(rows.elements()));
            let place = |element: u64| usize::try_from(element.saturating_sub(first)).unwrap_or(usize::MAX);
            let end = place(to).min(out.len());
            let Some(values) = out.get_mut(place(from)..end).filter(|values| !values.is_empty()) else {
                continue;
            };
            let part = Part::ShiftedColumns { tensor: Arc::clone(rows), addends: Arc::clone(addends) };
            let own = self.casts.get(&*addends.name).map_or(Dtype::F32, |cast| cast.dtype);
            let alone = Part::Slice { tensor: Arc::clone(addends), first: 0, elements: addends.elements() };
            let mut added = vec![0.0; values.len()];
            self.written(&rows.name, dtype, Parts::from_iter([part]), from - begin, values)?;
            self.written(&addends.name, own, Parts::from_iter([alone]), from - begin, &mut added)?;
            values.iter_mut().zip(added).for_each(|(sum, addend)| *sum -= addend);
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
