//! Makes failures of the library's errors: which kind each is, and which file, tensor or fact it names.

use std::io;

use vitport::attestation::AttestationError;
use vitport::facts::FactError;
use vitport::folder::{FolderError, FolderErrorClass};
#[cfg(feature = "hub")]
use vitport::hub::{HubError, HubErrorClass};
use vitport::labels::LabelError;
use vitport::mapping::{Problem, Problems};
use vitport::pipeline::ConvertError;
use vitport::source::SourceError;
use vitport::verify::VerifyError;
use vitport_checkpoint::{CheckpointError, CheckpointErrorClass, Reason};

use super::{Failure, FailureKind};

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let kind = match (&error, error.class(), error.reason()) {
            (CheckpointError::Io { source, .. }, ..) if source.kind() == io::ErrorKind::PermissionDenied => {
                FailureKind::Unreadable
            }
            (_, CheckpointErrorClass::Dangerous, _) => FailureKind::Dangerous,
            (_, CheckpointErrorClass::Io, _) => FailureKind::Io,
            (_, CheckpointErrorClass::Misuse, _) => FailureKind::Bug,
            (_, CheckpointErrorClass::NotFound, _) => FailureKind::Unreadable,
            (_, _, Some(reason)) if is_damage(reason) => FailureKind::Unreadable,
            _ => FailureKind::Refused,
        };
        let failure = match (kind, error.reason()) {
            (FailureKind::Dangerous, _) => Self::new(
                kind,
                format!(
                    "{error} (vitport runs nothing; --allow-dangerous-pickle takes the tensors all the same)"
                ),
            ),
            (_, Some(Reason::Limit)) => {
                Self::new(kind, format!("{error} (the options are under Limits in --help)"))
            }
            _ => Self::new(kind, &error),
        };
        match error {
            CheckpointError::NotFound { path }
            | CheckpointError::Io { path, .. }
            | CheckpointError::Refused { path, .. }
            | CheckpointError::Dangerous { path, .. } => failure.in_file(path.display().to_string()),
            CheckpointError::Misuse { tensor, .. } => failure.in_tensor(tensor),
            _ => failure,
        }
    }
}

/// Returns whether a file is damaged or unknown, rather than not accepted.
fn is_damage(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Truncated | Reason::Malformed | Reason::Checksum | Reason::Changed | Reason::UnknownFormat
    )
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let message = error.to_string();
        match error {
            SourceError::Checkpoint(error) => error.into(),
            SourceError::AlreadyConverted { path, .. } => {
                Self::new(FailureKind::Contradiction, message).in_file(path.display().to_string())
            }
            SourceError::Config { path, .. } => {
                Self::new(FailureKind::Unreadable, message).in_file(path.display().to_string())
            }
            _ => Self::new(FailureKind::Refused, message),
        }
    }
}

#[cfg(feature = "hub")]
impl From<vitport::hub::HubError> for Failure {
    fn from(error: HubError) -> Self {
        let kind = match (&error, error.class()) {
            (HubError::Disk { .. } | HubError::DiskFull { .. }, _) => FailureKind::Io,
            (_, HubErrorClass::Usage) => FailureKind::Usage,
            (_, HubErrorClass::Refused) => FailureKind::Refused,
            (_, HubErrorClass::Transfer) => FailureKind::Network,
        };
        Self::new(kind, error)
    }
}

