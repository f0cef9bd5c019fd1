//! Decides where words go: results on standard output, errors and progress on standard error, and with `--json` one document
//! and nothing else on standard output.

use std::any::Any;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;
use vitport::verify::{Report, Run};

use crate::arguments::Common;
use crate::clock;
use crate::document::{Document, named};
use crate::failure::{Failure, FailureKind};
use crate::terminal::json::json_text;
use crate::terminal::message::{error_line, note_line};
use crate::watch::Watch;

/// Decides how the command speaks.
#[derive(Debug, Clone)]
pub struct Printer {
    json: bool,
    quiet: bool,
    verbose: bool,
    watch: Option<Watch>,
    command: Option<String>,
}

impl Printer {
    /// Makes one as the options ask.
    pub fn new(common: &Common) -> Self {
        Self { json: common.json, quiet: common.quiet, verbose: common.verbose, watch: None, command: None }
    }

    /// Makes one for arguments that could not be understood, of which only `--json` matters.
    pub fn for_arguments(typed: &[OsString]) -> Self {
        let mut options = typed.iter().take_while(|argument| *argument != "--");
        Self {
            json: options.any(|argument| argument == "--json"),
            quiet: false,
            verbose: false,
            watch: None,
            command: None,
        }
    }

    /// Makes one that hands documents and remarks to `watch` and prints nothing.
    pub fn for_program(watch: &Watch) -> Self {
        Self { json: true, quiet: true, verbose: false, watch: Some(watch.clone()), command: None }
    }

    /// Makes one that says nothing and shows no progress, for work of a command whose results somebody else reports.
    pub fn silent_for(&self, command: String) -> Self {
        Self { json: false, quiet: true, verbose: false, watch: None, command: Some(command) }
    }

    /// Returns it with the command that it speaks for.
    pub fn for_command(&self, command: String) -> Self {
        Self { command: Some(command), ..self.clone() }
    }

    /// Says when and by which command a report is made.
    pub fn run(&self) -> Run {
        Run { date: clock::now(), command: self.command.clone() }
    }

    /// Returns what the program that runs the command follows it with; none for a person's.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Returns whether a JSON document is wanted instead of text.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Returns whether more is wanted.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Returns whether results are printed as text.
    pub fn shows_results(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Returns whether progress may be shown.
    pub fn shows_progress(&self) -> bool {
        !self.quiet && !self.json
    }

    /// Prints a result.
    ///
    /// # Errors
    /// A disk failure if standard output takes nothing; a closed pipe ends the command quietly.
    pub fn print(&self, text: impl Display) -> Result<(), Failure> {
        // Made first: standard output passes on each line that it is given alone.
        let text = format!("{text}\n");
        let mut stdout = anstream::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Prints what is said next to the result, unless it is to be quiet.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub fn say(&self, text: impl Display) -> Result<(), Failure> {
        if self.quiet || self.json { Ok(()) } else { self.print(text) }
    }

    /// Prints a report, which has its own field `schema`, as the one document of `--json`.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub fn report(&self, report: &Report) -> Result<(), Failure> {
        self.json(report)
    }

    fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        match &self.watch {
            None => self.print(json_text(value)?),
            Some(watch) => {
                let document = serde_json::to_value(value).map_err(io::Error::from)?;
                watch.hear(|said| said.document = Some(document));
                Ok(())
            }
        }
    }

    /// Prints a remark on standard error, whatever else is printed.
    pub fn note(&self, message: &str) {
        match &self.watch {
            None => note_line(message),
            Some(watch) => watch.hear(|said| said.notes.push(message.to_owned())),
        }
    }

    /// Keeps a report's page for the program that runs the command.
    pub fn page(&self, page: impl FnOnce() -> String) {
        if let Some(watch) = &self.watch {
            let page = page();
            watch.hear(|said| said.page = Some(page));
        }
    }

    /// Prints the one document of `--json`.
    ///
    /// # Errors
    /// As [`Printer::print`].
    pub fn document(&self, document: &impl Document) -> Result<(), Failure> {
        self.json(&named(document).map_err(io::Error::from)?)
    }

    /// Says why the command failed, and returns what it exits with.
    pub fn fail(&self, failure: &Failure) -> u8 {
        if !failure.message.is_empty() {
            error_line(&failure.message);
            self.document_of(failure);
        }
        failure.kind.exit_code()
    }

    /// Returns what the command exits with after a panic, which [`say_bug`] has reported.
    pub fn fail_of_bug(&self, panic: &(dyn Any + Send)) -> u8 {
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        self.document_of(&Failure::new(FailureKind::Bug, what));
        FailureKind::Bug.exit_code()
    }

    fn document_of(&self, failure: &Failure) {
        if self.json {
            // The exit code says it too, so a closed standard output loses nothing.
            let _ = self.document(&failure.document());
        }
    }
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
