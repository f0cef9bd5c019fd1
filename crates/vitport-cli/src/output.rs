//! Where words go: results on standard output, errors and progress on standard error, and with `--json` one document and
//! nothing else on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use crate::arguments::Common;
use crate::failure::{self, Failure};
use crate::terminal::json::json_text;
use crate::terminal::message::error_line;

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

/// Prints help and version as they are, everything else that clap says as one line.
pub fn refuse_arguments(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let code = if error.use_stderr() { failure::USAGE } else { 0 };
        return match error.print() {
            Ok(()) => ExitCode::from(code),
            Err(_) => ExitCode::from(failure::DISK),
        };
    }
    error_line(&format!("{}; see --help", failure::said(error)));
    ExitCode::from(failure::USAGE)
}

/// Prints one line for a panic, in place of Rust's several: a bug of vitport's or of a library in it.
pub fn say_bug(panic: &std::panic::PanicHookInfo<'_>) {
    let what = panic.payload_as_str().unwrap_or("no message");
    let place =
        panic.location().map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
    error_line(&format!(
        "this is a bug in vitport, not a fault of yours: {what}{place}; please report it with the file that caused it"
    ));
}
