//! `"source" = "target"`: the same bytes under another name.

use std::sync::Arc;

use vitport_checkpoint::Dims;

use super::one_to_one::{Change, OneToOne};
use super::{Context, Made, Operation};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(in crate::mapping) const TABLE: &str = "rename";

#[derive(Debug)]
pub(super) struct Rename;

/// Returns what renames a source.
///
/// # Errors
/// Returns what is wrong with a name, in words.
pub(in crate::mapping) fn renaming(source: &str, target: String) -> Result<Arc<dyn Operation>, String> {
    Ok(Arc::new(OneToOne::<Rename>::parse(source, target)?))
}

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
