//! Where words go: results on standard output, errors and progress on standard error, and with `--json` one document and
//! nothing else on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};
use vitport_checkpoint::{escape, is_unsafe_to_show};

use crate::arguments::Common;
use crate::failure::Failure;

/// Style of headings and names.
pub const BOLD: anstyle::Style = anstyle::Style::new().bold();
/// Style of what matters less.
pub const DIM: anstyle::Style = anstyle::Style::new().dimmed();
/// Style of what went well.
pub const GREEN: anstyle::Style = anstyle::AnsiColor::Green.on_default();
/// Style of what is known to differ.
pub const YELLOW: anstyle::Style = anstyle::AnsiColor::Yellow.on_default();
/// Style of what went wrong.
pub const RED: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();

/// How the command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
}

impl Output {
    /// As the options ask.
    pub fn new(common: &Common) -> Self {
        Self { json: common.json, quiet: common.quiet, verbose: common.verbose }
    }

    /// One that says nothing and shows no progress, for work whose results somebody else tells.
    pub fn silent(self) -> Self {
        Self { json: false, quiet: true, verbose: false }
    }

    /// Whether a JSON document is wanted instead of text.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether more is wanted.
    pub fn is_verbose(self) -> bool {
        self.verbose
    }

    /// Whether progress may be shown.
    pub fn shows_progress(self) -> bool {
        !self.quiet && !self.json
    }

    /// Prints a result.
    ///
    /// # Errors
    /// A disk failure if standard output takes nothing; a closed pipe ends the command quietly.
    pub fn print(self, text: impl Display) -> Result<(), Failure> {
        // Made first: standard output passes on each line that it is given alone.
        let text = format!("{text}\n");
        let mut stdout = anstream::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Prints what is said beside the result, unless it is to be quiet.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn say(self, text: impl Display) -> Result<(), Failure> {
        if self.quiet || self.json { Ok(()) } else { self.print(text) }
    }

    /// Prints the one document of `--json`.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub fn document(self, value: &impl Serialize) -> Result<(), Failure> {
        self.print(json_text(value)?)
    }

    /// Says why the command failed and what it exits with.
    pub fn fail(self, failure: &Failure) -> ExitCode {
        if failure.message.is_empty() {
            return ExitCode::from(failure.code);
        }
        error_line(&failure.message);
        if self.json {
            let mut document = failure.document.clone();
            document
                .insert("error".to_owned(), json!({ "message": failure.message, "exit_code": failure.code }));
            // The exit code says it too, so a closed standard output loses nothing.
            let _ = self.document(&document);
        }
        ExitCode::from(failure.code)
    }
}

/// A JSON document, indented, without a character that steers a terminal.
///
/// # Errors
/// When a value has no JSON.
pub fn json_text(value: &impl Serialize) -> io::Result<String> {
    Ok(ascii_where_it_must_be(&serde_json::to_string_pretty(value)?))
}

/// A JSON document in one line, its end included, without a character that steers a terminal.
pub fn json_line(value: &Value) -> String {
    ascii_where_it_must_be(&value.to_string()) + "\n"
}

/// A JSON document in which characters that steer a terminal stand as JSON's own `\u` escapes: a program reads the same.
fn ascii_where_it_must_be(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || !is_unsafe_to_show(c) {
            safe.push(c);
        } else {
            safe.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

/// Prints one line on standard error, whatever the message holds. A standard error that is closed is no reason to fail otherwise than one does already.
pub fn error_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}error:{RED:#} {}", escape(message));
}

/// Prints a remark on standard error.
pub fn note_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{DIM}note:{DIM:#} {}", escape(message));
}

#[cfg(test)]
mod tests {
    use super::ascii_where_it_must_be;

    #[test]
    fn a_document_says_the_same_without_steering_a_terminal() {
        let names = ["a\u{9b}31m", "b\u{202e}c", "größe", "d\u{e0041}", "e\u{7f}\n\u{1b}"];
        let document = serde_json::to_string_pretty(&names).unwrap();
        let safe = ascii_where_it_must_be(&document);
        assert!(safe.contains("größe") && safe.contains("\\u009b"), "{safe}");
        assert!(!safe.contains(['\u{9b}', '\u{202e}', '\u{7f}', '\u{1b}', '\u{e0041}']), "{safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), names);
    }
}
