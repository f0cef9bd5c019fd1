//! `vitport convert`: all steps, and a folder at the end.

use std::path::PathBuf;

use serde_json::json;
use vitport::convert::{Prepared, WriteOptions, prepare, write};

use crate::arguments::Convert;
use crate::commands::plan::{drop_lines, fact_table, root_line};
use crate::failure::Failure;
use crate::output::{BOLD, GREEN, Output, note_line};
use crate::progress;
use crate::source::DEFAULT_NAME;
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
    let source = source.open(request.root.as_deref(), &request.limits)?;
    let prepared = prepare(source, &request)?;
    let out = match arguments.out {
        Some(out) => out,
        None => PathBuf::from(prepared.model.name.replace(['/', '\\'], "_")),
    };
    if output.is_verbose() {
        output.say(fact_table(&prepared))?;
        output.say("")?;
    }
    let bar = progress::bytes(prepared.plan.bytes(), "writing", output);
    let options = WriteOptions {
        max_shard_size: arguments.max_shard_size,
        force: arguments.force,
        fsync: !arguments.no_fsync,
    };
    let written = write(&prepared, &out, options, &|count| bar.inc(count))?;
    bar.finish_and_clear();
    let published = written.staging.publish()?;
    if let Some(old) = &published.left_behind {
        note_line(&format!(
            "the replaced folder could not be removed altogether; it is now {}",
            old.display()
        ));
    }
    if output.is_json() {
        return output.document(&json!({
            "model": prepared.model.name,
            "out": published.out.display().to_string(),
            "class": prepared.model.config.get("architectures").and_then(|list| list.get(0)),
            "facts": prepared.model.facts,
            "files": written.files.iter().map(|(name, size)| json!({ "name": name, "bytes": size })).collect::<Vec<_>>(),
            "accounts": accounts(&prepared),
        }));
    }
    say_summary(&prepared, &written.files, &published.out.display().to_string(), output)
}

/// Tensors and bytes in, out, folded, padded, filled and dropped.
fn accounts(prepared: &Prepared) -> serde_json::Value {
    let source_bytes: u64 = prepared.model.state_dict.iter().map(|(_, tensor)| tensor.bytes()).sum();
    let count =
        |name: &str| prepared.plan.targets.iter().filter(|target| target.operation.name() == name).count();
    json!({
        "source": { "tensors": prepared.model.state_dict.len(), "bytes": source_bytes },
        "target": { "tensors": prepared.plan.targets.len(), "bytes": prepared.plan.bytes() },
        "folded": count("fold"),
        "padded": count("pad"),
        "filled": count("fill"),
        "dropped": prepared.plan.dropped,
        "reversible": prepared.plan.is_reversible(),
    })
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
        if plan.is_reversible() {
            "reversible bit for bit"
        } else {
            "layer scale is folded into the weights, which cannot be undone bit for bit"
        }
    ))?;
    for line in drop_lines(prepared) {
        output.say(line)?;
    }
    let names = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let shown = if names.len() > 4 { format!("{} files", names.len()) } else { names.join(", ") };
    output.say(format!("{GREEN}wrote{GREEN:#} {out} ({shown})"))
}
