//! How wide the terminal is, and whether a table fits into it.

use unicode_width::UnicodeWidthStr;

use crate::table::Table;

/// Columns of the terminal that standard output is, or that COLUMNS says; none for a file or a pipe.
pub fn width() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<usize>().ok());
    let seen = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    said.or_else(seen).filter(|width| *width > 0)
}

/// The table as it is where it fits, else what `narrow` makes for the terminal's columns.
pub fn fitting(table: &Table, narrow: impl FnOnce(usize) -> String) -> String {
    let wide = table.to_string();
    let fits = |width: &usize| {
        wide.lines().all(|line| anstream::adapter::strip_str(line).to_string().width() <= *width)
    };
    match width().filter(|width| !fits(width)) {
        Some(width) => narrow(width),
        None => wide,
    }
}
