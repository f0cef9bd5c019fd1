//! Runs `vitport plan`: what convert would do, tensor by tensor, and how every fact came to be known.

mod document;

use vitport::mapping::shown_factor;
use vitport::model::Prepared;
use vitport::pipeline::{mapping_of, plan};
use vitport::plan::{Part, Target};
use vitport_checkpoint::escape;

use self::document::document;
pub use self::document::{MappingDocument, PlanDocument};
use crate::arguments::PlanArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::request::request;
use crate::show::patterns::grouped;
use crate::show::prepared::{basis, drop_lines, facts, resampled_line, root_line, targets, unread_line};
use crate::source::{open, with_adapter};
use crate::terminal::fitting;
use crate::terminal::style::{BOLD, DIM};
use crate::terminal::table::{Align, Table, bytes, shape};
use crate::terminal::wrap::wrap;

/// Plans.
pub fn run(arguments: PlanArguments, output: &Printer) -> Result<(), Failure> {
    let adapter = arguments.facts.adapter.clone();
    let request = request(arguments.facts)?;
    let source =
        open(arguments.source.text(), &arguments.hub, request.root.as_deref(), &request.limits, output)?;
    let source = with_adapter(source, adapter.as_deref(), &request.limits, output)?;
    if arguments.print_mapping {
        let mapping = mapping_of(source, &request)?;
        return match output.is_json() {
            true => output.document(&MappingDocument { file: mapping.file(), text: mapping.text() }),
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
    resampled_line(&prepared).map_or(Ok(()), |line| output.print(line))?;
    output.print("")?;
    let rows = rows(&prepared, output.is_verbose());
    output.print(fitting(tensor_table(&rows).text(), |width| tensor_list(&rows, width)))?;
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

/// Lists tensors: how many, and of what they are made, how, their names, dtypes and shapes. The same of each block is one row unless
/// all are wanted.
fn rows(prepared: &Prepared, all: bool) -> Vec<(usize, [String; 5])> {
    let rows = prepared.plan.targets.iter().map(|target| {
        [
            sources_of(target).join(" "),
            target.operation.to_string(),
            escape(&target.name).to_string(),
            target.dtype.name().to_owned(),
            shape(&target.shape),
        ]
    });
    match all {
        true => rows.map(|row| (1, row)).collect(),
        false => grouped(rows).into_iter().map(|group| (group.members.len(), group.cells)).collect(),
    }
}

fn tensor_table(rows: &[(usize, [String; 5])]) -> Table {
    let columns = [
        ("", Align::Right),
        ("source", Align::Left),
        ("", Align::Left),
        ("target", Align::Left),
        ("dtype", Align::Left),
        ("shape", Align::Left),
    ];
    let mut table = Table::new(columns);
    for (count, [sources, operation, name, dtype, shape]) in rows {
        let operation = format!("{DIM}{operation}{DIM:#}");
        table.row([times(*count), sources.clone(), operation, name.clone(), dtype.clone(), shape.clone()]);
    }
    table
}

/// Makes the same in lines for a terminal of `width` columns: the source's, and below it the target's.
fn tensor_list(rows: &[(usize, [String; 5])], width: usize) -> String {
    let mut out = Vec::new();
    for (count, [sources, operation, name, dtype, shape]) in rows {
        out.push(wrap("", format!("{} {sources}", times(*count)).trim_start(), 0, width));
        let made = format!("{name} {dtype} {shape}");
        out.push(format!(
            "{DIM}{}{DIM:#}",
            wrap(&format!("  {operation} →"), &made, operation.len() + 5, width)
        ));
    }
    out.join("\n")
}

/// Says how many tensors a row stands for, if several.
fn times(count: usize) -> String {
    if count > 1 { format!("{count} ×") } else { String::new() }
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
        Part::Scaled { tensor, factor } => {
            format!("{} × {}", escape(&tensor.name), shown_factor(*factor))
        }
        Part::ScaledRows { tensor, factors } => {
            format!("{} × {}", escape(&tensor.name), escape(&factors.name))
        }
        Part::ShiftedColumns { tensor, addends } => {
            format!("{} + {}", escape(&tensor.name), escape(&addends.name))
        }
        Part::DistanceTable(table) => {
            let [first, ..] = &table.mlp;
            format!("distances of {0}×{0} patches through {1} …", table.side, escape(&first.name))
        }
        Part::Zeros { elements } => format!("{elements} zeros"),
        Part::Repeated { number: 1, elements } => format!("{elements} ones"),
        Part::Repeated { number, elements } => format!("{elements} times {number}"),
        Part::WindowDistances { side } => format!("distances in a window of {side}×{side}"),
        Part::Identity { size } => format!("identity of {size}"),
    };
    target.parts.iter().map(describe).collect()
}
