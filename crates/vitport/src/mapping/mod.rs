//! The mapping language: which tensor of the source goes where in the target, as a TOML file that reads like the table in a
//! paper.
//!
//! ```toml
//! from = "timm/vision_transformer"
//! to = "transformers/vit"
//!
//! [ranges]                       # an index, and the count that it runs up to
//! i = "depth"
//!
//! [choices]                      # a variable that stands for several texts, each making a rule of its own
//! p = ["weight", "bias"]
//! x = { q = "query", k = "key" } # read differently on the two sides
//!
//! [rename]
//! "blocks.{i}.norm1.{p}" = "{base}encoder.layer.{i}.layernorm_before.{p}"
//!
//! [when.qkv_bias.split]          # rules that hold only when a fact is true; `unless` is the opposite
//! "blocks.{i}.attn.qkv.bias" = ["….query.bias", "….key.bias", "….value.bias"]
//! ```
//!
//! | table | entry | meaning |
//! |---|---|---|
//! | `rename` | `"source" = "target"` | the same bytes under another name |
//! | `split` | `"source" = ["a", "b", …]` | equal shares of the first axis |
//! | `concat` | `"target" = ["a", "b", …]` | source tensors one after another along the first axis |
//! | `transpose` | `"source" = "target"` | the last two axes exchanged |
//! | `permute` | `"source" = { to = "target", axes = [2, [0, 1]] }` | the axes in another order, those in brackets joined |
//! | `reshape` | `"source" = { to = "target", shape = ["embed_dim", 3] }` | the same bytes under another shape |
//! | `pad` | `"source" = { to = "target", rows = 1 }` | rows (last axis) of zeros put before the source's |
//! | `fold` | `"source" = { to = "target", rows_times = "factors" }` | row r times factor r, in float64, rounded once |
//! | `fill` | `"target" = { zeros = ["embed_dim"] }` or `{ identity = "embed_dim" }` | values that no source holds |
//! | `drop` | `"source" = "reason"` | left out, if it is there at all |
//!
//! The source's facts are the counts and the flags, `[texts]` has the texts (such as `{base}`): [`Bindings`]. Every rule
//! whose conditions hold must find its sources, except `drop`; every source tensor must be used by a rule; every target must
//! be made once.
//! What breaks this is reported all at once ([`Problems`]). All operations but `fold` can be undone bit for bit
//! ([`inverse`]). Casting to another dtype is asked for by the user for all tensors at once and is no rule.

mod actions;
mod builtin;
mod compare;
mod conditions;
mod config;
mod deviation;
mod expand;
mod expected;
mod instances;
mod inverse;
mod language;
mod layout;
mod nearest;
mod pattern;
mod problems;
mod router;
mod sources;

pub use builtin::{layouts, mappings};
pub use compare::{ComparedOutput, Pair};
pub use conditions::{Condition, TensorValues};
pub use config::Expression;
pub use deviation::Deviation;
pub use expand::Bindings;
pub use inverse::{Inverse, NotReversible, inverse};
pub use language::{Mapping, MappingError};
pub use problems::{Problem, Problems};
pub use router::route;
pub use sources::{SourceTensor, Sources};
