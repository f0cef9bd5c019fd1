//! Why a file could not be opened or read, in one line, with what to do next.
//!
//! A [`CheckpointError`] names the file; a [`Refusal`] is the part that says what in the file is wrong. Text that
//! comes from the file is escaped before it gets here. [`CheckpointErrorClass`] tells a program which kind of trouble it
//! is without reading the sentence.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::escape::escape;

/// Describes what went wrong while a checkpoint was opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Means that there is no such file or folder.
    #[error("{}: there is no such file or folder; check the path", Shown(path))]
    NotFound {
        /// Holds the path that was looked for.
        path: PathBuf,
    },
    /// Means that the operating system could not open or read the file.
    #[error("{}: {source}; check that the file is readable and the disk is sound", Shown(path))]
    Io {
        /// Holds the file.
        path: PathBuf,
        /// Says what the operating system said.
        source: io::Error,
    },
    /// Means that the file's contents are refused.
    #[error("{}: {refusal}", Shown(path))]
    Refused {
        /// Holds the file.
        path: PathBuf,
        /// Says what in it, and why.
        refusal: Refusal,
    },
    /// Reports a pickle that would make a dangerous call in Python.
    #[error(
        "{}: loading this file in Python would run {call}; do not load it, get the weights from a source that you trust",
        Shown(path)
    )]
    Dangerous {
        /// Holds the file.
        path: PathBuf,
        /// Holds the call, as Python would write it, already escaped.
        call: String,
    },
    /// Means that a call asked for something that is not in the checkpoint; a mistake of the calling program.
    #[error("tensor '{}': {why}; this is a mistake in the program, please report it", escape(tensor))]
    Misuse {
        /// Holds the tensor that was asked for.
        tensor: String,
        /// Says what does not fit.
        why: &'static str,
    },
}

/// Describes the kinds of trouble that a program may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointErrorClass {
    /// Means that the contents are refused: damaged, hostile, ambiguous or of an unknown format.
    Refused,
    /// Means that a pickle would make a dangerous call in Python.
    Dangerous,
    /// Means that the path does not exist.
    NotFound,
    /// Means that the disk or the operating system failed.
    Io,
    /// Means that the calling program made a mistake.
    Misuse,
}

impl CheckpointError {
    /// Returns which kind of trouble this is.
    #[must_use]
    pub fn class(&self) -> CheckpointErrorClass {
        match self {
            Self::NotFound { .. } => CheckpointErrorClass::NotFound,
            Self::Io { .. } => CheckpointErrorClass::Io,
            Self::Refused { .. } => CheckpointErrorClass::Refused,
            Self::Dangerous { .. } => CheckpointErrorClass::Dangerous,
            Self::Misuse { .. } => CheckpointErrorClass::Misuse,
        }
    }

    /// Returns why the contents were refused, when that is what happened.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.reason),
            _ => None,
        }
    }
}

/// Describes what in a file is refused, and why. Displays as one line that ends with what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Holds the kind of refusal.
    pub reason: Reason,
    /// Says what and where, already escaped.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.detail, self.reason.advice())
    }
}

/// Describes the kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Means that something reaches beyond the end of the file.
    Truncated,
    /// Means that the bytes do not follow the format.
    Malformed,
    /// Means that two places of the file say different things, or one thing is said twice: readers would disagree on
    /// what the file holds, which is how scanners are bypassed.
    Contradiction,
    /// Means that a checksum does not match its bytes.
    Checksum,
    /// Means that somebody wrote to the file while it was read.
    Changed,
    /// Means that the file asks for more than [`Limits`](crate::Limits) allows.
    Limit,
    /// Means that the contents are understood but this reader does not hold such values.
    Unsupported,
    /// Means that the weights lie in parts, which another program puts together.
    InParts,
    /// Means that a shard of an index lies outside its folder, or is missing.
    Shard,
    /// Means that the file, or the part that was asked for, holds no tensors.
    NoTensors,
    /// Means that several files or several nested parts could be meant.
    Ambiguous,
    /// Means that the file is none of the formats this reader knows.
    UnknownFormat,
}

impl Reason {
    /// Returns what the reader of the message can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Truncated => "the download or copy is probably incomplete, fetch the file again",
            Self::Malformed => {
                "the file is damaged or not what it claims to be, fetch it again from its source"
            }
            Self::Contradiction => {
                "such a file can show different contents to different readers, do not trust it"
            }
            Self::Checksum => "the file is damaged, fetch it again from its source",
            Self::Changed => "try again once nothing writes to it",
            Self::Limit => "if you trust the file, raise that limit",
            Self::Unsupported => "save the weights again in a plain form, as a state dict or as safetensors",
            Self::InParts => "give the file that it writes",
            Self::Shard => "fetch all shards of the model into the folder of its index",
            Self::NoTensors => "check that this is the file that holds the weights",
            Self::Ambiguous => "say which one is meant",
            Self::UnknownFormat => {
                "known are PyTorch files (.pth .pt .bin), .safetensors, their index files and .npz"
            }
        }
    }
}

/// Describes a path, escaped for a message.
struct Shown<'a>(&'a Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(&self.0.to_string_lossy()))
    }
}

/// Describes an error that does not know its file yet: what the parsers return.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Means that the contents are refused.
    Refused(Box<Refusal>),
    /// Means that the pickle would make this call.
    Dangerous(String),
    /// Means that the read itself failed.
    Io(io::Error),
}

impl Fault {
    /// Names the file.
    pub(crate) fn in_file(self, path: &Path) -> CheckpointError {
        let path = path.to_path_buf();
        match self {
            Self::Refused(refusal) => CheckpointError::Refused { path, refusal: *refusal },
            Self::Dangerous(call) => CheckpointError::Dangerous { path, call },
            Self::Io(source) => CheckpointError::Io { path, source },
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes a refusal as an `Err`.
pub(crate) fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Fault> {
    Err(Refusal::new(reason, detail).into())
}
