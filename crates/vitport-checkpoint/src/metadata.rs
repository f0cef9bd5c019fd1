//! What lies next to the weights: an epoch, an architecture's name, the arguments of a training run.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plain_value::PlainValue;

/// Describes one entry: where it is, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Metadata {
    /// Holds the dotted path in the file, such as `epoch` or `args.model`.
    pub path: String,
    /// Holds the value. A dict appears as one entry for each of its keys, and by itself only where it is empty.
    pub value: PlainValue,
}
