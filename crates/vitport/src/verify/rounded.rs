//! The source's weights as a cast leaves them, still in the source's own layout and under its own names.
//!
//! A cast to float16 or bfloat16 moves the outputs by far more than the order of additions does, and by how much depends on the
//! network: attention and norms make some errors larger. So it is not estimated. The source network is run once more on
//! its own weights, each rounded as the cast rounds it, and must then agree with the target as closely as without a cast.
//! That every weight was rounded rightly is seen by comparing bytes; that the rounded network is the same network, by this.

use std::borrow::Cow;
use std::collections::HashMap;

use vitport_checkpoint::{Checkpoint, Dtype, Tensor};

use super::weights::{CheckpointWeights, widen};
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
    factors: Option<&'a Tensor>,
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
                casts.insert(tensor.name.as_str(), Cast { dtype: target.dtype, factors });
            }
        }
        let plain = CheckpointWeights::new(checkpoint, state_dict);
        (!casts.is_empty()).then_some(Self { plain, checkpoint, state_dict, casts })
    }

    /// The tensor as the folder's writer would write it by itself, then widened, and divided by its factors again.
    fn rounded(&self, tensor: &Tensor, cast: &Cast<'_>) -> Result<Vec<f32>, ForwardError> {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| ForwardError::Unreadable {
            name: tensor.name.clone(),
            source,
        };
        let part = match cast.factors {
            None => Part::Slice { tensor: tensor.clone(), first: 0, elements: tensor.elements() },
            Some(factors) => Part::ScaledRows { tensor: tensor.clone(), factors: factors.clone() },
        };
        let target = Target {
            name: tensor.name.clone(),
            dtype: cast.dtype,
            shape: tensor.shape.clone(),
            parts: vec![part],
            operation: Operation::Rename,
        };
        let length = usize::try_from(target.bytes())
            .map_err(|_| unreadable("it has more bytes than memory has addresses".into()))?;
        let mut bytes = vec![0; length];
        let audit = self.checkpoint.audit();
        let mut contents = Contents::new(&target, &audit).map_err(|error| unreadable(error.into()))?;
        contents.read(0, &mut bytes).map_err(|error| unreadable(error.into()))?;
        let mut values = widen(cast.dtype, &bytes);
        if let Some(factors) = cast.factors {
            let factors = super::read_f32(self.checkpoint, factors)?;
            let row = values.len() / factors.len().max(1);
            for (values, &factor) in values.chunks_exact_mut(row.max(1)).zip(&factors) {
                // What is multiplied with 0 again may be anything.
                let divisor = if factor == 0.0 { 1.0 } else { f64::from(factor) };
                values.iter_mut().for_each(|value| *value = (f64::from(*value) / divisor) as f32);
            }
        }
        Ok(values)
    }
}

impl Weights for RoundedWeights<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Cow<'_, [f32]>, ForwardError> {
        let plain = self.plain.tensor(name, shape)?;
        let tensor = self.state_dict.get(name);
        match tensor.and_then(|tensor| Some((tensor, self.casts.get(tensor.name.as_str())?))) {
            Some((tensor, cast)) => self.rounded(tensor, cast).map(Cow::Owned),
            None => Ok(plain),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.plain.contains(name)
    }
}
