//! What the operations share that make one tensor of another: both names, and the tensors that these stand for.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use vitport_checkpoint::Dims;

use super::{Context, Made, Operation, unfit};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

/// Describes what becomes of a tensor.
pub(super) trait Change: Debug + Send + Sync + Sized + 'static {
    /// Holds what stands in an entry of its table next to the source's name.
    type Entry: DeserializeOwned;

    /// Reads the target's name and the change from the entry of `source`.
    ///
    /// # Errors
    /// Returns what is wrong with the entry, in words.
    fn parse(source: &str, entry: Self::Entry) -> Result<(String, Self), String>;

    /// Returns what it makes of the source.
    ///
    /// # Errors
    /// Returns why the source does not allow it.
    fn make(&self, source: &SourceTensor, context: &Context<'_>) -> Result<Made, Problem>;

    /// Returns the shape of the source, given what it made.
    ///
    /// # Errors
    /// Returns why the target does not show it.
    fn source_shape(&self, target: &SourceTensor, context: &Context<'_>) -> Result<Dims, Problem> {
        let rule = context.rule.describe();
        Err(unfit(&target.name, format!("{rule} does not show of which shape it was made")))
    }

    /// Returns what makes the source again, given what it made. Of the source only the shape is used.
    ///
    /// # Errors
    /// Returns why the target does not allow it.
    fn restore(
        &self,
        target: &SourceTensor,
        source: &SourceTensor,
        context: &Context<'_>,
    ) -> Result<Made, Problem>;
}

/// Makes a target of a source.
#[derive(Debug)]
pub(super) struct OneToOne<C> {
    source: Pattern,
    target: Pattern,
    change: C,
}

impl<C: Change> Operation for OneToOne<C> {
    type Entry = C::Entry;

    fn parse(source: &str, entry: Self::Entry) -> Result<Self, String> {
        let (target, change) = C::parse(source, entry)?;
        Ok(Self { source: Pattern::parse(source)?, target: Pattern::parse(&target)?, change })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        vec![&self.target]
    }

    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem> {
        let [source] = context.exactly(sources)?;
        Ok(vec![self.change.make(source, context)?])
    }

    fn source_shapes(&self, targets: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Dims>, Problem> {
        let [target] = context.exactly(targets)?;
        Ok(vec![self.change.source_shape(target, context)?])
    }

    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        let ([target], [source]) = (context.exactly(targets)?, context.exactly(sources)?);
        Ok(vec![self.change.restore(target, source, context)?])
    }
}
