//! `vitport inspect`: what is in a checkpoint, without believing a word of it.

use serde_json::{Map, Value, json};
use vitport_checkpoint::{Checkpoint, GlobalClass, Limits, Tensor, escape};

use crate::arguments::Inspect;
use crate::failure::Failure;
use crate::output::{BOLD, Output};
use crate::table::{Align, Table, bytes, shape};

/// Inspects.
pub fn run(arguments: &Inspect, output: &Output) -> Result<(), Failure> {
    let mut limits = Limits::default();
    limits.max_tensors = arguments.max_tensors.unwrap_or(limits.max_tensors);
    let mut checkpoint = Checkpoint::survey(&arguments.file, &limits)?;
    if let Some(root) = &arguments.key {
        checkpoint.select(root)?;
    }
    let tensors = match arguments.key {
        Some(_) => checkpoint.tensors(),
        None => checkpoint.all_tensors(),
    };
    if output.is_json() {
        let mut rows = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            rows.push(row(&checkpoint, tensor, arguments.hash)?);
        }
        return match arguments.evidence {
            true => output.document(&json!({
                "evidence": checkpoint.evidence(),
                "roots": checkpoint.roots(),
                "metadata": checkpoint.metadata(),
                "tensors": rows,
            })),
            false => output.document(&rows),
        };
    }
    let mut columns = vec![("tensor", Align::Left), ("dtype", Align::Left), ("shape", Align::Left)];
    if arguments.hash {
        columns.push(("sha256", Align::Left));
    }
    let mut table = Table::new(columns);
    for tensor in tensors {
        let mut cells =
            vec![escape(&tensor.name).to_string(), tensor.dtype.name().to_owned(), shape(&tensor.shape)];
        if arguments.hash {
            cells.push(checkpoint.sha256_of_tensor(tensor)?);
        }
        table.row(cells);
    }
    for line in heading(&checkpoint) {
        output.print(line)?;
    }
    output.print("")?;
    output.print(table)?;
    let total: u64 = tensors.iter().map(Tensor::bytes).sum();
    output.print(format!("\n{} tensors, {}", tensors.len(), bytes(total)))
}

fn row(checkpoint: &Checkpoint, tensor: &Tensor, hash: bool) -> Result<Value, Failure> {
    let mut row = Map::new();
    row.insert("name".to_owned(), json!(tensor.name));
    row.insert("dtype".to_owned(), json!(tensor.dtype));
    row.insert("shape".to_owned(), json!(tensor.shape));
    if hash {
        row.insert("sha256".to_owned(), json!(checkpoint.sha256_of_tensor(tensor)?));
    }
    Ok(Value::Object(row))
}

/// The container and everything that a person should know before trusting it.
fn heading(checkpoint: &Checkpoint) -> Vec<String> {
    let evidence = checkpoint.evidence();
    let mut lines = Vec::new();
    for file in checkpoint.files() {
        lines.push(format!(
            "{BOLD}{}{BOLD:#}  {}",
            escape(&file.path.display().to_string()),
            bytes(file.len)
        ));
    }
    let mut about = Vec::new();
    about.extend(evidence.container.map(|container| container.to_string()));
    about.extend(
        evidence.writer_version.as_ref().map(|version| format!("version {}", escape(version.trim()))),
    );
    about.extend(evidence.byteorder.as_ref().map(|order| format!("{} endian", escape(order.trim()))));
    about.extend(evidence.pickle_protocol.map(|protocol| format!("pickle protocol {protocol}")));
    lines.push(about.join(", "));
    for global in &evidence.globals {
        let name = escape(&format!("{}.{}", global.module, global.name)).to_string();
        lines.push(format!("  names {name} ({}) {} times", class_name(global.class), global.count));
        lines.extend(global.would_run.iter().map(|call| format!("    would have run {}", escape(call))));
    }
    for root in checkpoint.roots() {
        let path =
            if root.path.is_empty() { "(top level)".to_owned() } else { escape(&root.path).to_string() };
        let state = if root.training_state { ", training state" } else { "" };
        lines.push(format!("  root {path}: {} tensors{state}", root.tensors));
    }
    lines.extend(evidence.unsupported.iter().map(|odd| format!("  {}: {}", escape(&odd.path), odd.kind)));
    lines.extend(evidence.notes.iter().map(|note| format!("  {note}")));
    lines.extend(
        checkpoint
            .metadata()
            .iter()
            .take(20)
            .map(|entry| format!("  {} = {}", escape(&entry.path), entry.value)),
    );
    lines
}

fn class_name(class: GlobalClass) -> &'static str {
    match class {
        GlobalClass::Builder => "known",
        GlobalClass::Opaque => "not known, kept as it is",
        GlobalClass::Dangerous => "DANGEROUS",
    }
}
