//! Says why a command failed: one line for people, a kind and a number for programs.

mod library;
pub mod usage;

use std::fmt::Display;
use std::io;
use std::path::Path;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use vitport::facts::{Facts, Question};
use vitport::mapping::Problem;
use vitport_checkpoint::escape;

use crate::document::Document;

/// Says what kind of failure it is. Several kinds share an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Stands for a mistake of vitport's.
    Bug,
    /// Means that the command line asks for what cannot be meant.
    Usage,
    /// Means that a file is missing, damaged, or of no known format.
    Unreadable,
    /// Means that a file can be read, and is not accepted.
    Refused,
    /// Means that a pickle would execute code, or reach processes, files or the network.
    Dangerous,
    /// Means that several answers fit, and an option has to say which.
    Question,
    /// Means that an option contradicts the source.
    Contradiction,
    /// Means that nothing here knows such a network or such a name.
    UnknownArchitecture,
    /// Means that the two networks, or facts, disagree.
    Different,
    /// Stands for an error of the disk.
    Io,
    /// Stands for an error of the network or the Hub.
    #[cfg_attr(not(feature = "hub"), allow(dead_code, reason = "only the Hub is on a network"))]
    Network,
    /// Stands for a known structure that no class holds.
    NoTarget,
}

impl FailureKind {
    /// Returns its name in documents, with spaces between the words.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().replace('-', " "))
    }

    /// Returns what the process exits with.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Bug => 1,
            Self::Usage => 2,
            Self::Unreadable | Self::Refused | Self::Dangerous => 3,
            Self::Question | Self::Contradiction | Self::UnknownArchitecture => 4,
            Self::Different => 5,
            Self::Io | Self::Network => 6,
            Self::NoTarget => 7,
        }
    }
}

/// Gives the exit codes and what they mean; a signal ends with 128 and its number.
pub const EXIT_CODES: [(u8, &str); 8] = [
    (0, "done"),
    (1, "diff: something differs; elsewhere a bug in vitport"),
    (2, "usage: an option is unknown, or its value makes no sense here"),
    (3, "a file is missing, damaged, dangerous or not accepted"),
    (4, "answer a question or change an option"),
    (5, "the two networks, settings or files disagree"),
    (6, "the disk, the network or the Hub failed"),
    (7, "vitport knows the network, but no class of transformers can hold it"),
];

/// Returns the exit codes, as the help shows them.
pub fn exit_codes_help() -> String {
    let lines = EXIT_CODES.iter().map(|(code, meaning)| format!("  {code}  {meaning}"));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Holds what a failure is about, as far as that is known, and what was found before it.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct About {
    /// Names the file; where the error is about what the source is, the source as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Names the tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    tensor: Option<String>,
    /// Names the fact.
    #[serde(skip_serializing_if = "Option::is_none")]
    fact: Option<String>,
    /// Asks what is not known, for a `question`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<Question>,
    /// Lists what is known, for a `question`, each with `name`, `value` and `origin`; otherwise those of the document that there
    /// is without an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Map<String, Value>>")]
    facts: Option<Facts>,
    /// Gives the whole command to run, for a `question`, with the names of values where a choice is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Lists everything that keeps a plan from being made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
    /// Lists the lines of a batch's file that are not jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bad_lines: Vec<BadLine>,
    /// Holds what was found before the error: the fields of the document that there is without one.
    #[serde(flatten)]
    found: Map<String, Value>,
}

/// Describes a line of a batch's file that is not a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct BadLine {
    /// Gives the line in the jobs file, from 1.
    pub line: usize,
    /// Says what is wrong with it.
    pub message: String,
}

/// Describes why a command failed: any of them.
#[derive(Serialize, JsonSchema)]
pub struct ErrorDocument<'a> {
    /// Says what kind of error it is.
    kind: FailureKind,
    /// Says what is wrong, in which file or tensor, why, and what to do next, in one line.
    message: &'a str,
    #[serde(flatten)]
    about: &'a About,
    /// Repeats message and exit code, where scripts have always looked for them.
    error: ErrorSummary<'a>,
}

