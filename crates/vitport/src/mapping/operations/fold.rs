//! `"source" = { to = "target", rows_times = "factors" }`: row r times factor r, in float64, rounded once.

use serde::Deserialize;
use smallvec::smallvec;

use super::views::view_of;
use super::{Context, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::Part;

pub(super) const TABLE: &str = "fold";

#[derive(Debug)]
pub(super) struct Fold {
    source: Pattern,
    target: Pattern,
    factors: Pattern,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `rows_times`")]
pub(super) struct Entry {
    to: String,
    rows_times: String,
}

impl Operation for Fold {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, rows_times }: Entry) -> Result<Self, String> {
        let (source, target) = (Pattern::parse(source)?, Pattern::parse(&to)?);
        Ok(Self { source, target, factors: Pattern::parse(&rows_times)? })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source, &self.factors]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor, factors] = context.exactly(sources)?;
        let rows = tensor.shape.first().copied();
        let fits = rows.is_some() && factors.shape.len() == 1 && factors.shape.first().copied() == rows;
        if !fits || !tensor.dtype.is_float() || !factors.dtype.is_float() {
            let reason = format!(
                "{} {:?} does not hold one factor a row of {} ({} {:?})",
                factors.dtype, factors.shape, tensor.name, tensor.dtype, tensor.shape
            );
            return Err(unfit(&factors.name, reason));
        }
        let part = Part::ScaledRows { tensor: view_of(tensor)?, factors: view_of(factors)? };
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
        Err(unfit(&target.name, "it is a product of two tensors, which cannot be undone bit for bit"))
    }
}
