//! Mappings connect two definitions of a network. A mapping is a TOML file: which sources the target can hold, what
//! `config.json` says, which places of the two networks are compared, and which tensor of the source goes where. No framework
//! is known here. `docs/mappings.md` is the reference of the language.
//!
//! ```toml
//! from = "timm/vision_transformer"
//! to = "transformers/vit"
//!
//! requires = [                   # what the source must be, and the sentence of a refusal
//!     { fact = "reg_tokens", is = 0, what = "a ViT with register tokens", why = "ViTModel has none", could = "Dinov2Model" },
//! ]
//!
//! [config]                       # keys of config.json, from the source's facts
//! hidden_size = { fact = "embed_dim" }
//!
//! [compare]                      # places that hold the same hidden states
//! "layer {i}" = ["blocks.{i}", "encoder.layer.{i}"]
//!
//! [ranges]                       # an index, and the count that it runs up to
//! i = "depth"
//!
//! [choices]                      # a variable that stands for several texts
//! p = ["weight", "bias"]
//!
//! [rename]
//! "blocks.{i}.norm1.{p}" = "{base}encoder.layer.{i}.layernorm_before.{p}"
//!
//! [when.qkv_bias.split]          # rules that hold only when a fact is true; `unless` is the opposite
//! "blocks.{i}.attn.qkv.bias" = ["….query.bias", "….key.bias", "….value.bias"]
//! ```
//!
//! The way of a mapping:
//!
//! 1. `language.rs` reads and checks the file ([`Mapping`]); `builtin.rs` has the built-in ones ([`mappings()`], [`layouts()`]).
//! 2. A layout, a mapping onto the names of one definition, gives the tensors of a file these names first (`layout.rs`).
//! 3. [`route()`] chooses the mapping whose conditions hold (`conditions.rs`), or makes the refusal.
//! 4. The rules are written out for every value of their variables (`expand.rs`) into a [`Plan`](crate::plan::Plan).
//! 5. The plan is compared with the source's tensors and with the target definition's parameters and buffers
//!    (`expected.rs`). What is wrong is reported all at once ([`Problems`]).
//!
//! Operations are one file each (`operations/`). All but those that compute (`fold`, `scale`, …) can be inverted bit for bit ([`Mapping::inverse`]). Casting to
//! another dtype is an option for all tensors at once and not an operation.

mod back;
mod batch_norm;
mod bindings;
mod builtin;
mod compare;
mod conditions;
mod config;
mod deviation;
pub(crate) mod efficientnet;
mod expand;
mod expected;
mod instances;
mod inverse;
mod language;
mod layout;
mod nearest;
mod operations;
mod pattern;
mod problems;
mod router;
mod rule;
mod sources;
mod target;
mod written;

pub use back::UnmadeKey;
pub use bindings::Bindings;
pub use builtin::{layouts, mappings};
pub use compare::{ComparedOutput, Pair};
pub use conditions::{Condition, TensorValues};
pub use config::Expression;
pub use deviation::Deviation;
pub use language::{Mapping, MappingError};
pub use problems::{Problem, Problems};
pub use router::{possible, route};
pub use sources::{SourceTensor, Sources};
pub use target::{Level, Outside, TargetClass, shown_factor};
pub use written::{InCommon, WeightFormat};
