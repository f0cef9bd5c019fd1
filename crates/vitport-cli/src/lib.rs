//! Runs the `vitport` command: arguments in, exit code out. Everything between is the library's. The Python module runs the same
//! commands by [`program`].
//!
//! Modules use only those below them: `commands` and `ask`; `conversion` and `verification`; `show`, `source`, `output_file` and
//! `request`; `hub`, `environment` and `progress`; `output`; `watch`; `command_line` and `fields`; `arguments` and `failure`; `document`; `clock` and `terminal`. `signals` ends the command from outside.

mod arguments;
mod ask;
mod clock;
mod command_line;
mod commands;
mod conversion;
mod document;
#[cfg(feature = "hub")]
mod environment;
mod failure;
pub mod fields;
#[cfg(feature = "hub")]
mod hub;
mod output;
mod output_file;
pub mod program;
mod progress;
mod request;
mod show;
mod signals;
mod source;
mod terminal;
mod verification;
pub mod watch;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command, legacy};
use crate::command_line::CommandLine;
use crate::failure::{Failure, FailureKind, usage};
use crate::output::Printer;
use crate::show::prepared::facts;
use crate::show::questions;
use crate::terminal::message::{error_line, error_lines, error_text};
use crate::terminal::wrap::error_columns;

/// Runs the command as it was typed, the program's name first, and returns what the process is to exit with. It is the process's own
/// business from then on: signals end it, and panics are reported in one line.
pub fn run(typed: impl IntoIterator<Item = OsString>) -> u8 {
    let mut typed = CommandLine(legacy::with_subcommand(typed));
    let arguments = match Arguments::try_parse_from(&typed.0) {
        Ok(arguments) => arguments,
        Err(error) => {
            let printer = Printer::for_arguments(&typed.0);
            return match (usage::is_help(&error), printer.is_json()) {
                (true, false) => print_help(&error),
                (true, true) if !error.use_stderr() => print_help(&error),
                (_, true) => printer.fail(&usage::of_arguments(&error)),
                (false, false) => {
                    error_lines(&usage::lines(&error));
                    FailureKind::Usage.exit_code()
                }
            };
        }
    };
    arguments.common.color.write_global();
    signals::outlive_the_file_size_limit();
    signals::watch();
    let output = Printer::new(&arguments.common);
    if let Some(command) = arguments.command.without_source()
        && !legacy::is_meant(&typed.0)
    {
        return say_how_it_is_used(command, &typed, &output);
    }
    std::panic::set_hook(Box::new(output::say_bug));
    // Unwinding lets temporary files go, as on every other way out.
    let is_plan = matches!(arguments.command, Command::Plan(_));
    let run_and_ask = || run_and_ask(arguments, &mut typed, &output);
    match std::panic::catch_unwind(AssertUnwindSafe(run_and_ask)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => fail(failure, is_plan, &typed, &output),
        Err(panic) => output.fail_of_bug(&*panic),
    }
}

/// Says why the command failed, and returns what it exits with. Questions stand each by itself, with the command that answers them,
/// and what is known stands before them if it was asked for.
fn fail(mut failure: Failure, is_plan: bool, typed: &CommandLine, output: &Printer) -> u8 {
    let Some(open) = failure.open.take() else { return output.fail(&failure) };
    if output.is_json() {
        let command = typed.with_missing(&open.questions).shown();
        return output.fail(&failure.with_command(command));
    }
    if is_plan && let Err(failure) = output.print(facts(&open.known)) {
        return output.fail(&failure);
    }
    error_line(&questions::headline(&open.questions));
    error_text(&questions::lines(&open.questions, typed, error_columns()));
    failure.kind.exit_code()
}

/// Runs the command, and once more with the answers to what it asks, as long as there are any. `typed` has them at the end.
fn run_and_ask(mut arguments: Arguments, typed: &mut CommandLine, output: &Printer) -> Result<u8, Failure> {
    loop {
        let may_ask = ask::may_ask(&arguments);
        let output = output.for_command(command_line::recorded(typed));
        let failure = match run_command(arguments.command, &output) {
            Err(failure) if may_ask => failure,
            result => return result,
        };
        let Some(answered) = ask::ask(&failure, typed) else { return Err(failure) };
        arguments = Arguments::try_parse_from(&answered.0).map_err(|error| usage::of_arguments(&error))?;
        *typed = answered;
    }
}

/// Returns the declaration of the command line, of which manual pages are made.
#[must_use]
pub fn declaration() -> clap::Command {
    Arguments::command()
}

/// Returns the exit codes, what each means, and the kinds of error that have it.
#[must_use]
pub fn exit_codes() -> Vec<(u8, &'static str, Vec<String>)> {
    let kinds =
        |wanted| program::error_kinds().filter(move |(_, code)| *code == wanted).map(|(kind, _)| kind);
    failure::EXIT_CODES.iter().map(|(code, meaning)| (*code, *meaning, kinds(*code).collect())).collect()
}

/// Returns the schemas of the documents of `--json`, by their names, such as `vitport/plan/2`.
#[must_use]
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    commands::schemas()
}

/// Returns the source of a command that identifies one, as it is shown.
fn source_of(command: &Command) -> Option<String> {
    let text = match command {
        Command::Convert(arguments) => arguments.source.text(),
        Command::Plan(arguments) => arguments.source.text(),
        Command::Verify(arguments) if arguments.attestation.is_none() => &arguments.source,
        _ => return None,
    };
    Some(text.to_string_lossy().into_owned())
}

/// Prints the help of a command that has nothing to work on, or what it lacks where something else is given.
fn say_how_it_is_used(command: &str, typed: &CommandLine, output: &Printer) -> u8 {
    let mut declared = Arguments::command();
    declared.build();
    let missing = Failure::usage(format!(
        "no SOURCE is given: a weight file, a folder that holds one, or a name; see vitport {command} --help"
    ));
    match declared.find_subcommand_mut(command) {
        Some(declared) if typed.0.len() == 2 => {
            error_text(declared.render_help().to_string().trim_end());
            missing.kind.exit_code()
        }
        _ => output.fail(&missing),
    }
}

/// Prints help or the version. Help that nobody asked for is a usage error.
fn print_help(help: &clap::Error) -> u8 {
    let kind = match help.print() {
        Ok(()) if help.use_stderr() => FailureKind::Usage,
        Ok(()) => return 0,
        Err(_) => FailureKind::Io,
    };
    kind.exit_code()
}

/// Runs a command. A failure that is about what the source is names it.
fn run_command(command: Command, output: &Printer) -> Result<u8, Failure> {
    let source = source_of(&command);
    run_as_it_is(command, output).map_err(|failure| match &source {
        Some(source) => failure.of_source(source),
        None => failure,
    })
}

fn run_as_it_is(command: Command, output: &Printer) -> Result<u8, Failure> {
    match command {
        Command::Convert(arguments) => commands::convert::run(*arguments, output),
        Command::Batch(arguments) => commands::batch::run(&arguments, output),
        Command::Plan(arguments) => commands::plan::run(*arguments, output),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, output),
        Command::Verify(arguments) => commands::verify::run(*arguments, output),
        Command::Classify(arguments) => commands::classify::run(&arguments, output),
        Command::Diff(arguments) => return commands::diff::run(&arguments, output),
        Command::Report(arguments) => commands::report::run(&arguments, output),
        Command::Models(arguments) => commands::models::run(&arguments, output),
        Command::Completions { shell } => commands::completions::run(shell, output),
    }?;
    Ok(0)
}
