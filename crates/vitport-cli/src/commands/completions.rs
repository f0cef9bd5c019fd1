//! Runs `vitport completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Printer;

/// Prints a completion script.
pub fn run(shell: Shell, output: &Printer) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vitport", &mut script);
    output.print(String::from_utf8_lossy(&script).trim_end())
}
