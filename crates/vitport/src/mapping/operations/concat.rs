//! `"target" = ["a", "b"]`: tensors one after another along the first axis. With `{ of = ["a", "b"], axes = [[1, 2], 0] }` the
//! axes of each are put into order first.

use serde::Deserialize;
use vitport_checkpoint::Dims;

use super::permute::{Axes, AxesEntry};
use super::views::share_of;
use super::{Context, Dimension, Made, Operation, patterns, split, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "concat";

#[derive(Debug)]
pub(super) struct Concat {
    sources: Vec<Pattern>,
    target: Pattern,
    axes: Option<Axes>,
    /// Gives the shape of each source as far as joined axes need it.
    shape: Option<Vec<Dimension>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a concatenation is a list of names, or a table of `of` and `axes`")]
pub(super) enum Entry {
    Plain(Vec<String>),
    Permuted {
        of: Vec<String>,
        axes: AxesEntry,
        #[serde(default)]
        shape: Option<Vec<Dimension>>,
    },
}

impl Operation for Concat {
    type Entry = Entry;

    fn parse(target: &str, entry: Entry) -> Result<Self, String> {
        let (sources, axes, shape) = match entry {
            Entry::Plain(of) => (of, None, None),
            Entry::Permuted { of, axes, shape } => (of, Some(Axes::parse(target, axes)?), shape),
        };
        Ok(Self { sources: patterns(&sources)?, target: Pattern::parse(target)?, axes, shape })
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

    /// Takes the sources to be equal shares.
    fn source_shapes(&self, targets: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Dims>, Problem> {
        let [whole] = context.exactly(targets)?;
        let shares = self.sources.len() as u64;
        let mut share = whole.shape.clone();
        if let Some(rows) = share.first_mut() {
            *rows = rows.checked_div(shares).filter(|share| share * shares == *rows).ok_or_else(|| {
                unfit(&whole.name, format!("its rows are not those of {shares} equal shares"))
            })?;
        }
        let shape = match &self.axes {
            None => share,
            Some(axes) => axes.source_shape(&whole.name, &share, self.shape.as_deref(), context)?,
        };
        Ok(vec![shape; self.sources.len()])
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
