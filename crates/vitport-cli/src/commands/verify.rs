//! `vitport verify`: both networks once more, on a folder that exists; and what `convert` has in common with it.

use std::path::Path;

use vitport::convert::{Prepared, prepare};
use vitport::verify::{Picture, Report, Verdict, page, weigh};

use crate::arguments::{Hub, Verify, Weighing};
use crate::commands::report::say_report;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;
use crate::source::{open, open_picture};

/// Verifies.
pub fn run(arguments: Verify, output: &Output) -> Result<(), Failure> {
    let request = arguments.facts.request()?;
    let source = open(&arguments.source, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let prepared = prepare(source, &request)?;
    let weighed = weigh_folder(&prepared, &arguments.folder, &arguments.weighing, &arguments.hub, output)?;
    arguments.weighing.write_report(&weighed)?;
    if output.is_json() {
        output.document(&weighed.report)?;
    } else {
        say_report(&weighed.report, output)?;
    }
    arguments.weighing.judge(&weighed.report)
}

/// A report and the picture that it is about.
pub struct Weighed {
    /// The report.
    pub report: Report,
    picture: Picture,
}

/// Weighs a folder against its source, as the options ask.
pub fn weigh_folder(
    prepared: &Prepared,
    folder: &Path,
    options: &Weighing,
    hub: &Hub,
    output: &Output,
) -> Result<Weighed, Failure> {
    let picture = match &options.image {
        Some(image) => open_picture(image, hub, output)?,
        None => Picture::built_in()?,
    };
    let spinner = progress::spinner("running both networks", output);
    let report = weigh(prepared, folder, &picture);
    spinner.finish_and_clear();
    Ok(Weighed { report: report?, picture })
}

impl Weighing {
    /// Writes the report's file, if one is asked for.
    pub fn write_report(&self, weighed: &Weighed) -> Result<(), Failure> {
        let Some(path) = &self.report else { return Ok(()) };
        let is_page = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("html"));
        let text = if is_page {
            page::html(&weighed.report, &weighed.picture)
        } else {
            serde_json::to_string_pretty(&weighed.report).map_err(std::io::Error::from)? + "\n"
        };
        std::fs::write(path, text).map_err(|error| Failure::disk(path, &error))
    }

    /// Fails if the networks disagree, or deviate in the known way and that is not to be.
    pub fn judge(&self, report: &Report) -> Result<(), Failure> {
        match report.verdict {
            Verdict::Same => Ok(()),
            Verdict::SameWithKnownDeviation if !self.strict => Ok(()),
            Verdict::SameWithKnownDeviation => {
                let what = report.known_deviation.as_ref().map_or("", |deviation| deviation.what.as_str());
                Err(Failure::disagreement(format!("{what}; --strict does not allow that")))
            }
            Verdict::Different => Err(Failure::disagreement(format!(
                "the folder is not the same model as its source: {}",
                report.reasons.join("; ")
            ))),
        }
    }
}
