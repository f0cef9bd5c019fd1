//! What `fold` and `shift` share: each number of a tensor is computed with a number of a vector, in float64, and rounded once.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use smallvec::smallvec;
use vitport_checkpoint::{Dims, Tensor};

use super::views::view_of;
use super::{Context, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;
use crate::plan::{Part, Parts};

/// Describes one way to compute a tensor and a vector together.
pub(super) trait Combination: Debug + Send + Sync + 'static {
    /// Names its table.
    const TABLE: &'static str;
    /// Says what the vector holds for each part of the tensor: `one factor a row`.
    const HOLDS: &'static str;
    /// Says what comes out: `a product`.
    const RESULT: &'static str;
    /// Holds what stands in an entry of its table next to the tensor's name: the target's name and the vector's.
    type Entry: DeserializeOwned + Into<[String; 2]>;

    /// Returns how many numbers the vector must have.
    fn length(shape: &[u64]) -> Option<u64>;

    /// Returns the part of a vector that changes nothing; none if none is made up on the way back.
    fn neutral(_elements: u64) -> Option<Part> {
        None
    }

    /// Returns the part that both make.
    fn part(tensor: Arc<Tensor>, vector: Arc<Tensor>) -> Part;
}

/// Computes a tensor and a vector together.
#[derive(Debug)]
pub(super) struct Combine<C> {
    source: Pattern,
    target: Pattern,
    vector: Pattern,
    how: PhantomData<C>,
}

impl<C: Combination> Operation for Combine<C> {
    type Entry = C::Entry;

    fn parse(source: &str, entry: Self::Entry) -> Result<Self, String> {
        let [target, vector] = entry.into();
        let (source, target) = (Pattern::parse(source)?, Pattern::parse(&target)?);
        Ok(Self { source, target, vector: Pattern::parse(&vector)?, how: PhantomData })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source, &self.vector]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [tensor, vector] = context.exactly(sources)?;
        let length = C::length(&tensor.shape);
        let fits = vector.shape.len() == 1 && length.is_some() && vector.shape.first().copied() == length;
        if !fits || !tensor.dtype.is_float() || !vector.dtype.is_float() {
            let reason = format!(
                "{} {:?} does not hold {} of {} ({} {:?})",
                vector.dtype,
                vector.shape,
                C::HOLDS,
                tensor.name,
                tensor.dtype,
                tensor.shape
            );
            return Err(unfit(&vector.name, reason));
        }
        let part = C::part(view_of(tensor)?, view_of(vector)?);
        Ok(vec![Made {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            parts: smallvec![part],
            operation: C::TABLE,
        }])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let [target] = context.exactly(targets)?;
        let [_, vector] = context.exactly(sources)?;
        let neutral = C::neutral(vector.elements()).filter(|_| context.fills_lost);
        if let Some(neutral) = neutral {
            let made = |shape: &Dims, parts: Parts| Made {
                dtype: target.dtype,
                shape: shape.clone(),
                parts,
                operation: C::TABLE,
            };
            return Ok(vec![
                made(&target.shape, target.parts.clone()),
                made(&vector.shape, smallvec![neutral]),
            ]);
        }
        let reason = format!("it is {} of two tensors, which cannot be undone bit for bit", C::RESULT);
        Err(unfit(&target.name, reason))
    }
}
