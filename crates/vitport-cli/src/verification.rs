//! Comparing a folder with its source, and what follows from the report; `convert` and `verify` have it in common.

use std::path::{Path, PathBuf};

use vitport::convert::Prepared;
use vitport::folder::publish::Staging;
use vitport::verify::{Hashing, Picture, Report, Verdict, weigh_hashed};

use crate::arguments::{HubOptions, VerifyOptions};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::progress;
use crate::report_file::{ReportFile, model_files};
use crate::source::open_picture;

/// Returns the files that a source is read from.
pub fn files_of(prepared: &Prepared) -> Vec<PathBuf> {
    let weights = prepared.source.checkpoint.files().iter().map(|file| file.path.clone());
    weights.chain(model_files(&prepared.source.path)).collect()
}

/// A report and the picture that it is about.
pub struct Verified {
    /// The report.
    pub report: Report,
    picture: Picture,
}

impl Verified {
    /// Writes the report's file, if one is asked for.
    pub fn write(&self, file: Option<&ReportFile>, staging: Option<&Staging>) -> Result<(), Failure> {
        file.map_or(Ok(()), |file| file.write(&self.report, &self.picture, staging))
    }
}

/// Compares a folder with its source, whose files are being hashed.
pub fn verify_folder(
    prepared: &Prepared,
    folder: &Path,
    picture: Picture,
    hashing: Hashing,
    output: &Output,
) -> Result<Verified, Failure> {
    let spinner = progress::spinner("running both networks", output);
    let report = weigh_hashed(prepared, folder, &picture, hashing);
    spinner.finish_and_clear();
    Ok(Verified { report: report?, picture })
}

/// Opens the picture that both networks are run on.
pub fn picture(options: &VerifyOptions, hub: &HubOptions, output: &Output) -> Result<Picture, Failure> {
    match &options.image {
        Some(image) => open_picture(image, hub, output),
        None => Ok(Picture::built_in()?),
    }
}

/// Checks the place for the report, if one is asked for. `read` are the files that it must not overwrite, beside the picture;
/// `out` is the folder that is going to appear.
pub fn report_file(
    options: &VerifyOptions,
    mut read: Vec<PathBuf>,
    out: Option<&Path>,
) -> Result<Option<ReportFile>, Failure> {
    read.extend(options.image.as_ref().map(PathBuf::from));
    options.report.as_ref().map(|path| ReportFile::new(path, &read, out)).transpose()
}

/// Fails if the networks disagree, or deviate in the known way and that is not to be.
pub fn judge(options: &VerifyOptions, report: &Report) -> Result<(), Failure> {
    match report.verdict {
        Verdict::Same => Ok(()),
        Verdict::SameWithKnownDeviation if !options.strict => Ok(()),
        Verdict::SameWithKnownDeviation => {
            let what = report.known_deviation.as_ref().map_or("", |deviation| deviation.what.as_str());
            Err(Failure::new(Kind::Different, format!("{what}; --strict does not allow that")))
        }
        Verdict::Different => Err(Failure::new(
            Kind::Different,
            format!("the folder is not the same model as its source: {}", report.reasons.join("; ")),
        )),
    }
}
