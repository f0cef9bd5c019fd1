//! `"source" = "target"`: the last two axes exchanged; no byte moves.

use std::sync::Arc;

use vitport_checkpoint::Dims;

use super::one_to_one::Change;
use super::views::{as_made, view_of};
use super::{Context, Made, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "transpose";

#[derive(Debug)]
pub(super) struct Transpose;

impl Change for Transpose {
    type Entry = String;

    fn parse(_: &str, target: String) -> Result<(String, Self), String> {
        Ok((target, Self))
    }

    fn make(&self, tensor: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        let mut view = Arc::unwrap_or_clone(view_of(tensor)?);
        let axes = view.shape.len();
        if axes < 2 || view.strides.len() != axes {
            let reason = format!("shape {:?} has no two axes to exchange", view.shape);
            return Err(unfit(&view.name, reason));
        }
        view.shape.swap(axes - 2, axes - 1);
        view.strides.swap(axes - 2, axes - 1);
        Ok(as_made(tensor.dtype, view.shape.clone(), view, TABLE))
    }

    fn source_shape(&self, target: &SourceTensor, context: &Context<'_>) -> Result<Dims, Problem> {
        Ok(self.make(target, context)?.shape)
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
