//! Runs `vitport verify`: both networks once more, on a folder that exists; or with `--attestation` the hashes of its files, and no
//! network.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use vitport::attestation::{AttestationCheck, check};
use vitport::pipeline;
use vitport::verify::{Report, page};
use vitport_checkpoint::escape;

use crate::arguments::VerifyArguments;
use crate::document::Document;
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::output_file::model_files;
use crate::progress;
use crate::request::request;
use crate::show::report::say_report;
use crate::source::{open, with_adapter};
use crate::terminal::style::{GREEN, RED};
use crate::verification::{self, files_of, not_accepted};

/// Verifies.
pub fn run(arguments: VerifyArguments, output: &Printer) -> Result<(), Failure> {
    match (&arguments.attestation, arguments.folder.clone()) {
        (Some(attestation), None) => check_hashes(attestation, Path::new(&arguments.source), output),
        (None, Some(folder)) => compare(arguments, &folder, output),
        _ => Err(Failure::usage("verify takes SOURCE and FOLDER, or --attestation FILE and FOLDER")),
    }
}

fn compare(arguments: VerifyArguments, folder: &Path, output: &Printer) -> Result<(), Failure> {
    let mut read = verification::named_files(&arguments.source, &arguments.facts, &arguments.verification);
    read.extend(model_files(folder));
    // An attestation in the folder would be one of the files that it attests.
    let out = arguments.verification.attest.as_ref().map(|_| folder);
    let places = |read: &[PathBuf]| verification::output_files(&arguments.verification, read, out);
    places(&read)?;
    let adapter = arguments.facts.adapter.clone();
    let request = request(arguments.facts)?;
    let acceptance = verification::acceptance(&arguments.verification, &request)?;
    let source = open(&arguments.source, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let source = with_adapter(source, adapter.as_deref(), &request.limits, output)?;
    let prepared = pipeline::plan_for(source, &request, folder)?;
    read.extend(files_of(&prepared));
    let files = places(&read)?;
    let image = verification::image(&arguments.verification, &arguments.hub, output)?;
    let spinner = progress::spinner("opening the folder", output);
    let report =
        pipeline::verify_watched(&prepared, folder, &image, &|step| spinner.set_message(step.to_string()));
    spinner.finish_and_clear();
    let report = Report { run: Some(output.run()), ..report? };
    output.page(|| page::html(&report, &image));
    if let Some(file) = &files.report {
        file.write_report(&report, &image, None)?;
    }
    let accepted = acceptance.of(&report);
    if accepted.is_ok() {
        files.attest(&prepared, &report, folder)?;
    }
    let accepted = accepted.map_err(|why| not_accepted(why, output));
    if output.is_json() {
        return match accepted {
            Ok(()) => output.report(&report),
            Err(failure) => Err(failure.with_document(&report)),
        };
    }
    say_report(&report, output)?;
    accepted
}

/// Describes how a folder compares with its attestation: `vitport verify --attestation`.
#[derive(Serialize, JsonSchema)]
pub struct AttestationDocument {
    /// Names the attestation's file.
    attestation: String,
    /// Names the folder.
    folder: String,
    #[serde(flatten)]
    check: AttestationCheck,
}

impl Document for AttestationDocument {
    const SCHEMA: &'static str = "vitport/attestation/2";
}

fn check_hashes(attestation: &Path, folder: &Path, output: &Printer) -> Result<(), Failure> {
    let check = check(attestation, folder)?;
    let document = AttestationDocument {
        attestation: attestation.display().to_string(),
        folder: folder.display().to_string(),
        check,
    };
    let AttestationCheck { agrees, same, changed, missing, extra, vitport, headline } = &document.check;
    if *agrees {
        let count = same.len();
        let files = if count == 1 { "1 file is".to_owned() } else { format!("{count} files are") };
        output.say(format!(
            "{GREEN}✓ {files} as attested{GREEN:#} by vitport {}: {}",
            escape(vitport),
            escape(headline)
        ))?;
        return if output.is_json() { output.document(&document) } else { Ok(()) };
    }
    let kinds = [("changed", changed), ("missing", missing), ("extra", extra)];
    let mut counts = Vec::new();
    for (kind, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
        for name in names {
            output.say(format!("{RED}{kind}{RED:#}  {}", escape(name)))?;
        }
        // Where the names are listed above, they are not said again.
        counts.push(match output.shows_results() {
            true => format!("{} {kind}", names.len()),
            false => format!("{} {kind} ({})", names.len(), names.join(", ")),
        });
    }
    let shown = folder.display().to_string();
    let message =
        format!("{}: the files are not those that were attested: {}", escape(&shown), counts.join("; "));
    Err(Failure::new(FailureKind::Different, message).in_file(shown.clone()).with_document(&document))
}
