//! Shows text on a terminal: styles, tables, wrapped sentences, messages, and how wide it may be. Knows nothing of vitport.

pub mod json;
pub mod message;
pub mod style;
pub mod table;
pub mod wrap;

use terminal_size::{Height, Width};
use unicode_width::UnicodeWidthStr;

/// Returns the columns of the terminal that standard output is, or that COLUMNS says; `None` for a file or a pipe.
pub fn width() -> Option<usize> {
    width_of(|| terminal_size::terminal_size_of(std::io::stdout()))
}

/// Returns the same of standard error.
fn error_width() -> Option<usize> {
    width_of(|| terminal_size::terminal_size_of(std::io::stderr()))
}

fn width_of(size: impl FnOnce() -> Option<(Width, Height)>) -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<usize>().ok());
    let seen = || size().map(|(width, _)| usize::from(width.0));
    said.or_else(seen).filter(|width| *width > 0)
}

/// Returns `wide` where it fits, else what `narrow` makes for the terminal's columns.
pub fn fitting(wide: String, narrow: impl FnOnce(usize) -> String) -> String {
    let fits = |width: &usize| {
        wide.lines().all(|line| anstream::adapter::strip_str(line).to_string().width() <= *width)
    };
    match width().filter(|width| !fits(width)) {
        Some(width) => narrow(width),
        None => wide,
    }
}
