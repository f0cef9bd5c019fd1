//! `"source" = { to = "target", rows_times = "factors" }`: row r times factor r, in float64, rounded once.

use std::sync::Arc;

use serde::Deserialize;
use vitport_checkpoint::Tensor;

use super::combine::Combination;
use crate::plan::Part;

pub(super) const TABLE: &str = "fold";

#[derive(Debug)]
pub(super) struct Fold;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `rows_times`")]
pub(super) struct Entry {
    to: String,
    rows_times: String,
}

impl From<Entry> for [String; 2] {
    fn from(entry: Entry) -> Self {
        [entry.to, entry.rows_times]
    }
}

impl Combination for Fold {
    const TABLE: &'static str = TABLE;
    const HOLDS: &'static str = "one factor a row";
    const RESULT: &'static str = "a product";
    type Entry = Entry;

    fn length(shape: &[u64]) -> Option<u64> {
        shape.first().copied()
    }

    fn part(tensor: Arc<Tensor>, factors: Arc<Tensor>) -> Part {
        Part::ScaledRows { tensor, factors }
    }
}
