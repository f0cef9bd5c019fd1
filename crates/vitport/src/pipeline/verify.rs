//! Verifying a folder that is there, and which verdicts are accepted.

use std::path::Path;

use crate::model::Prepared;
use crate::verify::{Hashing, Report, TestImage, Verdict, VerifyError, compare};

/// Says which verdicts are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Acceptance {
    /// Says whether a known deviation is a failure.
    pub strict: bool,
}

/// Says why a verdict is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAccepted {
    /// Means that the two networks, or facts, disagree.
    #[error("the folder is not the same model as its source: {}", .reasons.join("; "))]
    Different {
        /// Lists one sentence each.
        reasons: Vec<String>,
    },
    /// Means that there is a known deviation, and none is accepted.
    #[error("{what}; --strict does not allow that")]
    Deviation {
        /// Says what deviates.
        what: String,
    },
}

impl Acceptance {
    /// Returns whether a report's verdict is accepted.
    ///
    /// # Errors
    /// Returns why it is not.
    pub fn of(self, report: &Report) -> Result<(), NotAccepted> {
        match report.verdict {
            Verdict::Same => Ok(()),
            Verdict::SameWithKnownDeviation if !self.strict => Ok(()),
            Verdict::SameWithKnownDeviation => {
                let what = report.known_deviation.as_ref().map_or("", |deviation| deviation.what.as_str());
                Err(NotAccepted::Deviation { what: what.to_owned() })
            }
            Verdict::Different => Err(NotAccepted::Different { reasons: report.reasons.clone() }),
        }
    }
}

/// Compares a folder with its source in everything: weights, config, image processor, and both networks layer by layer on an
/// image.
///
/// # Errors
/// Returns [`VerifyError`] if a file cannot be read or the source's network cannot be run. Disagreement is not an error but a
/// verdict.
pub fn verify(prepared: &Prepared, folder: &Path, image: &TestImage) -> Result<Report, VerifyError> {
    compare(prepared, folder, image, Hashing::start(&prepared.source.checkpoint)?)
}
