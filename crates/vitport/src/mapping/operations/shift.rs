//! `"source" = { to = "target", columns_plus = "addends" }`: addend c is added to column c, the last axis, in float64, rounded once.

use std::sync::Arc;

use serde::Deserialize;
use vitport_checkpoint::Tensor;

use super::combine::Combination;
use crate::plan::Part;

pub(super) const TABLE: &str = "shift";

#[derive(Debug)]
pub(super) struct Shift;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of `to` and `columns_plus`")]
pub(super) struct Entry {
    to: String,
    columns_plus: String,
}

impl From<Entry> for [String; 2] {
    fn from(entry: Entry) -> Self {
        [entry.to, entry.columns_plus]
    }
}

impl Combination for Shift {
    const TABLE: &'static str = TABLE;
    const HOLDS: &'static str = "one addend a column";
    const RESULT: &'static str = "a sum";
    type Entry = Entry;

    fn length(shape: &[u64]) -> Option<u64> {
        shape.last().copied()
    }

    fn neutral(elements: u64) -> Option<Part> {
        Some(Part::Zeros { elements })
    }

    fn part(tensor: Arc<Tensor>, addends: Arc<Tensor>) -> Part {
        Part::ShiftedColumns { tensor, addends }
    }
}
