//! `"source" = { to = "target", shape = ["embed_dim", 3, 16, 16] }`: the same bytes under another shape.

use serde::Deserialize;

use super::{Context, Dimension, Made, Operation};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "reshape";

#[derive(Debug)]
pub(super) struct Reshape {
    source: Pattern,
    target: Pattern,
    shape: Vec<Dimension>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `shape`")]
pub(super) struct Entry {
    to: String,
    shape: Vec<Dimension>,
}

impl Operation for Reshape {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, shape }: Entry) -> Result<Self, String> {
        Ok(Self { source: Pattern::parse(source)?, target: Pattern::parse(&to)?, shape })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor] = context.exactly(sources)?;
        let shape = context.shape(&self.shape)?;
        Ok(vec![Made { shape, operation: TABLE, ..Made::same(tensor) }])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let ([target], [source]) = (context.exactly(targets)?, context.exactly(sources)?);
        Ok(vec![Made { shape: source.shape.clone(), operation: TABLE, ..Made::same(target) }])
    }
}
