//! Runs the `vitport` command: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(vitport_cli::run(std::env::args_os()))
}
