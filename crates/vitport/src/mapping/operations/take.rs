//! `"target" = { of = "source", rows = [[0, 1], ["reg_tokens"]] }`: rows of the source, a row being the last axis, from the first
//! number of each pair up to the second, or to the end. With `plus = "other"` the same rows of another tensor are added, in float64,
//! rounded once.

use std::sync::Arc;

use serde::Deserialize;
use smallvec::smallvec;
use vitport_checkpoint::{Dims, Tensor};

use super::views::{share_of, view_of};
use super::{Context, Dimension, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

pub(super) const TABLE: &str = "take";

#[derive(Debug)]
pub(super) struct Take {
    source: Pattern,
    target: Pattern,
    plus: Option<Pattern>,
    rows: Vec<Rows>,
}

/// The first row, and the one behind the last.
type Rows = (Dimension, Option<Dimension>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `of`, `rows` and perhaps `plus`")]
pub(super) struct Entry {
    of: String,
    rows: Vec<Vec<Dimension>>,
    plus: Option<String>,
}

impl Take {
    /// Returns the first row and the number of rows of each share of a tensor.
    fn shares(&self, tensor: &SourceTensor, context: &Context<'_>) -> Result<Vec<(u64, u64)>, Problem> {
        let [leading @ .., length, _] = tensor.shape.as_slice() else {
            return Err(unfit(&tensor.name, format!("shape {:?} has no rows", tensor.shape)));
        };
        let mut shares = Vec::new();
        for (first, end) in &self.rows {
            let first = context.size(first)?;
            let end = end.as_ref().map_or(Ok(*length), |end| context.size(end))?;
            let count = end.checked_sub(first).filter(|count| *count > 0 && end <= *length);
            let Some(count) = count.filter(|_| leading.iter().all(|&size| size == 1)) else {
                let reason = format!("shape {:?} has no rows {first} to {end}", tensor.shape);
                return Err(unfit(&tensor.name, reason));
            };
            shares.push((first, count));
        }
        Ok(shares)
    }
}

impl Operation for Take {
    type Entry = Entry;

    fn parse(target: &str, Entry { of, rows, plus }: Entry) -> Result<Self, String> {
        let pair = |pair: Vec<Dimension>| {
            let mut pair = pair.into_iter();
            match (pair.next(), pair.next(), pair.next()) {
                (Some(first), end, None) => Ok((first, end)),
                _ => Err(format!("`rows` of {target} are lists of a first row and the one behind the last")),
            }
        };
        let rows = rows.into_iter().map(pair).collect::<Result<Vec<_>, String>>()?;
        if rows.is_empty() || plus.is_some() && rows.len() > 1 {
            return Err(format!("{target} takes no rows, or several runs of a sum"));
        }
        let plus = plus.map(|plus| Pattern::parse(&plus)).transpose()?;
        Ok(Self { source: Pattern::parse(&of)?, target: Pattern::parse(target)?, plus, rows })
    }

    fn sources(&self) -> Vec<&Pattern> {
        std::iter::once(&self.source).chain(&self.plus).collect()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let Some((tensor, plus)) = sources.split_first() else { return Ok(Vec::new()) };
        let shares = self.shares(tensor, context)?;
        let width = tensor.shape.last().copied().unwrap_or(0);
        let mut shape = tensor.shape.clone();
        if let [.., length, _] = shape.as_mut_slice() {
            *length = shares.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        }
        let mut parts = Parts::new();
        for (first, count) in shares {
            let elements = Dims::from_slice(&[count.saturating_mul(width)]);
            let run = |tensor: &SourceTensor| share_of(tensor, first.saturating_mul(width), &elements);
            match plus {
                [] => parts.extend(run(tensor)?.parts),
                [plus, ..] => {
                    let flat =
                        |tensor: &SourceTensor| -> Result<Arc<Tensor>, Problem> { view_of(&run(tensor)?) };
                    self.shares(plus, context)?;
                    let is_float = tensor.dtype.is_float() && plus.dtype.is_float();
                    if plus.shape.last() != Some(&width) || !is_float {
                        let reason = format!("{} {:?} cannot be added to it", plus.dtype, plus.shape);
                        return Err(unfit(&tensor.name, reason));
                    }
                    parts = smallvec![Part::ShiftedColumns { tensor: flat(tensor)?, addends: flat(plus)? }];
                }
            }
        }
        Ok(vec![Made { dtype: tensor.dtype, shape, parts, operation: TABLE }])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        _: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let [target] = context.exactly(targets)?;
        Err(unfit(&target.name, "it holds only some rows of a tensor, which cannot be made whole again"))
    }
}
