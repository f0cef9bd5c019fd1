//! `"source" = ["a", "b", "c"]`: equal shares of the first axis.

use super::concat::stacked;
use super::{Context, Made, Operation, concat, patterns, permute, rename, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

pub(super) const TABLE: &str = "split";

#[derive(Debug)]
pub(super) struct Split {
    source: Pattern,
    targets: Vec<Pattern>,
}

impl Operation for Split {
    type Entry = Vec<String>;

    fn parse(source: &str, targets: Vec<String>) -> Result<Self, String> {
        Ok(Self { source: Pattern::parse(source)?, targets: patterns(&targets)? })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        self.targets.iter().collect()
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor] = context.exactly(sources)?;
        let shares = self.targets.len() as u64;
        let rows = tensor.shape.first().copied().unwrap_or(0);
        let Some(share) = rows.checked_div(shares).filter(|share| share * shares == rows && rows > 0) else {
            let reason =
                format!("shape {:?} cannot be split into {shares} equal shares of rows", tensor.shape);
            return Err(unfit(&tensor.name, reason));
        };
        let mut shape = tensor.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = share;
        }
        let elements = tensor.elements() / shares;
        let cut = |index: u64| {
            let parts = tensor
                .cut(index * elements, elements)
                .ok_or_else(|| unfit(&tensor.name, "it is made of factors, which cannot be split"))?;
            let operation = undone_concat(tensor, &parts, &shape).unwrap_or(TABLE);
            Ok(Made { dtype: tensor.dtype, shape: shape.clone(), parts, operation })
        };
        (0..shares).map(cut).collect()
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        _: &[&SourceTensor],
        _: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        Ok(vec![stacked(targets)?])
    }
}

/// Returns what was done to a tensor of the file that a layout put next to others and a split took out again whole; none for
/// another share.
fn undone_concat(tensor: &SourceTensor, share: &Parts, shape: &[u64]) -> Option<&'static str> {
    match share.as_slice() {
        [Part::Slice { tensor: view, first: 0, elements }]
            if tensor.operation == concat::TABLE && *elements == view.elements() =>
        {
            let is_as_it_lies = view.is_contiguous() && *view.shape == *shape;
            Some(if is_as_it_lies { rename::TABLE } else { permute::TABLE })
        }
        _ => None,
    }
}
