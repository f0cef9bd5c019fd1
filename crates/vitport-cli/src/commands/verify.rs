//! `vitport verify`: both networks once more, on a folder that exists; and what `convert` has in common with it.

use std::path::{Path, PathBuf};

use serde_json::json;
use vitport::convert::{Prepared, prepare};
use vitport::folder::publish::Staging;
use vitport::verify::{Hashing, Picture, Report, Verdict, weigh_hashed};

use crate::arguments::{Hub, Verify, Weighing};
use crate::commands::report::say_report;
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;
use crate::report_file::{ReportFile, model_files};
use crate::source::{open, open_picture};

/// Verifies.
pub fn run(arguments: Verify, output: &Output) -> Result<(), Failure> {
    let request = arguments.facts.request()?;
    let source = open(&arguments.source, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let prepared = prepare(source, &request)?;
    let hashing = Hashing::start(&prepared.source.checkpoint)?;
    let mut read = files_of(&prepared);
    read.extend(model_files(&arguments.folder));
    let report_file = arguments.weighing.report_file(read, None)?;
    let picture = arguments.weighing.picture(&arguments.hub, output)?;
    let weighed = weigh_folder(&prepared, &arguments.folder, picture, hashing, output)?;
    weighed.write(report_file.as_ref(), None)?;
    let judged = arguments.weighing.judge(&weighed.report);
    if output.is_json() {
        return match judged {
            Ok(()) => output.document(&weighed.report),
            Err(failure) => Err(failure.with_document(json!(weighed.report))),
        };
    }
    say_report(&weighed.report, output)?;
    judged
}

/// The files that a source is read from.
pub fn files_of(prepared: &Prepared) -> Vec<PathBuf> {
    let weights = prepared.source.checkpoint.files().iter().map(|file| file.path.clone());
    weights.chain(model_files(&prepared.source.path)).collect()
}

/// A report and the picture that it is about.
pub struct Weighed {
    /// The report.
    pub report: Report,
    picture: Picture,
}

impl Weighed {
    /// Writes the report's file, if one is asked for.
    pub fn write(&self, file: Option<&ReportFile>, staging: Option<&Staging>) -> Result<(), Failure> {
        file.map_or(Ok(()), |file| file.write(&self.report, &self.picture, staging))
    }
}

/// Weighs a folder against its source, whose files are being hashed.
pub fn weigh_folder(
    prepared: &Prepared,
    folder: &Path,
    picture: Picture,
    hashing: Hashing,
    output: &Output,
) -> Result<Weighed, Failure> {
    let spinner = progress::spinner("running both networks", output);
    let report = weigh_hashed(prepared, folder, &picture, hashing);
    spinner.finish_and_clear();
    Ok(Weighed { report: report?, picture })
}

impl Weighing {
    /// The picture that both networks are run on.
    pub fn picture(&self, hub: &Hub, output: &Output) -> Result<Picture, Failure> {
        match &self.image {
            Some(image) => open_picture(image, hub, output),
            None => Ok(Picture::built_in()?),
        }
    }

    /// The place for the report, if one is asked for. `read` are the files that it must not overwrite, beside the picture;
    /// `out` is the folder that is going to appear.
    pub fn report_file(
        &self,
        mut read: Vec<PathBuf>,
        out: Option<&Path>,
    ) -> Result<Option<ReportFile>, Failure> {
        read.extend(self.image.as_ref().map(PathBuf::from));
        self.report.as_ref().map(|path| ReportFile::new(path, &read, out)).transpose()
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
