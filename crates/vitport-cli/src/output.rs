//! Where words go: results on standard output, errors and progress on standard error, and with `--json` one document and
//! nothing else on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

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
        let mut stdout = anstream::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
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
        let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        self.print(text)
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

/// Prints one line on standard error. A standard error that is closed is no reason to fail otherwise than one does already.
pub fn error_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{RED}error:{RED:#} {message}");
}

/// Prints a remark on standard error.
pub fn note_line(message: &str) {
    let _ = writeln!(anstream::stderr(), "{DIM}note:{DIM:#} {message}");
}
