//! The command line as it was typed, to be shown and run once more with the options that were missing.

use std::ffi::{OsStr, OsString};

use vitport::facts::Question;
use vitport_checkpoint::escape;

/// Holds the arguments of the process, its name first.
#[derive(Debug, Clone)]
pub struct CommandLine(pub Vec<OsString>);

impl CommandLine {
    /// Returns it with more arguments after the options that it has.
    pub fn with(&self, more: impl IntoIterator<Item = OsString>) -> Self {
        let mut all = self.0.clone();
        let end = all.iter().position(|argument| argument == "--").unwrap_or(all.len());
        all.splice(end..end, more);
        Self(all)
    }

    /// Returns it with the option that answers each question: with its value where only one fits, else with the name of what it
    /// takes.
    pub fn with_missing(&self, questions: &[Question]) -> Self {
        self.with(questions.iter().flat_map(missing).map(OsString::from))
    }

    /// Returns it as a shell takes it.
    pub fn shown(&self) -> String {
        let arguments = self.0.iter().skip(1).map(|argument| quoted(argument));
        std::iter::once("vitport".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
    }
}

/// Returns a command line as a report keeps it: addresses without passwords, tokens and signatures.
pub fn recorded(command: &CommandLine) -> String {
    CommandLine(command.0.iter().map(|argument| without_secrets(argument)).collect()).shown()
}

#[cfg(feature = "hub")]
fn without_secrets(argument: &OsStr) -> OsString {
    let text = argument.to_string_lossy();
    if !text.contains("://") {
        return argument.to_owned();
    }
    let shown = vitport::hub::shown_address;
    match text.split_once('=').filter(|(name, _)| name.starts_with("--")) {
        Some((name, value)) => format!("{name}={}", shown(value)).into(),
        None => shown(&text).into(),
    }
}

#[cfg(not(feature = "hub"))]
fn without_secrets(argument: &OsStr) -> OsString {
    argument.to_owned()
}

/// Returns the option that answers a question, and its value.
fn missing(question: &Question) -> Vec<String> {
    let value = question.only_value().unwrap_or(question.takes);
    match question.option {
        "" => Vec::new(),
        option => vec![option.to_owned(), value.to_owned()],
    }
}

/// Returns what a value has to be put in place of, one name each.
pub fn placeholders(questions: &[Question]) -> Vec<&'static str> {
    let is_open = |question: &&Question| missing(question).last().is_some_and(|last| last == question.takes);
    let mut names = Vec::new();
    for question in questions.iter().filter(is_open) {
        if !names.contains(&question.takes) {
            names.push(question.takes);
        }
    }
    names
}

/// Returns an argument in quotes, where a shell needs them.
fn quoted(argument: &OsStr) -> String {
    let text = escape(&argument.to_string_lossy()).to_string();
    shlex::try_quote(&text).map_or_else(|_| text.clone(), |quoted| quoted.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(arguments: &[&str]) -> CommandLine {
        CommandLine(arguments.iter().map(OsString::from).collect())
    }

    #[cfg(feature = "hub")]
    #[test]
    fn a_report_keeps_no_secret() {
        let line = typed(&[
            "vitport",
            "verify",
            "--image",
            "https://me:word@a.b/c.png?sig=x",
            "--image=http://t@d/e#f",
            "g",
        ]);
        assert_eq!(recorded(&line), "vitport verify --image https://a.b/c.png '--image=http://d/e' g");
    }

    #[test]
    fn what_is_missing_stands_before_what_is_no_option() {
        let questions = [
            Question::new("num_heads", "?", "--num-heads", "N").with_candidates([1, 3]),
            Question::new("crop_pct", "?", "--crop-pct", "FRACTION").with_candidates([0.875]),
            Question::new("act_layer", "?", "", "").or("--arch NAME"),
        ];
        let line = typed(&["/usr/bin/vitport", "convert", "-o", "my model", "--", "-a'b.pth"]);
        assert_eq!(
            line.with_missing(&questions).shown(),
            "vitport convert -o 'my model' --num-heads N --crop-pct 0.875 -- \"-a'b.pth\""
        );
        assert_eq!(placeholders(&questions), ["N"]);
    }
}
