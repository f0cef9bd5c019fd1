//! `"target" = ["a", "b"]`: tensors one after another along the first axis. With `{ of = ["a", "b"], axes = [[1, 2], 0] }` the
//! axes of each are put into order first.

use serde::Deserialize;
use vitport_checkpoint::Dims;

use super::permute::{Axes, AxesEntry};
use super::views::share_of;
use super::{Context, Made, Operation, patterns, split, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "concat";

#[derive(Debug)]
pub(super) struct Concat {
    sources: Vec<Pattern>,
    target: Pattern,
    axes: Option<Axes>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a concatenation is a list of names, or a table of `of` and `axes`")]
pub(super) enum Entry {
    Plain(Vec<String>),
    Permuted { of: Vec<String>, axes: AxesEntry },
}

impl Operation for Concat {
    type Entry = Entry;

    fn parse(target: &str, entry: Entry) -> Result<Self, String> {
        let (sources, axes) = match entry {
            Entry::Plain(of) => (of, None),
            Entry::Permuted { of, axes } => (of, Some(Axes::parse(target, axes)?)),
        };
        Ok(Self { sources: patterns(&sources)?, target: Pattern::parse(target)?, axes })
    }

    fn sources(&self) -> Vec<&Pattern> {
        self.sources.iter().collect()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], _: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let Some(axes) = &self.axes else { return Ok(vec![stacked(sources)?]) };
        let put_in_order = |tensor: &&SourceTensor| {
            let Made { shape, parts, .. } = axes.permuted(tensor)?;
            Ok(SourceTensor { shape, parts, ..(*tensor).clone() })
        };
        let tensors = sources.iter().map(put_in_order).collect::<Result<Vec<_>, Problem>>()?;
        Ok(vec![stacked(&tensors.iter().collect::<Vec<_>>())?])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let [whole] = context.exactly(targets)?;
        let mut first = 0_u64;
        let mut shares = Vec::with_capacity(sources.len());
        for source in sources {
            let share = share_of(whole, first, &source.shape)?;
            first = first.saturating_add(share.elements());
            shares.push(match &self.axes {
                None => Made { operation: split::TABLE, ..Made::same(&share) },
                Some(axes) => axes.restored(&share, &source.shape)?,
            });
        }
        Ok(shares)
    }
}

/// Returns tensors put one after another along their first axis.
///
/// # Errors
/// Returns the first that cannot follow the others, which are of its dtype and have its other axes.
pub(super) fn stacked(tensors: &[&SourceTensor]) -> Result<Made, Problem> {
    let Some((first, others)) = tensors.split_first() else {
        return Err(unfit("", "there is nothing to concatenate"));
    };
    let Some((rows, columns)) = first.shape.split_first() else {
        return Err(unfit(&first.name, "a scalar has no rows to concatenate"));
    };
    let mut total = *rows;
    for tensor in others {
        match tensor.shape.split_first() {
            Some((rows, rest)) if rest == columns && tensor.dtype == first.dtype => {
                total = total.saturating_add(*rows);
            }
            _ => {
                let (shape, dtype) = (&tensor.shape, tensor.dtype);
                let reason = format!("{dtype} {shape:?} cannot follow {} {:?}", first.dtype, first.shape);
                return Err(unfit(&tensor.name, reason));
            }
        }
    }
    let mut shape = Dims::from_slice(&[total]);
    shape.extend_from_slice(columns);
    let parts = tensors.iter().flat_map(|tensor| tensor.parts.iter().cloned()).collect();
    Ok(Made { dtype: first.dtype, shape, parts, operation: TABLE })
}
