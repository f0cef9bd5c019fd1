//! Prints lines on standard error, whatever a message holds. A standard error that is closed is not a reason to fail.

use std::io::Write;

use vitport_checkpoint::escape;

use super::style::{DIM, RED};

/// Prints why something failed.
pub fn error_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}error:{RED:#} {}", escape(message));
}

/// Prints why something failed, in lines that are safe to show.
pub fn error_lines(text: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}error:{RED:#} {text}");
}

/// Prints lines that are safe to show.
pub fn error_text(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints a remark.
pub fn note_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{DIM}note:{DIM:#} {}", escape(message));
}