impl From<FactError> for Failure {
    fn from(error: FactError) -> Self {
        let message = error.to_string();
        match error {
            FactError::Unknown { file, .. } => {
                Self::new(FailureKind::UnknownArchitecture, message).in_file(file)
            }
            FactError::NoTarget { tensor, .. } => {
                let failure = Self::new(FailureKind::NoTarget, message);
                match tensor {
                    Some(tensor) => failure.in_tensor(tensor),
                    None => failure,
                }
            }
            FactError::UnknownName { .. } => {
                Self::new(FailureKind::UnknownArchitecture, message).about_fact("architecture")
            }
            FactError::Questions { open, known } => {
                Self::new(FailureKind::Question, message).with_questions(open, known)
            }
            FactError::Contradiction(contradiction) => {
                Self::new(FailureKind::Contradiction, message).about_fact(contradiction.about)
            }
            FactError::Misshapen { tensor, .. } => Self::new(FailureKind::Refused, message).in_tensor(tensor),
            FactError::Limit { .. } | FactError::Impossible { .. } => {
                Self::new(FailureKind::Refused, message)
            }
            FactError::Config { path, .. } => {
                Self::new(FailureKind::Unreadable, message).in_file(path.display().to_string())
            }
            _ => Self::new(FailureKind::UnknownArchitecture, message),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let kind = match error.class() {
            FolderErrorClass::Usage => FailureKind::Usage,
            FolderErrorClass::Source => FailureKind::Unreadable,
            FolderErrorClass::Disk => FailureKind::Io,
            FolderErrorClass::Bug => FailureKind::Bug,
        };
        let message = error.to_string();
        match error {
            FolderError::Source(error) => error.into(),
            FolderError::Unreadable { path, .. } | FolderError::Disk { path, .. } => {
                Self::new(kind, message).in_file(path.display().to_string())
            }
            FolderError::NotCastable { tensor, .. }
            | FolderError::Overflow { tensor, .. }
            | FolderError::Plan { tensor, .. } => Self::new(kind, message).in_tensor(tensor),
            _ => Self::new(kind, message),
        }
    }
}

impl From<ConvertError> for Failure {
    fn from(error: ConvertError) -> Self {
        let message = error.to_string();
        match error {
            ConvertError::Source(error) => error.into(),
            ConvertError::Facts(error) => error.into(),
            ConvertError::Folder(error) => error.into(),
            ConvertError::Processor(_) => {
                Self::new(FailureKind::NoTarget, message).about_fact("preprocessing")
            }
            ConvertError::Labels(LabelError::Count { .. }) => {
                Self::new(FailureKind::Contradiction, message).about_fact("labels")
            }
            ConvertError::Labels(_) => Self::usage(message).about_fact("labels"),
            ConvertError::Mapping(_) => Self::usage(message),
            ConvertError::Unaccounted { file, problems } => {
                Self::new(kind_of(&problems), format!("{message}{}", way_out(&problems)))
                    .in_file(file)
                    .with_problems(problems.list)
            }
            _ => Self::new(FailureKind::Bug, message),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let message = error.to_string();
        match error {
            VerifyError::Folder(error) => error.into(),
            VerifyError::NotVerified(error) => {
                let about = Self::from(error);
                Self { kind: FailureKind::Different, message, ..about }
            }
            VerifyError::NotRunnable { folder, .. } => {
                Self::new(FailureKind::UnknownArchitecture, message).in_file(folder)
            }
            VerifyError::Hash { path, .. } => Self::new(FailureKind::Io, message).in_file(path),
            VerifyError::ImageFile { path, .. } => Self::new(FailureKind::Unreadable, message).in_file(path),
            _ => Self::new(FailureKind::Refused, message),
        }
    }
}

impl From<AttestationError> for Failure {
    fn from(error: AttestationError) -> Self {
        let message = error.to_string();
        let (kind, path) = match error {
            AttestationError::Unreadable { path, .. } => (FailureKind::Unreadable, path),
            AttestationError::NotOne { path, .. } => (FailureKind::Refused, path),
            _ => return Self::new(FailureKind::Bug, message),
        };
        Self::new(kind, message).in_file(path.display().to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let advice = "give it a place that takes what is written";
        Self::new(FailureKind::Io, format!("standard output: {error}; {advice}"))
    }
}

/// Returns what problems mean: tensors that nothing knows are another architecture, tensors that are missing or misshapen a
/// damaged file.
fn kind_of(problems: &Problems) -> FailureKind {
    let is_unknown =
        |problem: &Problem| matches!(problem, Problem::Unmapped { .. } | Problem::NotInTarget { .. });
    let is_rule = |problem: &Problem| matches!(problem, Problem::Rule { .. });
    if problems.list.iter().any(is_rule) {
        FailureKind::Usage
    } else if problems.list.iter().any(is_unknown) {
        FailureKind::UnknownArchitecture
    } else {
        FailureKind::Refused
    }
}

/// Returns what to do about tensors that no rule uses.
fn way_out(problems: &Problems) -> &'static str {
    if problems.list.iter().any(|problem| matches!(problem, Problem::Unmapped { .. })) {
        "; what is not a part of the network can be left out by --drop GLOB, or by a rule: `vitport plan --print-mapping` prints \
         the mapping, --mapping takes a changed one"
    } else {
        ""
    }
}