impl Document for ErrorDocument<'_> {
    const SCHEMA: &'static str = "vitport/error/2";
}

/// Repeats message and exit code of an error.
#[derive(Serialize, JsonSchema)]
struct ErrorSummary<'a> {
    /// Says what is wrong.
    message: &'a str,
    /// Gives what the process exits with.
    exit_code: u8,
}

/// Describes a failed command.
#[derive(Debug)]
pub struct Failure {
    /// Gives its kind.
    pub kind: FailureKind,
    /// Says why in one line; empty if it has been said already.
    pub message: String,
    about: Box<About>,
    /// Asks what is not known, if that is why.
    pub open: Option<Box<Open>>,
}

/// Holds the questions that are open, and what is known.
#[derive(Debug)]
pub struct Open {
    /// Asks what is not known.
    pub questions: Vec<Question>,
    /// Lists what is known.
    pub known: Facts,
}

impl Failure {
    /// Makes a failure of a kind.
    pub fn new(kind: FailureKind, message: impl Display) -> Self {
        Self { kind, message: message.to_string(), about: Box::default(), open: None }
    }

    /// Makes a failure of a command line that asks for what cannot be meant.
    pub fn usage(message: impl Display) -> Self {
        Self::new(FailureKind::Usage, message)
    }

    /// Makes a failure of a file that cannot be written.
    pub fn disk(path: &Path, error: &io::Error) -> Self {
        let shown = path.display().to_string();
        Self::new(FailureKind::Io, format!("{}: {error}; give a place that can be written", escape(&shown)))
            .in_file(shown)
    }

    /// Adds the file that it is about.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.about.file = Some(file.into());
        self
    }

    /// Adds the source that it is about, if it is about what that is and names no file itself.
    pub fn of_source(mut self, source: &str) -> Self {
        use FailureKind::{Contradiction, NoTarget, Question, UnknownArchitecture};
        if matches!(self.kind, Question | Contradiction | UnknownArchitecture | NoTarget) {
            self.about.file.get_or_insert_with(|| source.to_owned());
        }
        self
    }

    /// Adds the tensor that it is about.
    pub fn in_tensor(mut self, tensor: impl Into<String>) -> Self {
        self.about.tensor = Some(tensor.into());
        self
    }

    /// Adds the fact that it is about.
    pub fn about_fact(mut self, fact: impl Into<String>) -> Self {
        self.about.fact = Some(fact.into());
        self
    }

    /// Adds the document of what was found before it.
    pub fn with_document(mut self, document: &impl Serialize) -> Self {
        if let Ok(Value::Object(mut found)) = serde_json::to_value(document) {
            found.remove("schema");
            self.about.found = found;
        }
        self
    }

    /// Adds what is not known, and what is.
    pub fn with_questions(mut self, questions: Vec<Question>, known: Facts) -> Self {
        self.about.questions.clone_from(&questions);
        self.about.facts = Some(known.clone());
        self.open = Some(Box::new(Open { questions, known }));
        self
    }

    /// Adds the command that answers its questions.
    pub fn with_command(mut self, command: String) -> Self {
        self.about.command = Some(command);
        self
    }

    /// Adds everything that keeps a plan from being made.
    pub fn with_problems(mut self, problems: Vec<Problem>) -> Self {
        self.about.problems = problems;
        self
    }

    /// Adds the lines of a batch's file that are not jobs.
    pub fn with_bad_lines(mut self, lines: Vec<BadLine>) -> Self {
        self.about.bad_lines = lines;
        self
    }

    /// Takes away what has been said already.
    pub fn already_reported(self) -> Self {
        Self { message: String::new(), ..self }
    }

    /// Returns the document of `--json`: `kind`, `message` and what it is about, then what was found before.
    pub fn document(&self) -> ErrorDocument<'_> {
        ErrorDocument {
            kind: self.kind,
            message: &self.message,
            about: &self.about,
            error: ErrorSummary { message: &self.message, exit_code: self.kind.exit_code() },
        }
    }
}
