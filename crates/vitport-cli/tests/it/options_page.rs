//! docs/options.md has every command and option. It is made from their declaration:
//!
//! ```sh
//! VITPORT_WRITE_DOCS=1 cargo test -p vitport-cli --test it options_page
//! ```

use std::fmt::Write;
use std::path::Path;

use clap::{Arg, Command};

const HEAD: &str = "# Commands and options

Made from the program's own declaration, like `vitport COMMAND --help` and the manual pages. Options that every command has are listed once,
at the end.
";

#[test]
fn it_has_every_command_and_option() {
    let mut declaration = vitport_cli::declaration();
    declaration.build();
    let page = page(&declaration);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/options.md");
    if std::env::var_os("VITPORT_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(
        there == page,
        "docs/options.md is stale: the first lines of this file say how it is written anew"
    );
}

fn page(declaration: &Command) -> String {
    let mut page = HEAD.to_owned();
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    for command in declaration.get_subcommands().filter(shown) {
        let about =
            command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ");
        write!(page, "\n## {}\n\n{}\n\n    {usage}\n", command.get_name(), sentence(&about)).unwrap();
        table(&mut page, command.get_arguments().filter(|argument| !argument.is_global_set()));
    }
    page.push_str("\n## Every command\n");
    table(&mut page, declaration.get_arguments());
    page
}

fn table<'a>(page: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = arguments.filter(|argument| !argument.is_hide_set()).map(row).collect();
    if !rows.is_empty() {
        write!(page, "\n| | |\n|---|---|\n{}", rows.concat()).unwrap();
    }
}

fn row(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    let takes = argument.get_action().takes_values();
    let mut meaning = sentence(&help).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if takes && !values.is_empty() {
        write!(meaning, " One of {}.", values.join(", ")).unwrap();
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if takes && !defaults.is_empty() {
        write!(meaning, " Default: `{}`.", defaults.join(" ")).unwrap();
    }
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let name = match argument.get_long() {
        Some(long) => format!("{short}`--{long}{}`", value_names(argument, takes)),
        None => format!("`{}`", value_names(argument, true).trim_start()),
    };
    format!("| {} | {} |\n", name.replace('|', "\\|"), meaning.trim())
}

fn value_names(argument: &Arg, takes: bool) -> String {
    if !takes {
        return String::new();
    }
    let names = argument.get_value_names().unwrap_or_default();
    format!(" {}", names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

/// Ends a text with a full stop. Names in angle brackets would be taken for HTML.
fn sentence(text: &str) -> String {
    let text = text.trim().replace('<', "&lt;");
    match text.ends_with(['.', ':', '?']) || text.is_empty() {
        true => text,
        false => format!("{text}."),
    }
}
