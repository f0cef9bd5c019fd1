//! `"source" = { to = "target", axis = 1, multiple_of = "embed_dim" }`: zeros after an axis until its length is a multiple; with
//! `before = "embed_dim"` so many zeros before it.

use serde::Deserialize;

use super::one_to_one::Change;
use super::views::share_of;
use super::{Context, Dimension, Made, rename, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

pub(super) const TABLE: &str = "widen";

#[derive(Debug)]
pub(super) struct Widen {
    axis: usize,
    zeros: Zeros,
}

#[derive(Debug)]
enum Zeros {
    Before(Dimension),
    UpToMultiple(Dimension),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to`, `axis`, and `multiple_of` or `before`")]
pub(super) struct Entry {
    to: String,
    axis: usize,
    multiple_of: Option<Dimension>,
    before: Option<Dimension>,
}

/// Describes how a tensor is widened: it is `blocks` runs of `kept` elements, and each gets zeros before and after.
struct Runs {
    blocks: u64,
    before: u64,
    kept: u64,
    after: u64,
}

impl Widen {
    /// Returns the runs, and the new length of the axis.
    fn runs(&self, tensor: &SourceTensor, context: &Context<'_>) -> Result<(Runs, u64), Problem> {
        let misfit = || unfit(&tensor.name, format!("shape {:?} cannot be widened", tensor.shape));
        let length = *tensor.shape.get(self.axis).ok_or_else(misfit)?;
        let (before, after) = match &self.zeros {
            Zeros::Before(count) => (context.size(count)?, 0),
            Zeros::UpToMultiple(factor) => {
                let factor = context.size(factor)?;
                (0, length.checked_next_multiple_of(factor).ok_or_else(misfit)?.saturating_sub(length))
            }
        };
        let widened = length.checked_add(before).and_then(|sum| sum.checked_add(after)).ok_or_else(misfit)?;
        let inner = tensor.shape.iter().skip(self.axis.saturating_add(1));
        let row = inner.fold(1_u64, |product, &size| product.saturating_mul(size));
        let kept = row.saturating_mul(length);
        let runs = Runs {
            blocks: tensor.elements().checked_div(kept).ok_or_else(misfit)?,
            before: row.saturating_mul(before),
            kept,
            after: row.saturating_mul(after),
        };
        Ok((runs, widened))
    }
}

impl Change for Widen {
    type Entry = Entry;

    fn parse(source: &str, Entry { to, axis, multiple_of, before }: Entry) -> Result<(String, Self), String> {
        let zeros = match (multiple_of, before) {
            (Some(factor), None) => Zeros::UpToMultiple(factor),
            (None, Some(count)) => Zeros::Before(count),
            _ => return Err(format!("{source} needs `multiple_of` or `before`, and not both")),
        };
        Ok((to, Self { axis, zeros }))
    }

    fn make(&self, tensor: &SourceTensor, context: &Context<'_>) -> Result<Made, Problem> {
        let (Runs { blocks, before, kept, after }, widened) = self.runs(tensor, context)?;
        if before == 0 && after == 0 {
            return Ok(Made { operation: rename::TABLE, ..Made::same(tensor) });
        }
        let mut shape = tensor.shape.clone();
        if let Some(length) = shape.get_mut(self.axis) {
            *length = widened;
        }
        let zeros = |elements| (elements > 0).then_some(Part::Zeros { elements });
        let mut parts = Parts::new();
        for block in 0..blocks {
            let run = tensor
                .cut(block.saturating_mul(kept), kept)
                .ok_or_else(|| unfit(&tensor.name, "it is made of factors, which cannot be widened"))?;
            parts.extend(zeros(before));
            parts.extend(run);
            parts.extend(zeros(after));
        }
        Ok(Made { dtype: tensor.dtype, shape, parts, operation: TABLE })
    }

    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        context: &Context<'_>,
    ) -> Result<Made, Problem> {
        let (Runs { blocks, before, kept, after }, _) = self.runs(source, context)?;
        if before == 0 && after == 0 {
            return Ok(Made { operation: rename::TABLE, ..Made::same(target) });
        }
        let mut run = source.shape.clone();
        run.iter_mut().take(self.axis).for_each(|size| *size = 1);
        let step = before.saturating_add(kept).saturating_add(after);
        let mut parts = Parts::new();
        for block in 0..blocks {
            let first = block.saturating_mul(step).saturating_add(before);
            parts.extend(share_of(target, first, &run)?.parts);
        }
        Ok(Made { dtype: target.dtype, shape: source.shape.clone(), parts, operation: TABLE })
    }
}
