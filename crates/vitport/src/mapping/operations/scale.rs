//! `"source" = "target"`: every number times the factor of hidden states (`states_times`), in float64, rounded once.

use smallvec::smallvec;
use vitport_checkpoint::Dtype;

use super::one_to_one::Change;
use super::views::view_of;
use super::{Context, Made, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::Part;

pub(in crate::mapping) const TABLE: &str = "scale";

#[derive(Debug)]
pub(super) struct Scale;

impl Change for Scale {
    type Entry = String;

    fn parse(_: &str, target: String) -> Result<(String, Self), String> {
        Ok((target, Self))
    }

    /// Multiplies a float tensor. It is written in float32, or in float64 if it is that: rounded to fewer bits than its source has, the
    /// factors of a network would no longer make up for each other.
    fn make(&self, tensor: &SourceTensor, context: &Context<'_>) -> Result<Made, Problem> {
        let Some(factor) = context.bindings.states_times else {
            return Err(context.broken("no factor of hidden states is known of these facts".to_owned()));
        };
        if !tensor.dtype.is_float() {
            return Err(unfit(&tensor.name, "whole numbers cannot be scaled"));
        }
        if !matches!(context.filler, Dtype::F32 | Dtype::F64) {
            let reason = format!(
                "scaled weights would be rounded to {} once more than the source's; give --dtype f32",
                context.filler
            );
            return Err(unfit(&tensor.name, reason));
        }
        let dtype = if tensor.dtype == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
        let parts = smallvec![Part::Scaled { tensor: view_of(tensor)?, factor }];
        Ok(Made { dtype, shape: tensor.shape.clone(), parts, operation: TABLE })
    }

    fn restore(&self, target: &SourceTensor, _: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        Err(unfit(&target.name, "it is scaled, which cannot be undone bit for bit"))
    }
}
