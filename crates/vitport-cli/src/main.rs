//! Runs the `vitport` command: arguments in, exit code out. Everything between is the library's.
//!
//! Modules use only those below them: `commands`; `conversion` and `verification`; `show`, `source`, `report_file` and
//! `request`; `hub`, `environment` and `progress`; `output`; `arguments` and `failure`; `terminal`. `signals` ends the command from outside.

mod arguments;
mod commands;
mod conversion;
#[cfg(feature = "hub")]
mod environment;
mod failure;
#[cfg(feature = "hub")]
mod hub;
mod output;
mod progress;
mod report_file;
mod request;
mod show;
mod signals;
mod source;
mod terminal;
mod verification;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, legacy};
use crate::failure::{Failure, FailureKind, usage};
use crate::output::Printer;

fn main() -> ExitCode {
    let typed: Vec<OsString> = legacy::with_subcommand(std::env::args_os());
    let arguments = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => arguments,
        Err(error) if usage::is_help(&error) => return print_help(&error),
        Err(error) => return Printer::for_arguments(&typed).fail(&usage::of_arguments(&error)),
    };
    arguments.common.color.write_global();
    outlive_the_file_size_limit();
    signals::watch();
    let output = Printer::new(&arguments.common);
    std::panic::set_hook(Box::new(output::say_bug));
    // Unwinding lets temporary files go, as on every other way out.
    match std::panic::catch_unwind(|| run(arguments.command, &output)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => output.fail(&failure),
        Err(panic) => output.fail_of_bug(&*panic),
    }
}

/// Prints help or the version. Help that nobody asked for is a usage error.
fn print_help(help: &clap::Error) -> ExitCode {
    let kind = match help.print() {
        Ok(()) if help.use_stderr() => FailureKind::Usage,
        Ok(()) => return ExitCode::SUCCESS,
        Err(_) => FailureKind::Io,
    };
    ExitCode::from(kind.exit_code())
}

/// Makes a write beyond `ulimit -f` fail like any other, where it would end the process by a signal. Should no handler be
/// had, the limit does what it did.
fn outlive_the_file_size_limit() {
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
}

fn run(command: Command, output: &Printer) -> Result<ExitCode, Failure> {
    match command {
        Command::Convert(arguments) => commands::convert::run(*arguments, output),
        Command::Batch(arguments) => commands::batch::run(&arguments, output),
        Command::Plan(arguments) => commands::plan::run(*arguments, output),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, output),
        Command::Verify(arguments) => commands::verify::run(*arguments, output),
        Command::Classify(arguments) => commands::classify::run(&arguments, output),
        Command::Diff(arguments) => return commands::diff::run(&arguments, output),
        Command::Models(arguments) => commands::models::run(&arguments, output),
        Command::Completions { shell } => commands::completions::run(shell, output),
    }?;
    Ok(ExitCode::SUCCESS)
}
