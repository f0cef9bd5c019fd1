//! Runs the command's tests, in one program: linking one is what most of the time of many would go into.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod assumptions;
mod attestation;
mod batch;
mod command_line;
mod damaged_weights;
mod dangerous;
mod deviations;
mod diff;
mod exit_codes;
mod limits;
mod no_files;
mod not_finite;
mod options_page;
mod overwriting;
mod own_rules;
mod plausibility;
mod report_command;
mod resampling;
mod scaled;
mod schemas;
mod signals;
mod support;
mod table_command;
mod training;
mod verify_command;
