//! A command's options as named values, for whoever does not type them: a line of a batch, a call from Python. They become the
//! command's own arguments, so that all take the same values and refuse the same.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, ArgAction, CommandFactory};

use crate::arguments::Arguments;

/// Says what an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Means that it is there or not.
    Nothing,
    /// Means one value; several are parts of it, with commas between them.
    Value,
    /// Means a value each time that it is given.
    Repeated,
}

/// Holds what is given for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// Says whether the option is there.
    Flag(bool),
    /// Gives one value or several.
    Values(Vec<OsString>),
}

/// Returns the options of a command under their names with underscores, and what each takes; nothing for an unknown command.
/// Those that every command has, and those that help does not show, are not among them.
pub fn options(command: &str) -> BTreeMap<String, Takes> {
    let all = Arguments::command();
    let found = all.find_subcommand(command);
    let options = found.into_iter().flat_map(|command| command.get_arguments());
    let of_the_command = options.filter(|option| !option.is_hide_set() && option.get_id() != "help");
    of_the_command.filter_map(|option| Some((option.get_long()?.replace('-', "_"), takes(option)))).collect()
}

fn takes(option: &Arg) -> Takes {
    match option.get_action() {
        action if !action.takes_values() => Takes::Nothing,
        ArgAction::Append if option.get_value_delimiter().is_none() => Takes::Repeated,
        _ => Takes::Value,
    }
}

/// Returns an option as it is typed.
///
/// # Errors
/// Says what does not fit it.
pub fn arguments(name: &str, takes: Takes, given: &Given) -> Result<Vec<OsString>, String> {
    let option = format!("--{}", name.replace('_', "-"));
    let with_value = |value: &OsString| {
        let mut argument = OsString::from(format!("{option}="));
        argument.push(value);
        argument
    };
    match (takes, given) {
        (Takes::Nothing, Given::Flag(true)) => Ok(vec![option.into()]),
        (Takes::Nothing, Given::Flag(false)) => Ok(Vec::new()),
        (Takes::Nothing, Given::Values(_)) => Err(format!("`{name}` is true or false")),
        (Takes::Value | Takes::Repeated, Given::Flag(_)) => {
            Err(format!("`{name}` is neither text nor number, nor a list of them"))
        }
        (Takes::Repeated, Given::Values(values)) => Ok(values.iter().map(with_value).collect()),
        (Takes::Value, Given::Values(values)) => {
            let mut joined = OsString::new();
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    joined.push(",");
                }
                joined.push(value);
            }
            Ok(vec![with_value(&joined)])
        }
    }
}
