//! A report as one self-contained page.

use super::{Picture, Report};

/// The page.
pub fn html(report: &Report, picture: &Picture) -> String {
    format!("<!doctype html><title>{}</title>{}", report.verdict.text(), picture.report.name)
}
