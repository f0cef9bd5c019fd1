//! Tests whether two networks are the same model: faults that must be seen, and noise that must not.

mod bias_by_stage;
mod cast;
mod control;
mod convert;
mod kin;
mod loading;
mod quiet;

use vitport::verify::{Report, Verdict};

/// Asserts that a report's verdict is "same", but for crops that are rounded otherwise on one of the images made of the test image.
pub fn assert_same_but_for_crops(name: &str, report: &Report) {
    let known = report.known_deviation.as_ref();
    let crops = known.is_none_or(|known| known.name == "crop-rounding" && !known.shows_in_outputs());
    let verdict = if known.is_some() { Verdict::SameWithKnownDeviation } else { Verdict::Same };
    assert!(crops && report.verdict == verdict, "{name}: {}: {:?}", report.headline, report.reasons);
}
