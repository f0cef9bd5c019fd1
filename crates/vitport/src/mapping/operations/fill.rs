//! `"target" = { zeros = ["embed_dim"] }`, `{ ones = ["embed_dim"] }`, `{ identity = "embed_dim" }`, `{ count = 0 }` or
//! `{ zero_counts = [1] }`, `{ window_distances = "window_size" }` or `{ number = 100, axes = ["rows", 1], rows_of = "source" }`:
//! values that no source holds.

use std::sync::Arc;

use serde::Deserialize;
use smallvec::smallvec;
use vitport_checkpoint::{Dims, Dtype};

use super::{Context, Dimension, Made, Operation};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::Part;

pub(super) const TABLE: &str = "fill";

#[derive(Debug)]
pub(super) struct Fill {
    target: Pattern,
    values: Entry,
    /// Gives the tensor that has as many rows.
    rows_of: Option<Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "snake_case",
    expecting = "a table of `zeros`, `ones`, `identity`, `count`, `zero_counts`, `window_distances`, `flat_window_distances` or `alike`"
)]
pub(super) enum Entry {
    Zeros(Vec<Dimension>),
    Ones(Vec<Dimension>),
    Identity(Dimension),
    /// Stands for a whole number without axes, int64. Only 0 can be written.
    Count(u64),
    /// Stands for whole numbers, int64, all 0.
    ZeroCounts(Vec<Dimension>),
    /// Stands for one number in a shape that depends on a tensor of the source.
    Alike(Alike),
    /// Stands, for each two places of a window with so many along an edge, for the number of their distance, int64.
    WindowDistances(Dimension),
    /// Stands for the same along one axis.
    FlatWindowDistances(Dimension),
}

/// Holds `{ number = 100, axes = ["rows", 1, 1, 1], rows_of = "source" }`: `"rows"` stands for the rows of that tensor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Alike {
    number: u8,
    axes: Vec<Dimension>,
    rows_of: String,
}

/// Returns what fills a count of 0 in.
///
/// # Errors
/// Returns what is wrong with the name, in words.
pub(in crate::mapping) fn no_count(target: &str) -> Result<Arc<dyn Operation>, String> {
    Ok(Arc::new(Fill::parse(target, Entry::Count(0))?))
}

impl Operation for Fill {
    type Entry = Entry;

    fn parse(target: &str, values: Entry) -> Result<Self, String> {
        match values {
            Entry::Count(count) if count > 0 => {
                Err(format!("`{target}` has a count of {count}; only 0 can be filled in"))
            }
            values => {
                let rows_of = match &values {
                    Entry::Alike(Alike { rows_of, .. }) => Some(Pattern::parse(rows_of)?),
                    _ => None,
                };
                Ok(Self { target: Pattern::parse(target)?, values, rows_of })
            }
        }
    }

    fn sources(&self) -> Vec<&Pattern> {
        self.rows_of.iter().collect()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        Ok(vec![self.values.made(sources, context)?])
    }

    fn invert(
        &self,
        _: &[&SourceTensor],
        _: &[&SourceTensor],
        _: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        Ok(Vec::new())
    }
}

impl Entry {
    /// Returns a tensor of these values.
    ///
    /// # Errors
    /// Returns which size the facts do not say.
    pub(super) fn made(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Made, Problem> {
        let elements = |shape: &Dims| shape.iter().fold(1_u64, |product, &size| product.saturating_mul(size));
        let mut dtype = context.filler;
        let (shape, part) = match self {
            Entry::Zeros(shape) => {
                let shape = context.shape(shape)?;
                let elements = elements(&shape);
                (shape, Part::Zeros { elements })
            }
            Entry::Ones(shape) => {
                let shape = context.shape(shape)?;
                let elements = elements(&shape);
                (shape, Part::Repeated { number: 1, elements })
            }
            Entry::Identity(size) => {
                let size = context.size(size)?;
                (Dims::from_slice(&[size, size]), Part::Identity { size })
            }
            Entry::ZeroCounts(shape) => {
                dtype = Dtype::I64;
                let shape = context.shape(shape)?;
                let elements = elements(&shape);
                (shape, Part::Zeros { elements })
            }
            Entry::Alike(Alike { number, axes, .. }) => {
                let rows = sources.first().and_then(|source| source.shape.first()).copied().unwrap_or(0);
                let size = |axis: &Dimension| match axis {
                    Dimension::Count(name) if name == "rows" => Ok(rows),
                    axis => context.size(axis),
                };
                let shape = axes.iter().map(size).collect::<Result<Dims, _>>()?;
                let elements = elements(&shape);
                (shape, Part::Repeated { number: *number, elements })
            }
            Entry::Count(_) => {
                dtype = Dtype::I64;
                (Dims::new(), Part::Zeros { elements: 1 })
            }
            Entry::WindowDistances(side) => {
                dtype = Dtype::I64;
                let side = context.size(side)?;
                let area = side.saturating_mul(side);
                (Dims::from_slice(&[area, area]), Part::WindowDistances { side })
            }
            Entry::FlatWindowDistances(side) => {
                dtype = Dtype::I64;
                let side = context.size(side)?;
                (Dims::from_slice(&[side.saturating_pow(4)]), Part::WindowDistances { side })
            }
        };
        Ok(Made { dtype, shape, parts: smallvec![part], operation: TABLE })
    }
}
