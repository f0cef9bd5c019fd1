//! `"source" = { to = "target", rows = 1 }`: rows of zeros put before the source's. A row is the last axis.

use serde::Deserialize;
use smallvec::smallvec;

use super::one_to_one::Change;
use super::views::share_of;
use super::{Context, Made, split, unfit};
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

pub(super) const TABLE: &str = "pad";

#[derive(Debug)]
pub(super) struct Pad {
    rows: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `rows`")]
pub(super) struct Entry {
    to: String,
    rows: u64,
}

impl Change for Pad {
    type Entry = Entry;

    fn parse(_: &str, Entry { to, rows }: Entry) -> Result<(String, Self), String> {
        Ok((to, Self { rows }))
    }

    /// Adds the rows to the last but one axis. The axes before it must be 1 long, or the zeros would not all lie before the
    /// source.
    fn make(&self, tensor: &SourceTensor, _: &Context<'_>) -> Result<Made, Problem> {
        let misfit = || {
            let reason = format!("shape {:?} has no single run of rows that could be padded", tensor.shape);
            unfit(&tensor.name, reason)
        };
        let mut shape = tensor.shape.clone();
        let [leading @ .., length, width] = shape.as_mut_slice() else { return Err(misfit()) };
        if leading.iter().any(|&size| size != 1) {
            return Err(misfit());
        }
        *length = length.checked_add(self.rows).ok_or_else(misfit)?;
        let zeros = width.checked_mul(self.rows).ok_or_else(misfit)?;
        let mut parts: Parts = smallvec![Part::Zeros { elements: zeros }];
        parts.extend(tensor.parts.iter().cloned());
        Ok(Made { dtype: tensor.dtype, shape, parts, operation: TABLE })
    }

    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        _: &Context<'_>,
    ) -> Result<Made, Problem> {
        let zeros = target.elements().saturating_sub(source.elements());
        let rows = share_of(target, zeros, &source.shape)?;
        Ok(Made { operation: split::TABLE, ..Made::same(&rows) })
    }
}
