//! `"source" = ["a", { drop = "reason" }, "c"]`: equal shares of the first axis, of which some may be left out.

use serde::Deserialize;
use vitport_checkpoint::Dims;

use super::concat::stacked;
use super::{Context, LeftOut, Made, Operation, concat, permute, rename, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

pub(super) const TABLE: &str = "split";

#[derive(Debug)]
pub(super) struct Split {
    source: Pattern,
    shares: Vec<Share>,
}

#[derive(Debug)]
enum Share {
    Target(Pattern),
    /// Has no place in the target, for this reason.
    Dropped(String),
}

impl Share {
    /// Returns the name under which it is kept.
    fn target(&self) -> Option<&Pattern> {
        match self {
            Self::Target(target) => Some(target),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a share is a name, or a table of `drop`")]
pub(super) enum Entry {
    Name(String),
    Dropped { drop: String },
}

impl Split {
    /// Returns the elements of the share of this number.
    fn cut(&self, tensor: &SourceTensor, number: u64) -> Result<Parts, Problem> {
        let elements = tensor.elements().checked_div(self.shares.len() as u64).unwrap_or(0);
        tensor
            .cut(number.saturating_mul(elements), elements)
            .ok_or_else(|| unfit(&tensor.name, "it is made of factors, which cannot be split"))
    }
}

impl Split {
    /// Returns the shares one after another, with zeros for those that were left out.
    fn with_zeros(&self, targets: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let kept = self.shares.iter().filter(|share| matches!(share, Share::Target(_))).count();
        let Some(first) = targets.first().filter(|_| targets.len() == kept) else {
            let [target] = context.exactly(targets)?;
            return Err(unfit(&target.name, "it has another number of shares"));
        };
        let (mut parts, mut left) = (Parts::new(), targets.iter());
        for share in &self.shares {
            match share {
                Share::Target(_) => {
                    parts.extend(left.next().into_iter().flat_map(|target| target.parts.clone()))
                }
                Share::Dropped(_) => parts.push(Part::Zeros { elements: first.elements() }),
            }
        }
        let made = |shape| Made { dtype: first.dtype, shape, parts: parts.clone(), operation: TABLE };
        Ok(self.source_shapes(targets, context)?.into_iter().map(made).collect())
    }
}

impl Operation for Split {
    type Entry = Vec<Entry>;

    fn parse(source: &str, shares: Vec<Entry>) -> Result<Self, String> {
        let share = |entry| match entry {
            Entry::Name(name) => Pattern::parse(&name).map(Share::Target),
            Entry::Dropped { drop } => Ok(Share::Dropped(drop)),
        };
        let shares = shares.into_iter().map(share).collect::<Result<Vec<_>, String>>()?;
        if !shares.iter().any(|share| matches!(share, Share::Target(_))) {
            return Err(format!("no share of {source} has a name"));
        }
        Ok(Self { source: Pattern::parse(source)?, shares })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        self.shares.iter().filter_map(Share::target).collect()
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor] = context.exactly(sources)?;
        let shares = self.shares.len() as u64;
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
        let kept = (0..).zip(&self.shares).filter(|(_, share)| matches!(share, Share::Target(_)));
        let made = |(number, _)| {
            let parts = self.cut(tensor, number)?;
            let operation = undone_concat(tensor, &parts, &shape).unwrap_or(TABLE);
            Ok(Made { dtype: tensor.dtype, shape: shape.clone(), parts, operation })
        };
        kept.map(made).collect()
    }

    fn left_out(
        &self,
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<LeftOut<'_>>, Problem> {
        let [tensor] = context.exactly(sources)?;
        let mut left_out = Vec::new();
        for (number, share) in (0..).zip(&self.shares) {
            if let Share::Dropped(reason) = share {
                let tensor = SourceTensor { parts: self.cut(tensor, number)?, ..tensor.clone() };
                left_out.push((tensor, reason.as_str()));
            }
        }
        Ok(left_out)
    }

    fn source_shapes(&self, targets: &[&SourceTensor], _: &Context<'_>) -> Result<Vec<Dims>, Problem> {
        let mut shape = targets.first().map(|target| target.shape.clone()).unwrap_or_default();
        if let Some(rows) = shape.first_mut() {
            *rows = rows.saturating_mul(self.shares.len() as u64);
        }
        Ok(vec![shape])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        if targets.len() < self.shares.len() && context.fills_lost {
            return self.with_zeros(targets, context);
        }
        if targets.len() < self.shares.len() {
            let [source] = context.exactly(sources)?;
            return Err(unfit(&source.name, "a share of it was left out, which cannot be recovered"));
        }
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
