//! Shows the library's results as lines for people.

pub mod guess;
pub mod prepared;
pub mod questions;
pub mod report;
