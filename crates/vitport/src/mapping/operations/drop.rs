//! `"source" = "reason"`: left out if it is there. With `{ because = "reason", again = { window_distances = "window_size" } }` it
//! follows from the facts, and is made again on the way back through a layout.

use serde::Deserialize;

use super::{Context, Made, Operation, fill};
use crate::mapping::pattern::Pattern;
use crate::mapping::problems::Problem;
use crate::mapping::sources::SourceTensor;

pub(super) const TABLE: &str = "drop";

#[derive(Debug)]
pub(super) struct Drop {
    source: Pattern,
    reason: String,
    again: Option<fill::Entry>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "what is dropped has a reason, or a table of `because` and `again`")]
pub(super) enum Entry {
    Reason(String),
    Follows { because: String, again: fill::Entry },
}

impl Operation for Drop {
    type Entry = Entry;

    fn parse(source: &str, entry: Entry) -> Result<Self, String> {
        let (reason, again) = match entry {
            Entry::Reason(reason) => (reason, None),
            Entry::Follows { because, again } => (because, Some(again)),
        };
        Ok(Self { source: Pattern::parse(source)?, reason, again })
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

    fn made_again(&self, context: &Context<'_>) -> Result<Option<Made>, Problem> {
        self.again.as_ref().map(|values| values.made(&[], context)).transpose()
    }

    fn reason_to_drop(&self) -> Option<&str> {
        Some(&self.reason)
    }
}
