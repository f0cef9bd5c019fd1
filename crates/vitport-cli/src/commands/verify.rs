//! `vitport verify`: both networks once more, on a folder that exists.

use serde_json::json;
use vitport::convert::prepare;
use vitport::verify::Hashing;

use crate::arguments::Verify;
use crate::failure::Failure;
use crate::output::Output;
use crate::report_file::model_files;
use crate::request::request;
use crate::show::report::say_report;
use crate::source::open;
use crate::verification::{self, files_of, verify_folder};

/// Verifies.
pub fn run(arguments: Verify, output: &Output) -> Result<(), Failure> {
    let request = request(arguments.facts)?;
    let source = open(&arguments.source, &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let prepared = prepare(source, &request)?;
    let hashing = Hashing::start(&prepared.source.checkpoint)?;
    let mut read = files_of(&prepared);
    read.extend(model_files(&arguments.folder));
    let report_file = verification::report_file(&arguments.verification, read, None)?;
    let picture = verification::picture(&arguments.verification, &arguments.hub, output)?;
    let verified = verify_folder(&prepared, &arguments.folder, picture, hashing, output)?;
    verified.write(report_file.as_ref(), None)?;
    let judged = verification::judge(&arguments.verification, &verified.report);
    if output.is_json() {
        return match judged {
            Ok(()) => output.list(&verified.report),
            Err(failure) => Err(failure.with_document(json!(verified.report))),
        };
    }
    say_report(&verified.report, output)?;
    judged
}
