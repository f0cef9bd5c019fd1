//! Shows the library's results as lines for people.

pub mod diff;
pub mod guess;
pub mod patterns;
pub mod prepared;
pub mod questions;
pub mod report;
pub mod summary;
