//! Holds one file for each subcommand.

pub mod batch;
pub mod classify;
pub mod completions;
pub mod convert;
mod convert_back;
pub mod diff;
pub mod inspect;
pub mod models;
pub mod plan;
pub mod verify;
