//! Passes on what clap says of the command line: as it is for people, in one line for programs.

use clap::error::ErrorKind;
use vitport_checkpoint::escape;

use super::Failure;

/// Returns whether clap has something to print that was asked for, such as help or the version.
pub fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// Returns what clap says, line by line: what is wrong, what was probably meant, and how the command is used.
pub fn lines(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text);
    text.lines().map(|line| escape(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// Returns a usage failure with what clap says is wrong.
pub fn of_arguments(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("no command is given; see --help");
    }
    Failure::usage(format!("{}; see --help", said(error)))
}

/// Returns what clap says is wrong, without its usage and advice.
pub fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with("For more information")).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty());
    let said = paragraphs.map(|lines| lines.join(" ")).collect::<Vec<_>>().join("; ");
    escape(said.trim_start_matches("error: ")).to_string()
}
