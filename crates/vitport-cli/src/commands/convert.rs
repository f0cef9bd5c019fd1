//! Runs `vitport convert`: all steps, and a folder at the end.

use vitport::model::Prepared;
use vitport::pipeline::Converted;
use vitport::plan::Target;
use vitport_checkpoint::escape;

use super::convert_back;
use crate::arguments::legacy::DEFAULT_NAME;
use crate::arguments::{ConvertArguments, Destination};
use crate::conversion::{class, convert, document};
use crate::failure::Failure;
use crate::output::Printer;
use crate::show::prepared::{basis, drop_lines, in_width, resampled_line, root_line};
use crate::show::report::{say_report, say_warnings};
use crate::show::summary;
use crate::terminal::message::note_line;
use crate::terminal::style::{BOLD, GREEN};
use crate::terminal::table::bytes;
use crate::verification::not_accepted;

/// Converts.
pub fn run(arguments: ConvertArguments, output: &Printer) -> Result<(), Failure> {
    if arguments.to != Destination::Transformers {
        let framework = arguments.to;
        return convert_back::run(arguments, framework, output);
    }
    if arguments.source.given().is_none() && output.shows_progress() {
        note_line(&format!("no SOURCE is given, so it is {DEFAULT_NAME}, as in the original script"));
    }
    let converted = convert(arguments, output, &|_| Ok(()))?;
    if converted.is_published {
        say_summary(&converted, output)?;
    }
    match &converted.report {
        Some(report) => say_report(report, output)?,
        None => {
            say_warnings(&converted.warnings, output)?;
            resampled_line(&converted.prepared).map_or(Ok(()), |line| output.say(line))?;
            output.say(basis(&converted.prepared))?;
        }
    }
    if converted.is_published && converted.accepted.is_ok() {
        output.say(summary::next(&converted.prepared, &converted.out))?;
    }
    match converted.accepted.clone().map_err(|why| not_accepted(why, output)) {
        Err(failure) => Err(failure.with_document(&document(&converted))),
        Ok(()) if output.is_json() => output.document(&document(&converted)),
        Ok(()) => Ok(()),
    }
}

fn say_summary(converted: &Converted, output: &Printer) -> Result<(), Failure> {
    let prepared = &converted.prepared;
    output.say(format!("{BOLD}{}{BOLD:#} → {}", prepared.model.name, class(converted)))?;
    output.say(root_line(prepared))?;
    let plan = &prepared.plan;
    let source_tensors = prepared.model.state_dict.len();
    let counts = format!(
        "  {source_tensors} tensors in, {} out, {}; {}",
        plan.targets.len(),
        bytes(plan.bytes()),
        reversibility(prepared)
    );
    output.say(in_width(counts, 2))?;
    for line in summary::lines(prepared).into_iter().chain(drop_lines(prepared)) {
        output.say(line)?;
    }
    let names = converted.files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let shown = if names.len() > 4 { format!("{} files", names.len()) } else { names.join(", ") };
    let out = converted.out.display().to_string();
    output.say(in_width(format!("wrote {} ({shown})", escape(&out)), 6).replacen(
        "wrote",
        &format!("{GREEN}wrote{GREEN:#}"),
        1,
    ))
}

/// Says whether the source's tensors can be recovered, and if not, why.
fn reversibility(prepared: &Prepared) -> &'static str {
    let plan = &prepared.plan;
    if plan.is_reversible() {
        "reversible bit for bit"
    } else if plan.merged > 0 {
        "adapters are added to the weights, which cannot be undone bit for bit"
    } else if plan.targets.iter().any(|target| target.operation == "tabulate") {
        "an MLP of positions becomes a table of its values, which cannot be undone"
    } else if plan.is_resampled() {
        "position embeddings are resampled, which cannot be undone"
    } else if plan.targets.iter().any(Target::is_folded) {
        "factors are multiplied into the weights, which cannot be undone bit for bit"
    } else if plan.drops_shares() {
        "parts of tensors are left out and cannot be recovered"
    } else {
        "the weights are cast, which cannot be undone bit for bit"
    }
}
