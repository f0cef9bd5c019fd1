//! `"source" = "reason"`: left out if it is there.

use super::{Context, Made, Operation};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "drop";

#[derive(Debug)]
pub(super) struct Drop {
    source: Pattern,
    reason: String,
}

impl Operation for Drop {
    type Entry = String;

    fn parse(source: &str, reason: String) -> Result<Self, String> {
        Ok(Self { source: Pattern::parse(source)?, reason })
    }

    fn sources(&self) -> Vec<&Pattern> {
        vec![&self.source]
    }

    fn targets(&self) -> Vec<&Pattern> {
        Vec::new()
    }

    fn make(&self, _: &[&SourceTensor], _: &Context<'_>) -> Result<Vec<Made>, Problem> {
        Ok(Vec::new())
    }

    fn invert(
        &self,
        _: &[&SourceTensor],
        _: &[&SourceTensor],
        _: &Context<'_>,
    ) -> Result<Vec<Made>, Problem> {
        Ok(Vec::new())
    }

    fn reason_to_drop(&self) -> Option<&str> {
        Some(&self.reason)
    }
}
