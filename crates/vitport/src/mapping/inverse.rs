//! The way back: the plan that makes a mapping's source again of what the mapping made. It is a plan like any other, made of
//! the same rules: each operation says how it is inverted.
//!
//! A mapping that can be inverted has lost nothing. The lint test of every mapping converts a fixture there and back and
//! compares bits.

use super::bindings::Bindings;
use super::expand::Expansion;
use super::language::Mapping;
use super::operations::Made;
use super::problems::{Problem, Problems};
use super::sources::{SourceTensor, Sources};
use crate::plan::Plan;

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
