//! `"source" = "target"`: the last two axes exchanged; no byte moves.

use std::sync::Arc;

use super::views::{as_made, view_of};
use super::{Context, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "transpose";

#[derive(Debug)]
pub(super) struct Transpose {
    source: Pattern,
    target: Pattern,
}

impl Operation for Transpose {
    type Entry = String;

    fn parse(source: &str, target: String) -> Result<Self, String> {
        Ok(Self { source: Pattern::parse(source)?, target: Pattern::parse(&target)? })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor] = context.exactly(sources)?;
        let mut view = Arc::unwrap_or_clone(view_of(tensor)?);
        let axes = view.shape.len();
        if axes < 2 || view.strides.len() != axes {
            let reason = format!("shape {:?} has no two axes to exchange", view.shape);
            return Err(unfit(&view.name, reason));
        }
        view.shape.swap(axes - 2, axes - 1);
        view.strides.swap(axes - 2, axes - 1);
        Ok(vec![as_made(tensor.dtype, view.shape.clone(), view, TABLE)])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        _: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        self.make(targets, context)
    }
}
