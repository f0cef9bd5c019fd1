//! Holds what `convert` and `verify` have in common: the image, the report's file, and what a verdict means for the exit code.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use vitport::attestation::Statement;
use vitport::model::Prepared;
use vitport::pipeline::{Acceptance, ConvertedBack, NotAccepted, Request, deviation_names};
use vitport::verify::{Report, TestImage};
use vitport_checkpoint::escape;

use crate::arguments::{FactArguments, HubOptions, VerifyOptions};
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::output_file::is_same_file;
use crate::output_file::{FileKind, OutputFile, model_files};
use crate::source::open_image;
use crate::terminal::json::json_text;

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

/// Holds the places for what is written next to a folder.
pub struct OutputFiles {
    /// Gives that of the report, if one is asked for.
    pub report: Option<OutputFile>,
    /// Gives that of the attestation, if one is asked for.
    pub attestation: Option<OutputFile>,
}

/// Checks the places for what is asked for. `read` are the files that must not be overwritten; `out` is the folder that is going to appear,
/// or is there.
///
/// # Errors
/// Of usage, if a file would overwrite something or stand in its place; of disk, if it cannot be written.
pub fn output_files(
    options: &VerifyOptions,
    read: &[PathBuf],
    out: Option<&Path>,
) -> Result<OutputFiles, Failure> {
    let file = |kind, path: &Option<PathBuf>| {
        path.as_ref().map(|path| OutputFile::new(kind, path, read, out)).transpose()
    };
    if let (Some(report), Some(attestation)) = (&options.report, &options.attest)
        && is_same_file(report, attestation)
    {
        return Err(Failure::usage("--report and --attest name one file; give one of them another place"));
    }
    Ok(OutputFiles {
        report: file(FileKind::Report, &options.report)?,
        attestation: file(FileKind::Attestation, &options.attest)?,
    })
}

impl OutputFiles {
    /// Attests a folder that was compared with its source, if that is asked for.
    ///
    /// # Errors
    /// If a file of the folder cannot be read, or the attestation not be written.
    pub fn attest(&self, prepared: &Prepared, report: &Report, folder: &Path) -> Result<(), Failure> {
        let Some(file) = &self.attestation else { return Ok(()) };
        let statement = Statement::of(prepared, report, folder)?;
        file.write(&(json_text(&statement)? + "\n"))
    }

    /// Attests the folder of a way back that is there, if that is asked for.
    ///
    /// # Errors
    /// If a file of either folder cannot be read, or the attestation not be written.
    pub fn attest_back(&self, converted: &ConvertedBack) -> Result<(), Failure> {
        let (Some(file), Some(report)) = (&self.attestation, &converted.report) else { return Ok(()) };
        let statement = Statement::of_the_way_back(&converted.prepared, report, &converted.out)?;
        file.write(&(json_text(&statement)? + "\n"))
    }
}

/// Returns why a verdict is not accepted: without the reasons that a report above has just listed, where one was shown.
pub fn not_accepted(why: NotAccepted, output: &Printer) -> Failure {
    let what = match &why {
        _ if !output.shows_results() => return why.into(),
        NotAccepted::Different { .. } => "the folder is not the same model as its source",
        NotAccepted::NotComparable { .. } => "the folder cannot be compared with its source",
        _ => return why.into(),
    };
    Failure::new(FailureKind::Different, format!("{what}, for the reasons above"))
}
