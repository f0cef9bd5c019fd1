//! Runs `vitport verify`: both networks once more, on a folder that exists.

use vitport::pipeline;
use vitport::verify::page;

use crate::arguments::VerifyArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::progress;
use crate::report_file::model_files;
use crate::request::request;
use crate::show::report::say_report;
use crate::source::{open, with_adapter};
use crate::verification::{self, files_of};

/// Verifies.
pub fn run(arguments: VerifyArguments, output: &Printer) -> Result<(), Failure> {
    let mut read = verification::named_files(&arguments.source, &arguments.facts, &arguments.verification);
    read.extend(model_files(&arguments.folder));
    verification::report_file(&arguments.verification, &read, None)?;
    let adapter = arguments.facts.adapter.clone();
    let request = request(arguments.facts)?;
    let acceptance = verification::acceptance(&arguments.verification, &request)?;
    let source = open(&arguments.source, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let source = with_adapter(source, adapter.as_deref(), &request.limits, output)?;
    let prepared = pipeline::plan_for(source, &request, &arguments.folder)?;
    read.extend(files_of(&prepared));
    let report_file = verification::report_file(&arguments.verification, &read, None)?;
    let image = verification::image(&arguments.verification, &arguments.hub, output)?;
    let spinner = progress::spinner("running both networks", output);
    let report = pipeline::verify(&prepared, &arguments.folder, &image);
    spinner.finish_and_clear();
    let report = report?;
    output.page(|| page::html(&report, &image));
    if let Some(file) = report_file {
        file.write(&report, &image, None)?;
    }
    let accepted = acceptance.of(&report).map_err(Failure::from);
    if output.is_json() {
        return match accepted {
            Ok(()) => output.report(&report),
            Err(failure) => Err(failure.with_document(&report)),
        };
    }
    say_report(&report, output)?;
    accepted
}
