//! What a batch says of its jobs: the document of `--json`, and a line of the results for each job.

use schemars::JsonSchema;
use serde::Serialize;
use vitport::facts::Assumption;
use vitport::verify::Verdict;

use crate::document::Document;
use crate::failure::{Failure, FailureKind};

/// Describes what came of `vitport batch`, job by job.
#[derive(Serialize, JsonSchema)]
pub struct BatchDocument {
    /// Names the file of results.
    pub results: String,
    /// Counts the jobs that were done.
    pub done: usize,
    /// Counts the jobs that an earlier run had done.
    pub skipped: usize,
    /// Counts the jobs that failed.
    pub failed: usize,
    /// Lists the jobs, in the order of their lines.
    pub jobs: Vec<JobDocument>,
}

impl Document for BatchDocument {
    const SCHEMA: &'static str = "vitport/batch/2";
}

/// Describes what came of a job.
#[derive(Debug, Serialize, JsonSchema)]
pub struct JobDocument {
    /// Gives its line in the jobs file, from 1.
    pub line: usize,
    /// Gives its source, as the line has it.
    pub source: String,
    /// Gives its folder, as an absolute path.
    pub out: String,
    /// Gives what `convert` would have exited with.
    pub exit_code: u8,
    /// Says how long it took.
    pub seconds: f64,
    /// Says how it ended.
    #[serde(flatten)]
    pub end: End,
}

/// Says how a job ended.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum End {
    /// Means that its folder is there.
    Done {
        /// Names the class of transformers that opens it.
        class: String,
        /// Gives the verdict; null if the networks were not run.
        verdict: Option<Verdict>,
        /// Gives the verdict in words; null if the networks were not run.
        headline: Option<String>,
        /// Lists what the verdict rests on that the source does not say.
        assumptions: Vec<Assumption>,
        /// Says what is unusual about the source, a sentence each.
        warnings: Vec<String>,
    },
    /// Means that an earlier run had done it, and nothing has changed since.
    Skipped,
    /// Means that it failed.
    Failed {
        /// Says why.
        error: String,
        /// Says what kind of error it is.
        kind: FailureKind,
    },
}

impl End {
    /// Returns how a job ended that failed.
    pub fn failed(failure: Failure) -> Self {
        Self::Failed { error: failure.message, kind: failure.kind }
    }

    /// Returns the kind of a job's error, if it failed.
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            Self::Failed { kind, .. } => Some(*kind),
            Self::Done { .. } | Self::Skipped => None,
        }
    }
}
