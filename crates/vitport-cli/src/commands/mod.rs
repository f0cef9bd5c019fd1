//! One file a subcommand, and the report that two of them print.

pub mod batch;
pub mod classify;
pub mod completions;
pub mod convert;
pub mod diff;
pub mod inspect;
pub mod models;
pub mod plan;
mod report;
pub mod verify;
