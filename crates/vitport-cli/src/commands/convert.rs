//! `vitport convert`: all steps, and a folder at the end.

use std::path::PathBuf;

use serde_json::json;
use vitport::convert::{Prepared, WriteOptions, prepare, write};
use vitport::verify::accounts;
use vitport_checkpoint::escape;

use crate::arguments::Convert;
use crate::commands::plan::{drop_lines, fact_table, root_line};
use crate::commands::report::say_report;
use crate::commands::verify::{files_of, weigh_folder};
use crate::failure::Failure;
use crate::output::{BOLD, GREEN, Output, note_line};
use crate::progress;
use crate::source::{DEFAULT_NAME, open};
use crate::table::bytes;

/// Converts.
pub fn run(arguments: Convert, output: &Output) -> Result<(), Failure> {
    let request = arguments.facts.request()?;
    let source = &arguments.source;
    if source.source.is_none() && source.vit_name.is_none() && source.cvt_file_name.is_none() {
        if request.hints.arch.is_some() {
            return Err(Failure::usage(
                "an architecture is named, but no file; give SOURCE, the weight file",
            ));
        }
        if output.shows_progress() {
            note_line(&format!("no SOURCE is given, so it is {DEFAULT_NAME}, as in the original script"));
        }
    }
    let source = open(source.text(), &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let prepared = prepare(source, &request)?;
    let out = match arguments.out {
        Some(out) => out,
        None => PathBuf::from(prepared.model.name.replace(['/', '\\'], "_")),
    };
    if output.is_verbose() {
        output.say(fact_table(&prepared))?;
        output.say("")?;
    }
    let picture = match arguments.no_verify {
        true => None,
        false => Some(arguments.weighing.picture(&arguments.hub, output)?),
    };
    let report_file = arguments.weighing.report_file(files_of(&prepared), Some(&out))?;
    let bar = progress::bytes(prepared.plan.bytes(), "writing", output);
    let options = WriteOptions {
        max_shard_size: arguments.max_shard_size,
        force: arguments.force,
        fsync: !arguments.no_fsync,
        exact_code: arguments.with_exact_code,
    };
    let written = write(&prepared, &out, options, &|count| bar.inc(count))?;
    bar.finish_and_clear();
    let mut weighed = picture
        .map(|picture| weigh_folder(&prepared, written.staging.path(), picture, output))
        .transpose()?;
    let out = written.staging.out().to_owned();
    if let Some(weighed) = &mut weighed {
        weighed.report.folder = out.display().to_string();
    }
    let judged = weighed.as_ref().map_or(Ok(()), |weighed| arguments.weighing.judge(&weighed.report));
    let is_published = judged.is_ok() || arguments.keep_anyway;
    if let Some(weighed) = &weighed {
        weighed.write(report_file.as_ref(), is_published.then_some(&written.staging))?;
    }
    let document = json!({
        "model": prepared.model.name,
        "out": out.display().to_string(),
        "published": is_published,
        "class": prepared.model.config.get("architectures").and_then(|list| list.get(0)),
        "facts": prepared.model.facts,
        "files": written.files.iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect::<Vec<_>>(),
        "report": weighed.as_ref().map(|weighed| &weighed.report),
        "accounts": accounts(&prepared),
    });
    if is_published {
        let published = written.staging.publish()?;
        if let Some(old) = &published.left_behind {
            note_line(&format!(
                "the replaced folder could not be removed altogether; it is now {}",
                escape(&old.display().to_string())
            ));
        }
        say_summary(&prepared, &written.files, &out.display().to_string(), output)?;
    } else if report_file.is_some_and(|file| file.is_inside()) {
        note_line("the report was to lie in OUT, which is not published; give it a place outside to keep it");
    }
    if let Some(weighed) = &weighed {
        say_report(&weighed.report, output)?;
    }
    match judged {
        Ok(()) if output.is_json() => output.document(&document),
        judged => judged.map_err(|failure| failure.with_document(document)),
    }
}

fn say_summary(
    prepared: &Prepared,
    files: &[(String, u64)],
    out: &str,
    output: &Output,
) -> Result<(), Failure> {
    let class =
        prepared.model.config.get("architectures").and_then(|list| list.get(0)).and_then(|c| c.as_str());
    output.say(format!("{BOLD}{}{BOLD:#} → {}", prepared.model.name, class.unwrap_or("transformers")))?;
    output.say(root_line(prepared))?;
    let plan = &prepared.plan;
    let source_tensors = prepared.model.state_dict.len();
    output.say(format!(
        "  {source_tensors} tensors in, {} out, {}; {}",
        plan.targets.len(),
        bytes(plan.bytes()),
        reversibility(prepared)
    ))?;
    for line in drop_lines(prepared) {
        output.say(line)?;
    }
    let names = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let shown = if names.len() > 4 { format!("{} files", names.len()) } else { names.join(", ") };
    output.say(format!("{GREEN}wrote{GREEN:#} {out} ({shown})"))
}

/// Whether the source's tensors can be had back, and if not, why.
fn reversibility(prepared: &Prepared) -> &'static str {
    let plan = &prepared.plan;
    if plan.is_reversible() {
        "reversible bit for bit"
    } else if plan.targets.iter().any(|target| !target.operation.is_reversible()) {
        "layer scale is folded into the weights, which cannot be undone bit for bit"
    } else {
        "the weights are cast, which cannot be undone bit for bit"
    }
}
