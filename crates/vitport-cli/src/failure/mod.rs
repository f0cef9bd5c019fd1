//! Why the command failed: one line for people, one number for scripts.
//!
//! Exit codes: 2 usage · 3 the file is refused or unreadable · 4 the architecture is unknown or has no target · 5 the two
//! networks disagree · 6 disk or network · 1 anything else, a bug.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use vitport::convert::ConvertError;
use vitport::folder;
use vitport::identify::IdentifyError;
use vitport::rules::{Problem, Problems};
use vitport::source::SourceError;
use vitport::verify::VerifyError;
use vitport_checkpoint::{Class, Error as CheckpointError, Reason, escape};

/// A bug of vitport's.
const BUG: u8 = 1;
/// The command line asks for what cannot be done.
pub const USAGE: u8 = 2;
/// The file is refused or unreadable.
const REFUSED: u8 = 3;
/// The architecture is unknown or has no target.
const UNKNOWN: u8 = 4;
/// The two networks disagree.
const DISAGREEMENT: u8 = 5;
/// Disk or network.
pub const DISK: u8 = 6;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// One line; empty if it has been said already.
    pub message: String,
    /// What the process exits with.
    pub code: u8,
    /// With `--json`, the fields of the document that the error stands beside: what was found before.
    pub document: Map<String, Value>,
}

impl Failure {
    fn new(message: impl Display, code: u8) -> Self {
        Self { message: message.to_string(), code, document: Map::new() }
    }

    /// The command line asks for what cannot be done.
    pub fn usage(message: impl Display) -> Self {
        Self::new(message, USAGE)
    }

    /// A bug of vitport's.
    pub fn bug(message: impl Display) -> Self {
        Self::new(message, BUG)
    }

    /// A failure that stands for others.
    pub fn of_code(message: impl Display, code: u8) -> Self {
        Self::new(message, code)
    }

    /// The two networks disagree.
    pub fn disagreement(message: impl Display) -> Self {
        Self::new(message, DISAGREEMENT)
    }

    /// A file that cannot be written.
    pub fn disk(path: &Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        Self::new(format!("{}: {error}; give a place that can be written", escape(&path)), DISK)
    }

    /// The same failure with what was found before it.
    pub fn with_document(self, document: Value) -> Self {
        match document {
            Value::Object(document) => Self { document, ..self },
            _ => self,
        }
    }

    /// The same failure with nothing left to say.
    pub fn already_reported(self) -> Self {
        Self { message: String::new(), ..self }
    }

    /// A name that no table has.
    pub fn unknown(message: impl Display) -> Self {
        Self::new(message, UNKNOWN)
    }
}

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let code = match (&error, error.class()) {
            (CheckpointError::Io { source, .. }, _) if source.kind() == io::ErrorKind::PermissionDenied => {
                REFUSED
            }
            (_, Class::Io) => DISK,
            (_, Class::Misuse) => BUG,
            _ => REFUSED,
        };
        match error.reason() {
            Some(Reason::Limit) => {
                Self::new(format!("{error} (the options are under Limits in --help)"), code)
            }
            _ => Self::new(error, code),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Checkpoint(error) => error.into(),
            SourceError::AlreadyConverted { .. } => Self::new(error, UNKNOWN),
            _ => Self::new(error, REFUSED),
        }
    }
}

#[cfg(feature = "hub")]
impl From<vitport::hub::Error> for Failure {
    fn from(error: vitport::hub::Error) -> Self {
        let code = match error.class() {
            vitport::hub::ErrorClass::Usage => USAGE,
            vitport::hub::ErrorClass::Refused => REFUSED,
            vitport::hub::ErrorClass::Transfer => DISK,
        };
        Self::new(error, code)
    }
}

impl From<IdentifyError> for Failure {
    fn from(error: IdentifyError) -> Self {
        let code = match &error {
            IdentifyError::Misshapen { .. } => REFUSED,
            error if error.is_usage() => USAGE,
            _ => UNKNOWN,
        };
        Self::new(error, code)
    }
}

impl From<folder::Error> for Failure {
    fn from(error: folder::Error) -> Self {
        let code = match error.class() {
            folder::Class::Usage => USAGE,
            folder::Class::Source => REFUSED,
            folder::Class::Disk => DISK,
            folder::Class::Bug => BUG,
        };
        match error {
            folder::Error::Source(error) => error.into(),
            error => Self::new(error, code),
        }
    }
}

impl From<ConvertError> for Failure {
    fn from(error: ConvertError) -> Self {
        match error {
            ConvertError::Source(error) => error.into(),
            ConvertError::Identify(error) => error.into(),
            ConvertError::Folder(error) => error.into(),
            ConvertError::Rules(error) => Self::usage(error),
            ConvertError::Unaccounted { ref problems, .. } => {
                let code = code_of(problems);
                let document = json!({ "problems": problems.list });
                Self::new(format!("{error}{}", way_out(problems)), code).with_document(document)
            }
            error => Self::new(error, BUG),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Folder(error) => error.into(),
            VerifyError::NotRunnable { .. } => Self::new(error, UNKNOWN),
            VerifyError::Hash { .. } => Self::new(error, DISK),
            _ => Self::new(error, REFUSED),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(format!("standard output: {error}; give it a place that takes what is written"), DISK)
    }
}

/// Tensors that nothing knows are another architecture; tensors that are missing or misshapen are a damaged file.
fn code_of(problems: &Problems) -> u8 {
    let is_unknown =
        |problem: &Problem| matches!(problem, Problem::Unmapped { .. } | Problem::NotInTarget { .. });
    let is_rule = |problem: &Problem| matches!(problem, Problem::Rule { .. });
    if problems.list.iter().any(is_rule) {
        USAGE
    } else if problems.list.iter().any(is_unknown) {
        UNKNOWN
    } else {
        REFUSED
    }
}

/// What to do about tensors that no rule uses.
fn way_out(problems: &Problems) -> &'static str {
    if problems.list.iter().any(|problem| matches!(problem, Problem::Unmapped { .. })) {
        "; what is no part of the network can be left out by a rule: `vitport plan --print-rules` prints the rules, \
         --rules takes changed ones"
    } else {
        ""
    }
}

/// What the process exits with after a panic, of which a line has told.
pub fn of_bug() -> ExitCode {
    ExitCode::from(BUG)
}

/// What clap says is wrong with arguments, as one line.
pub fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let said = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let said = said.trim_end_matches("For more information, try '--help'.").trim();
    escape(said.trim_start_matches("error: ")).to_string()
}
