//! Holds what `convert` and `verify` have in common: the image, the report's file, and what a verdict means for the exit code.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use vitport::model::Prepared;
use vitport::pipeline::{Acceptance, NotAccepted, Request, deviation_names};
use vitport::verify::TestImage;
use vitport_checkpoint::escape;

use crate::arguments::{FactArguments, HubOptions, VerifyOptions};
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::report_file::{ReportFile, model_files};
use crate::source::open_image;

impl From<NotAccepted> for Failure {
    fn from(why: NotAccepted) -> Self {
        Failure::new(FailureKind::Different, why)
    }
}

/// Returns which verdicts are accepted.
///
/// # Errors
/// Of usage, if `--allow` names a deviation that is not known.
pub fn acceptance<'a>(options: &'a VerifyOptions, request: &Request) -> Result<Acceptance<'a>, Failure> {
    let known = deviation_names(request);
    if let Some(name) = options.allow.iter().find(|name| !known.contains(*name)) {
        let known: Vec<String> = known.iter().map(|name| escape(name).to_string()).collect();
        return Err(Failure::usage(format!(
            "--allow {}: no deviation has this name; the known ones are {}",
            escape(name),
            known.join(", ")
        )));
    }
    Ok(Acceptance { strict: options.strict, allow: &options.allow })
}

/// Returns the files that a source is read from.
pub fn files_of(prepared: &Prepared) -> Vec<PathBuf> {
    let source = &prepared.source;
    let of_adapter = source.adapter.iter().flat_map(|adapter| adapter.checkpoint.files());
    let weights = source.checkpoint.files().iter().chain(of_adapter).map(|file| file.path.clone());
    weights.chain(model_files(&source.path)).collect()
}

/// Returns the files that arguments name and that are read, as far as they are there: the source, labels, a mapping, an image.
pub fn named_files(source: &OsStr, facts: &FactArguments, verification: &VerifyOptions) -> Vec<PathBuf> {
    let source = PathBuf::from(source);
    let labels = facts.labels.as_ref().map(PathBuf::from);
    let image = verification.image.as_ref().map(PathBuf::from);
    let mut files = model_files(&source);
    files.extend(
        [Some(source), labels, facts.mapping.clone(), facts.adapter.clone(), image].into_iter().flatten(),
    );
    files.retain(|path| path.is_file());
    files
}

/// Opens the image that both networks are run on.
pub fn image(options: &VerifyOptions, hub: &HubOptions, output: &Printer) -> Result<TestImage, Failure> {
    match &options.image {
        Some(image) => open_image(image, hub, output),
        None => Ok(TestImage::built_in()?),
    }
}

/// Checks the place for the report, if one is asked for. `read` are the files that it must not overwrite; `out` is the folder that is going to appear.
pub fn report_file(
    options: &VerifyOptions,
    read: &[PathBuf],
    out: Option<&Path>,
) -> Result<Option<ReportFile>, Failure> {
    options.report.as_ref().map(|path| ReportFile::new(path, read, out)).transpose()
}
