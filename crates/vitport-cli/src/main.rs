//! The `vitport` command: arguments in, exit code out. Everything between is the library's.

mod arguments;
mod commands;
#[cfg(feature = "hub")]
mod environment;
mod failure;
#[cfg(feature = "hub")]
mod hub;
mod legacy;
mod limits;
mod output;
mod progress;
mod report_file;
mod source;
mod table;
mod terminal;
mod wrap;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Output;

/// Bytes of the largest pieces of memory that are used again in this process once they are given back.
const USED_AGAIN: usize = 16 << 20;

fn main() -> ExitCode {
    use_memory_again();
    let arguments = match Arguments::try_parse_from(legacy::with_subcommand(std::env::args_os())) {
        Ok(arguments) => arguments,
        Err(error) => return failure::of_arguments(&error),
    };
    arguments.common.color.write_global();
    outlive_the_file_size_limit();
    let output = Output::new(&arguments.common);
    std::panic::set_hook(Box::new(failure::say_bug));
    // Unwinding lets temporary files go, as on every other way out.
    match std::panic::catch_unwind(|| run(arguments.command, &output)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => output.fail(&failure),
        Err(_) => failure::of_bug(),
    }
}

/// glibc gives a piece of memory of more than 128 KiB pages of its own, which the system has to clear, and to take back when
/// the piece is given up. It does so only above the size of the largest one that was given up so far (mallopt(3), "dynamic
/// mmap threshold"), so that one which is never touched makes each stage of a conversion use the pages of the one before.
/// Elsewhere this does nothing.
fn use_memory_again() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(USED_AGAIN)));
}

/// A file that grows beyond `ulimit -f` ends a process by a signal. With a handler for it the write fails instead, and that
/// is told and cleared up like any failed write. Should no handler be had, the limit does what it did.
fn outlive_the_file_size_limit() {
    let seen = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, seen);
}

fn run(command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Convert(arguments) => commands::convert::run(*arguments, output),
        Command::Batch(arguments) => commands::batch::run(&arguments, output),
        Command::Plan(arguments) => commands::plan::run(*arguments, output),
        Command::Inspect(arguments) => commands::inspect::run(&arguments, output),
        Command::Verify(arguments) => commands::verify::run(*arguments, output),
        Command::Classify(arguments) => commands::classify::run(&arguments, output),
        Command::Diff(arguments) => commands::diff::run(&arguments, output),
        Command::Models(arguments) => commands::models::run(&arguments, output),
        Command::Completions { shell } => commands::completions::run(shell, output),
    }
}
