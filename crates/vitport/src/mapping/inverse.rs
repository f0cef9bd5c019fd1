//! The way back: the plan that makes a mapping's source again of what the mapping made. It is a plan like any other, made of
//! the same rules: each operation says how it is inverted.
//!
//! A mapping that can be inverted has lost nothing. The lint test of every mapping converts a fixture there and back and
//! compares bits.

use smallvec::smallvec;
use vitport_checkpoint::Dtype;

use super::bindings::Bindings;
use super::conditions::Condition;
use super::expand::Expansion;
use super::expected;
use super::language::Mapping;
use super::operations::Made;
use super::problems::{Problem, Problems};
use super::sources::{SourceTensor, Sources};
use crate::nn::Network;
use crate::plan::{Part, Plan, Target};

impl Mapping {
    /// Returns the plan that makes the tensors of `source` again, except for dropped ones, of `made`, the tensors that this
    /// mapping made of them. Of `source` only names, shapes and dtypes are used; what it lacks is not made again.
    ///
    /// # Errors
    /// Returns everything that is wrong, at once: products and casts cannot be undone bit for bit.
    pub fn inverse(&self, source: &Sources, bindings: &Bindings, made: &Sources) -> Result<Plan, Problems> {
        Expansion::new(self, made, bindings).back_to(source).plan(self.keeps_rest())
    }
}

impl Mapping {
    /// Returns the plan that makes a network of the source's definition of `made`, the tensors of a network of the target's. It makes
    /// exactly the parameters and buffers of `network`, in the dtypes that `made` has.
    ///
    /// # Errors
    /// Returns everything that is wrong, at once.
    pub fn plan_back(
        &self,
        network: &Network,
        bindings: &Bindings,
        made: &Sources,
    ) -> Result<Plan, Problems> {
        let originals = Sources::of_network(network);
        let mut plan = Expansion::new(self, made, bindings).back_to(&originals).in_any_dtype().plan(false)?;
        // The target has no place for what must be zero.
        let dtype = plan.targets.first().map_or(Dtype::F32, |target| target.dtype);
        for name in self.requires.iter().filter_map(Condition::zero_tensor) {
            let is_made = plan.targets.iter().any(|target| *target.name == *name);
            if let Some((_, tensor)) = originals.entry(name).filter(|_| !is_made) {
                let (shape, elements) = (tensor.shape.as_slice().into(), tensor.elements());
                let parts = smallvec![Part::Zeros { elements }];
                plan.targets.push(Target { name: name.into(), dtype, shape, parts, operation: "fill" });
            }
        }
        let problems = expected::compare(self, &plan.targets, network.parameters());
        if problems.is_empty() { Ok(plan) } else { Err(Problems { list: problems }) }
    }
}

/// Returns what was made of an operation's targets, if it has the dtypes of its sources.
pub(super) fn uncast(made: Vec<Made>, sources: &[&SourceTensor]) -> Result<Vec<Made>, Problem> {
    match made.iter().zip(sources).find(|(made, source)| made.dtype != source.dtype) {
        None => Ok(made),
        Some((made, source)) => Err(Problem::Unfit {
            name: source.name.to_string(),
            reason: format!(
                "it is cast from {} to {}, which cannot be undone bit for bit",
                source.dtype, made.dtype
            ),
        }),
    }
}
