//! Runs `vitport plan`: what convert would do, tensor by tensor, and how every fact came to be known.

use serde_json::{Value, json};
use vitport::model::Prepared;
use vitport::pipeline::{mapping_of, plan};
use vitport::plan::{Part, Target};
use vitport_checkpoint::escape;

use crate::arguments::PlanArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::request::request;
use crate::show::prepared::{basis, drop_lines, facts, root_line, targets, unread_line};
use crate::source::open;
use crate::terminal::fitting;
use crate::terminal::style::{BOLD, DIM};
use crate::terminal::table::{Align, Table, bytes, shape};
use crate::terminal::wrap::wrap;

/// Plans.
pub fn run(arguments: PlanArguments, output: &Printer) -> Result<(), Failure> {
    let request = request(arguments.facts)?;
    let source =
        open(arguments.source.text(), &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    if arguments.print_mapping {
        let mapping = mapping_of(source, &request)?;
        return match output.is_json() {
            true => output.document(&json!({ "file": mapping.file(), "text": mapping.text() })),
            false => output.print(mapping.text().trim_end()),
        };
    }
    let prepared = plan(source, &request)?;
    if output.is_json() {
        return output.document(&document(&prepared));
    }
    output.print(format!("{BOLD}{}{BOLD:#}", escape(&prepared.model.name)))?;
    output.print(root_line(&prepared))?;
    output.print("")?;
    output.print(facts(&prepared.model.facts))?;
    output.print("")?;
    output.print(basis(&prepared))?;
    output.print(targets(&prepared))?;
    output.print("")?;
    output.print(fitting(tensor_table(&prepared).text(), |width| tensor_list(&prepared, width)))?;
    for line in drop_lines(&prepared).into_iter().chain(unread_line(&prepared, output.is_verbose())) {
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
            format!("{DIM}{}{DIM:#}", target.operation),
            name,
            target.dtype.name().to_owned(),
            shape(&target.shape),
        ]);
    }
    table
}

/// Makes the same in lines for a terminal of `width` columns: the source's, and below it the target's.
fn tensor_list(prepared: &Prepared, width: usize) -> String {
    let mut out = Vec::new();
    for target in &prepared.plan.targets {
        out.push(wrap("", &sources_of(target).join(" "), 0, width));
        let operation = target.operation;
        let made = format!("{} {} {}", escape(&target.name), target.dtype.name(), shape(&target.shape));
        out.push(format!(
            "{DIM}{}{DIM:#}",
            wrap(&format!("  {operation} →"), &made, operation.len() + 5, width)
        ));
    }
    out.join("\n")
}

/// Says what each part of a target is made of, as text.
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
        Part::ShiftedColumns { tensor, addends } => {
            format!("{} + {}", escape(&tensor.name), escape(&addends.name))
        }
        Part::Zeros { elements } => format!("{elements} zeros"),
        Part::Repeated { number: 1, elements } => format!("{elements} ones"),
        Part::Repeated { number, elements } => format!("{elements} times {number}"),
        Part::WindowDistances { side } => format!("distances in a window of {side}×{side}"),
        Part::Identity { size } => format!("identity of {size}"),
    };
    target.parts.iter().map(describe).collect()
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
    let basis = prepared.model.basis();
    json!({
        "model": prepared.model.name,
        "source": prepared.source.display_name(),
        "root": prepared.source.checkpoint.root().path,
        "prefix": prepared.model.state_dict.prefix(),
        "dangerous_call": prepared.source.checkpoint.evidence().dangerous_call,
        "mapping": prepared.model.mapping.file(),
        "target": prepared.model.target_class(),
        "targets": prepared.model.targets,
        "facts": prepared.model.facts,
        "facts_from_source": basis.from_source,
        "facts_from_registry": basis.from_registry,
        "assumptions": basis.assumptions,
        "unread_arguments": prepared.model.unread_arguments,
        "config": prepared.config(),
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
        Part::ShiftedColumns { tensor, addends } => {
            json!({ "tensor": tensor.name, "columns_plus": addends.name })
        }
        Part::Zeros { elements } => json!({ "zeros": elements }),
        Part::Repeated { number: 1, elements } => json!({ "ones": elements }),
        Part::Repeated { number, elements } => json!({ "repeated": number, "elements": elements }),
        Part::WindowDistances { side } => json!({ "window_distances": side }),
        Part::Identity { size } => json!({ "identity": size }),
    }
}
