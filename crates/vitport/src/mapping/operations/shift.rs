//! `"source" = { to = "target", columns_plus = "addends" }`: addend c is added to column c, the last axis, in float64, rounded once.

use serde::Deserialize;
use smallvec::smallvec;

use super::views::view_of;
use super::{Context, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::Part;

pub(super) const TABLE: &str = "shift";

#[derive(Debug)]
pub(super) struct Shift {
    source: Pattern,
    target: Pattern,
    addends: Pattern,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `columns_plus`")]
pub(super) struct Entry {
    to: String,
    columns_plus: String,
}

impl Operation for Shift {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, columns_plus }: Entry) -> Result<Self, String> {
        let (source, target) = (Pattern::parse(source)?, Pattern::parse(&to)?);
        Ok(Self { source, target, addends: Pattern::parse(&columns_plus)? })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source, &self.addends]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor, addends] = context.exactly(sources)?;
        let columns = tensor.shape.last().copied();
        let fits = columns.is_some() && addends.shape.len() == 1 && addends.shape.last().copied() == columns;
        if !fits || !tensor.dtype.is_float() || !addends.dtype.is_float() {
            let reason = format!(
                "{} {:?} does not hold one addend a column of {} ({} {:?})",
                addends.dtype, addends.shape, tensor.name, tensor.dtype, tensor.shape
            );
            return Err(unfit(&addends.name, reason));
        }
        let part = Part::ShiftedColumns { tensor: view_of(tensor)?, addends: view_of(addends)? };
        Ok(vec![Made {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            parts: smallvec![part],
            operation: TABLE,
        }])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        _: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let [target] = context.exactly(targets)?;
        Err(unfit(&target.name, "it is a sum of two tensors, which cannot be undone bit for bit"))
    }
}
