//! `"source" = "target"`: the same bytes under another name.

use vitport_checkpoint::Dims;

use super::one_to_one::Change;
use super::{Context, Made};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(in crate::mapping) const TABLE: &str = "rename";

#[derive(Debug)]
pub(super) struct Rename;

impl Change for Rename {
    type Entry = String;

    fn parse(_: &str, target: String) -> Result<(String, Self), String> {
        Ok((target, Self))
    }

    fn make(&self, tensor: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        Ok(Made::same(tensor))
    }

    fn source_shape(&self, target: &SourceTensor, _: &Context<'_>) -> Result<Dims, Problem> {
        Ok(target.shape.clone())
    }

    fn restore(
        &self,
        target: &SourceTensor,
        _: &SourceTensor,
        context: &Context<'_>,
    ) -> Result<Made, Problem> {
        self.make(target, context)
    }
}
