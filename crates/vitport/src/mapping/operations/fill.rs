//! `"target" = { zeros = ["embed_dim"] }`, `{ ones = ["embed_dim"] }`, `{ identity = "embed_dim" }` or `{ count = 0 }`: values that
//! no source holds.

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
}

#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "lowercase",
    expecting = "a table of `zeros`, `ones`, `identity` or `count`"
)]
pub(super) enum Entry {
    Zeros(Vec<Dimension>),
    Ones(Vec<Dimension>),
    Identity(Dimension),
    /// A whole number without axes, int64. Only 0 can be written.
    Count(u64),
}

impl Operation for Fill {
    type Entry = Entry;

    fn parse(target: &str, values: Entry) -> Result<Self, String> {
        match values {
            Entry::Count(count) if count > 0 => {
                Err(format!("`{target}` has a count of {count}; only 0 can be filled in"))
            }
            values => Ok(Self { target: Pattern::parse(target)?, values }),
        }
    }

    fn sources(&self) -> Vec<&Pattern> {
        Vec::new()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, _: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let elements = |shape: &Dims| shape.iter().fold(1_u64, |product, &size| product.saturating_mul(size));
        let mut dtype = context.filler;
        let (shape, part) = match &self.values {
            Entry::Zeros(shape) => {
                let shape = context.shape(shape)?;
                let elements = elements(&shape);
                (shape, Part::Zeros { elements })
            }
            Entry::Ones(shape) => {
                let shape = context.shape(shape)?;
                let elements = elements(&shape);
                (shape, Part::Ones { elements })
            }
            Entry::Identity(size) => {
                let size = context.size(size)?;
                (Dims::from_slice(&[size, size]), Part::Identity { size })
            }
            Entry::Count(_) => {
                dtype = Dtype::I64;
                (Dims::new(), Part::Zeros { elements: 1 })
            }
        };
        Ok(vec![Made { dtype, shape, parts: smallvec![part], operation: TABLE }])
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
