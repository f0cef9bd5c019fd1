//! One file a subcommand.

pub mod completions;
pub mod convert;
pub mod diff;
pub mod inspect;
pub mod models;
pub mod plan;
