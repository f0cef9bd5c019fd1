//! `"target" = { zeros = ["embed_dim"] }`, `{ ones = ["embed_dim"] }` or `{ identity = "embed_dim" }`: values that no source holds.

use serde::Deserialize;
use smallvec::smallvec;
use vitport_checkpoint::Dims;

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
    expecting = "a table of `zeros`, `ones` or `identity`"
)]
pub(super) enum Entry {
    Zeros(Vec<Dimension>),
    Ones(Vec<Dimension>),
    Identity(Dimension),
}

impl Operation for Fill {
    type Entry = Entry;

    fn parse(target: &str, values: Entry) -> Result<Self, String> {
        Ok(Self { target: Pattern::parse(target)?, values })
    }

    fn sources(&self) -> Vec<&Pattern> {
        Vec::new()
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, _: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let elements = |shape: &Dims| shape.iter().fold(1_u64, |product, &size| product.saturating_mul(size));
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
        };
        Ok(vec![Made { dtype: context.filler, shape, parts: smallvec![part], operation: TABLE }])
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
