//! Runs `vitport report`: many reports on one page.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use vitport::verify::overview::{Overview, html};
use vitport_checkpoint::{escape, read_regular};

use crate::arguments::ReportArguments;
use crate::clock;
use crate::document::Document;
use crate::failure::{Failure, FailureKind};
use crate::output::Printer;
use crate::output_file::{FileKind, OutputFile};
use crate::terminal::style::GREEN;

/// Limits the bytes of a report.
const MOST_BYTES: u64 = 64 << 20;

/// Describes the page of many reports: `vitport report`.
#[derive(Serialize, JsonSchema)]
pub struct OverviewDocument {
    /// Names the page's file.
    page: String,
    /// Lists the models, in the order of the files.
    models: Vec<Overview>,
}

impl Document for OverviewDocument {
    const SCHEMA: &'static str = "vitport/overview/2";
}

/// Reads the reports and writes the page.
pub fn run(arguments: &ReportArguments, output: &Printer) -> Result<(), Failure> {
    let file = OutputFile::new(FileKind::Overview, &arguments.out, &arguments.files, None)?;
    let models = arguments.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    file.write(&html(&models, env!("CARGO_PKG_VERSION"), &clock::now()))?;
    let page = file.path().display().to_string();
    let models_of = if models.len() == 1 { "1 model".to_owned() } else { format!("{} models", models.len()) };
    output.say(format!("{GREEN}wrote{GREEN:#} {} ({models_of})", escape(&page)))?;
    if output.is_json() { output.document(&OverviewDocument { page, models }) } else { Ok(()) }
}

fn read(path: &Path) -> Result<Overview, Failure> {
    let shown = path.display().to_string();
    let failed = |kind, why: &dyn std::fmt::Display| {
        let advice = "give a JSON file that --report wrote";
        Failure::new(kind, format!("{}: {why}; {advice}", escape(&shown))).in_file(shown.clone())
    };
    let bytes = read_regular(path, MOST_BYTES).map_err(|error| failed(FailureKind::Unreadable, &error))?;
    let document: Value = serde_json::from_slice(&bytes)
        .map_err(|error| failed(FailureKind::Unreadable, &format!("it is not JSON ({error})")))?;
    Overview::read(&shown, &document).map_err(|why| failed(FailureKind::Refused, &escape(&why)))
}
