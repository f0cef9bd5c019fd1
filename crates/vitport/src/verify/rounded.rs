//! The source's weights as a cast leaves them, still in the source's own layout and under its own names.
//!
//! A cast to float16 or bfloat16 moves the outputs by far more than the order of additions does, and by how much depends on the
//! network: attention and norms make some errors larger. So it is not estimated. The source network is run once more on
//! its own weights, each rounded as the cast rounds it, and must then agree with the target as closely as without a cast.
//! That every weight was rounded rightly is seen by comparing bytes; that the rounded network is the same network, by this.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use smallvec::smallvec;
use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use super::weights::{CheckpointWeights, find, read_f32, room_for, unreadable, widen};
use crate::folder::Contents;
use crate::nn::{ForwardError, Weights};
use crate::plan::{Operation, Part, Plan, Target};
use crate::state_dict::StateDict;

/// A source's weights, rounded.
pub(super) struct RoundedWeights<'a> {
    plain: CheckpointWeights<'a>,
    checkpoint: &'a Checkpoint,
    state_dict: &'a StateDict,
    /// By the tensor's name in the file.
    casts: HashMap<&'a str, Cast<'a>>,
}

/// What happens to a tensor on its way into the folder.
struct Cast<'a> {
    dtype: Dtype,
    /// The factor of each row that is multiplied in before rounding.
    factors: Option<&'a Arc<Tensor>>,
}

impl<'a> RoundedWeights<'a> {
    /// The weights of `state_dict` as `plan` rounds them; none if it rounds nothing to a half precision.
    pub(super) fn new(checkpoint: &'a Checkpoint, state_dict: &'a StateDict, plan: &'a Plan) -> Option<Self> {
        let mut casts = HashMap::new();
        for target in plan.targets.iter().filter(|target| matches!(target.dtype, Dtype::F16 | Dtype::BF16)) {
            for part in &target.parts {
                let (tensor, factors) = match part {
                    Part::Slice { tensor, .. } if tensor.dtype != target.dtype => (tensor, None),
                    Part::ScaledRows { tensor, factors } => (tensor, Some(factors)),
                    _ => continue,
                };
                casts.insert(&*tensor.name, Cast { dtype: target.dtype, factors });
            }
        }
        let plain = CheckpointWeights::new(checkpoint, state_dict);
        (!casts.is_empty()).then_some(Self { plain, checkpoint, state_dict, casts })
    }

    /// Elements `first..` of the tensor as the folder's writer would write it by itself, then widened, and divided by its
    /// factors again.
    fn rounded(
        &self,
        tensor: &Tensor,
        cast: &Cast<'_>,
        first: u64,
        out: &mut [f32],
    ) -> Result<(), ForwardError> {
        let own = Arc::new(tensor.clone());
        let part = match cast.factors {
            None => Part::Slice { tensor: own, first: 0, elements: tensor.elements() },
            Some(factors) => Part::ScaledRows { tensor: own, factors: Arc::clone(factors) },
        };
        let target = Target {
            name: Arc::clone(&tensor.name),
            dtype: cast.dtype,
            shape: tensor.shape.as_slice().into(),
            parts: smallvec![part],
            operation: Operation::Rename,
        };
        let size = cast.dtype.size();
        let mut bytes = vec![0; out.len().saturating_mul(usize::try_from(size).unwrap_or(usize::MAX))];
        let audit = self.checkpoint.audit();
        let mut contents = Contents::new(&target, &audit).map_err(|error| unreadable(tensor, error))?;
        contents.read(first.saturating_mul(size), &mut bytes).map_err(|error| unreadable(tensor, error))?;
        widen(cast.dtype, &bytes, out);
        let Some(factors) = cast.factors else { return Ok(()) };
        let rows = usize::try_from(factors.elements()).unwrap_or(usize::MAX);
        let mut of_rows = vec![0.0; rows];
        read_f32(self.checkpoint, factors, 0, &mut of_rows)?;
        let row = (tensor.elements() / factors.elements().max(1)).max(1);
        for (element, value) in (first..).zip(out) {
            let factor = usize::try_from(element / row).ok().and_then(|row| of_rows.get(row));
            // What is multiplied with 0 again may be anything.
            let divisor = factor.filter(|&&factor| factor != 0.0).map_or(1.0, |&factor| f64::from(factor));
            *value = (f64::from(*value) / divisor) as f32;
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
        room: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        let tensor = find(self.state_dict, name, shape)?;
        match self.casts.get(&*tensor.name) {
            Some(cast) => {
                let values = room_for(tensor, &elements, room)?;
                self.rounded(tensor, cast, elements.start as u64, values)?;
                Ok(values)
            }
            None => self.plain.part(name, shape, elements, room),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.plain.contains(name)
    }
}
