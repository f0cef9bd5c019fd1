//! Runs a command for another program, which gives options by their names and gets a document back: nothing is printed, nobody is
//! asked, and no signal is watched for.

use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::{Parser, ValueEnum};
use serde_json::Value;
use vitport_checkpoint::{Checkpoint, Limits, escape};

use crate::arguments::{Arguments, Command};
use crate::document::named;
use crate::failure::{Failure, FailureKind, usage};
use crate::fields::{self, Given, Takes};
use crate::output::Printer;
use crate::watch::Watch;

/// Asks for a command.
#[derive(Debug, Clone)]
pub struct Call {
    /// Names the command, such as `convert`.
    pub command: String,
    /// Gives the arguments that have no name, in their order.
    pub arguments: Vec<OsString>,
    /// Gives options under their names with underscores.
    pub options: Vec<(String, Given)>,
}

/// Says what came of a command.
#[derive(Debug)]
pub struct Answer {
    /// Holds the document of `--json`: of an error, where there is one.
    pub document: Value,
    /// Says whether the document is an error's.
    pub is_error: bool,
    /// Holds the report's page, where networks were compared.
    pub page: Option<String>,
    /// Lists remarks, a sentence each.
    pub notes: Vec<String>,
}

impl Call {
    /// Runs the command on this thread, as `watch` allows.
    #[must_use]
    pub fn run(&self, watch: &Watch) -> Answer {
        let output = Printer::for_program(watch);
        let result = contained(|| {
            let mut command = self.parsed()?;
            if let Some(limits) = command.limits_mut() {
                limits.stop = watch.stop_flag();
            }
            crate::run_command(command, &output)
        });
        let said = watch.take_said();
        let (document, is_error) = match (result, said.document) {
            // What is wrong with single images stands in the list.
            (Err(failure), Some(document)) if failure.message.is_empty() => (document, false),
            (Err(failure), _) => (document(failure), true),
            (Ok(_), document) => (document.unwrap_or_default(), false),
        };
        Answer { document, is_error, page: said.page, notes: said.notes }
    }

    /// Opens the file that the first argument names, for reading its tensors: `key` and the limits are those of `inspect`.
    ///
    /// # Errors
    /// Returns the error's document.
    pub fn open(&self, watch: &Watch) -> Result<Checkpoint, Value> {
        let opened = contained(|| match self.parsed()? {
            Command::Inspect(arguments) => {
                let limits = Limits { stop: watch.stop_flag(), ..arguments.limits.limits() };
                match &arguments.key {
                    Some(root) => Ok(Checkpoint::open_root(&arguments.file, &limits, root)?),
                    None => Ok(Checkpoint::open(&arguments.file, &limits)?),
                }
            }
            _ => Err(Failure::new(FailureKind::Bug, "only `inspect` opens a file")),
        });
        opened.map_err(document)
    }

    fn parsed(&self) -> Result<Command, Failure> {
        let known = fields::options(&self.command);
        let mut typed: Vec<OsString> = vec!["vitport".into(), self.command.clone().into()];
        for (name, given) in &self.options {
            let takes = known.get(name).ok_or_else(|| self.unknown(name, &known))?;
            typed.extend(fields::arguments(name, *takes, given).map_err(Failure::usage)?);
        }
        typed.push("--".into());
        typed.extend(self.arguments.iter().cloned());
        let parsed = Arguments::try_parse_from(typed);
        parsed.map(|arguments| arguments.command).map_err(|error| Failure::usage(usage::said(&error)))
    }

    fn unknown(&self, name: &str, known: &BTreeMap<String, Takes>) -> Failure {
        let known = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let command = &self.command;
        Failure::usage(format!("{command} has no option `{}`; it has {known}", escape(name)))
    }
}

/// Returns the document of what went wrong while a tensor of an opened file was read.
pub fn reading_failed(error: vitport_checkpoint::CheckpointError) -> Value {
    document(error.into())
}

/// Returns every kind of error and the number that the command exits with.
pub fn error_kinds() -> impl Iterator<Item = (String, u8)> {
    let named = |kind: &FailureKind| serde_json::to_value(kind).ok()?.as_str().map(str::to_owned);
    FailureKind::value_variants().iter().filter_map(move |kind| Some((named(kind)?, kind.exit_code())))
}

/// Removes what running commands have not finished, and lets no more be made or published: for a process that is about to end.
pub fn end() {
    // What is held here is held to the process's end.
    std::mem::forget(vitport::temporary::remove_all());
}

fn document(failure: Failure) -> Value {
    named(&failure.document()).unwrap_or_default()
}

/// Makes an error of a panic, which is a bug.
fn contained<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let panic: &(dyn Any + Send) = &*panic;
        let what = panic.downcast_ref::<String>().map(String::as_str);
        let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Failure::new(FailureKind::Bug, format!("this is a bug in vitport, please report it: {what}")))
    })
}
