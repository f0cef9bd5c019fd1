//! `"source" = "target"`: the same bytes under another name.

use super::{Context, Made, Operation};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(in crate::mapping) const TABLE: &str = "rename";

#[derive(Debug)]
pub(super) struct Rename {
    source: Pattern,
    target: Pattern,
}

impl Operation for Rename {
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
        Ok(vec![Made::same(tensor)])
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
