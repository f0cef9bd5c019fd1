//! `vitport plan`: what convert would do, tensor by tensor, and how every fact came to be known.

use std::mem::ManuallyDrop;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;
use vitport::convert::{ConvertError, Prepared, config, prepare, rule_file};
use vitport::identify::{Fact, identify};
use vitport::plan::{Part, Target};
use vitport_checkpoint::{ChosenBy, escape};

use crate::arguments::Plan;
use crate::failure::Failure;
use crate::output::{BOLD, DIM, Output};
use crate::source::open;
use crate::table::{Align, Table, bytes, shape};
use crate::terminal::fitting;
use crate::wrap::wrap;

/// Plans.
pub fn run(arguments: Plan, output: &Output) -> Result<(), Failure> {
    let request = arguments.facts.request()?;
    let source =
        open(arguments.source.text(), &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    if arguments.print_rules {
        let model = identify(&source, &request.hints).map_err(ConvertError::from)?;
        let (file, text) = rule_file(&model, &request);
        return match output.is_json() {
            true => output.document(&json!({ "file": file, "text": text })),
            false => output.print(text.trim_end()),
        };
    }
    // The process ends with it, and the system takes memory back faster than a hundred thousand pieces are given back.
    let prepared = ManuallyDrop::new(prepare(source, &request)?);
    if output.is_json() {
        return output.document(&document(&prepared));
    }
    output.print(format!("{BOLD}{}{BOLD:#}", escape(&prepared.model.name)))?;
    output.print(root_line(&prepared))?;
    output.print("")?;
    output.print(facts(&prepared))?;
    output.print("")?;
    output.print(fitting(&tensor_table(&prepared), |width| tensor_list(&prepared, width)))?;
    for line in drop_lines(&prepared) {
        output.print(line)?;
    }
    let plan = &prepared.plan;
    output.print(format!(
        "\n{} tensors in, {} out, {} to write; nothing was written",
        prepared.model.state_dict.len(),
        plan.targets.len(),
        bytes(plan.bytes())
    ))
}

/// Where in the file the weights were found.
pub fn root_line(prepared: &Prepared) -> String {
    let checkpoint = &prepared.source.checkpoint;
    let root = checkpoint.root();
    let choice = checkpoint.root_choice();
    let place = match root.path.as_str() {
        "" => "the whole file".to_owned(),
        path => format!("`{}` in the file", escape(path)),
    };
    let others: Vec<String> = choice.alternatives.iter().map(|root| escape(&root.path).to_string()).collect();
    let how = match (choice.how, others.is_empty()) {
        (ChosenBy::Caller, _) => " (--key)".to_owned(),
        (_, true) => String::new(),
        (_, false) => format!("; also there: {} (--key picks)", others.join(", ")),
    };
    let prefix = match prepared.model.state_dict.prefix() {
        "" => String::new(),
        prefix => format!(", under the prefix `{}`", escape(prefix)),
    };
    let container =
        checkpoint.evidence().container.map_or_else(String::new, |container| format!(", {container}"));
    format!("  from {}{container}: {place}{prefix}{how}", escape(&prepared.source.display_name()))
}

/// Every fact, its value and its origin, in the width of the terminal.
pub fn facts(prepared: &Prepared) -> String {
    fitting(&fact_table(prepared), |width| fact_list(prepared, width))
}

fn fact_table(prepared: &Prepared) -> Table {
    let mut table = Table::new([("fact", Align::Left), ("value", Align::Left), ("known from", Align::Left)]);
    for fact in &prepared.model.facts {
        table.row([
            fact.name.to_owned(),
            escape(&fact.value).to_string(),
            escape(&fact.origin.to_string()).to_string(),
        ]);
    }
    table
}

/// The same with origins broken into the lines of a terminal of `width` columns.
fn fact_list(prepared: &Prepared, width: usize) -> String {
    let facts = &prepared.model.facts;
    let value = |fact: &Fact| escape(&fact.value).to_string();
    let names = facts.iter().map(|fact| fact.name.width() + 2).max().unwrap_or(0);
    let widest = facts.iter().map(|fact| names + value(fact).width() + 2).max().unwrap_or(0);
    let indent = widest.min(width / 2);
    let line = |fact: &Fact| {
        let gap = " ".repeat(names.saturating_sub(fact.name.width()));
        let head = format!("{}{gap}{}", fact.name, value(fact));
        let origin = escape(&fact.origin.to_string()).to_string();
        match head.width() < indent {
            true => wrap(&head, &origin, indent, width),
            false => format!("{head}\n{}", wrap("", &origin, indent, width)),
        }
    };
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn tensor_table(prepared: &Prepared) -> Table {
    let columns = [
        ("source", Align::Left),
        ("", Align::Left),
        ("target", Align::Left),
        ("dtype", Align::Left),
        ("shape", Align::Left),
    ];
    let mut table = Table::new(columns);
    for target in &prepared.plan.targets {
        let name = escape(&target.name).to_string();
        table.row([
            sources_of(target).join(" "),
            format!("{DIM}{}{DIM:#}", target.operation.name()),
            name,
            target.dtype.name().to_owned(),
            shape(&target.shape),
        ]);
    }
    table
}

/// The same in lines for a terminal of `width` columns: the source's, and below it the target's.
fn tensor_list(prepared: &Prepared, width: usize) -> String {
    let mut out = Vec::new();
    for target in &prepared.plan.targets {
        out.push(wrap("", &sources_of(target).join(" "), 0, width));
        let operation = target.operation.name();
        let made = format!("{} {} {}", escape(&target.name), target.dtype.name(), shape(&target.shape));
        out.push(format!(
            "{DIM}{}{DIM:#}",
            wrap(&format!("  {operation} →"), &made, operation.len() + 5, width)
        ));
    }
    out.join("\n")
}

/// What each part of a target is made of, as text.
fn sources_of(target: &Target) -> Vec<String> {
    let describe = |part: &Part| match part {
        Part::Slice { tensor, elements, .. } if *elements == tensor.elements() => {
            escape(&tensor.name).to_string()
        }
        Part::Slice { tensor, first, elements } => {
            let rows = tensor.shape.first().copied().unwrap_or(1).max(1);
            let row = (tensor.elements() / rows).max(1);
            format!("{}[{}..{}]", escape(&tensor.name), first / row, (first + elements) / row)
        }
        Part::ScaledRows { tensor, factors } => {
            format!("{} × {}", escape(&tensor.name), escape(&factors.name))
        }
        Part::Zeros { elements } => format!("{elements} zeros"),
        Part::Identity { size } => format!("identity of {size}"),
    };
    target.parts.iter().map(describe).collect()
}

/// One line a dropped tensor.
pub fn drop_lines(prepared: &Prepared) -> Vec<String> {
    let line = |dropped: &vitport::plan::Dropped| {
        format!(
            "  left out: {} ({}): {}",
            escape(&dropped.name),
            bytes(dropped.bytes),
            escape(&dropped.reason)
        )
    };
    prepared.plan.dropped.iter().map(line).collect()
}

fn document(prepared: &Prepared) -> Value {
    let tensors: Vec<Value> = prepared
        .plan
        .targets
        .iter()
        .map(|target| {
            json!({
                "target": target.name,
                "dtype": target.dtype,
                "shape": target.shape,
                "operation": target.operation,
                "sources": target.parts.iter().map(part_document).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "model": prepared.model.name,
        "source": prepared.source.display_name(),
        "root": prepared.source.checkpoint.root().path,
        "prefix": prepared.model.state_dict.prefix(),
        "rules": prepared.rules.file(),
        "facts": prepared.model.facts,
        "config": config(prepared),
        "preprocessor": prepared.model.processor,
        "tensors": tensors,
        "dropped": prepared.plan.dropped,
        "bytes": prepared.plan.bytes(),
        "reversible": prepared.plan.is_reversible(),
    })
}

fn part_document(part: &Part) -> Value {
    match part {
        Part::Slice { tensor, first, elements } => {
            json!({ "tensor": tensor.name, "first": first, "elements": elements })
        }
        Part::ScaledRows { tensor, factors } => {
            json!({ "tensor": tensor.name, "rows_times": factors.name })
        }
        Part::Zeros { elements } => json!({ "zeros": elements }),
        Part::Identity { size } => json!({ "identity": size }),
    }
}
