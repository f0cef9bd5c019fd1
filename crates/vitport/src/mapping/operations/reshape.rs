//! `"source" = { to = "target", shape = ["embed_dim", 3, 16, 16] }`: the same bytes under another shape.

use serde::Deserialize;

use super::one_to_one::Change;
use super::{Context, Dimension, Made};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "reshape";

#[derive(Debug)]
pub(super) struct Reshape(Vec<Dimension>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `shape`")]
pub(super) struct Entry {
    to: String,
    shape: Vec<Dimension>,
}

impl Change for Reshape {
    type Entry = Entry;

    fn parse(_: &str, Entry { to, shape }: Entry) -> Result<(String, Self), String> {
        Ok((to, Self(shape)))
    }

    fn make(&self, tensor: &SourceTensor, context: &Context<'_>) -> Result<Made, Problem> {
        let shape = context.shape(&self.0)?;
        Ok(Made { shape, operation: TABLE, ..Made::same(tensor) })
    }

    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        _: &Context<'_>,
    ) -> Result<Made, Problem> {
        Ok(Made { shape: source.shape.clone(), operation: TABLE, ..Made::same(target) })
    }
}
