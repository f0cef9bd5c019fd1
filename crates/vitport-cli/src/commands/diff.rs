//! Runs `vitport diff`: two checkpoints or folders, tensor by tensor.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vitport_checkpoint::{Checkpoint, Tensor, escape};

use crate::arguments::DiffArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::source::say_danger;
use crate::terminal::table::{Align, Table};

/// Compares by name, dtype, shape and the sha256 of the values. Exits with 1 where something differs, as `diff` does.
pub fn run(arguments: &DiffArguments, output: &Printer) -> Result<u8, Failure> {
    let limits = arguments.limits.limits();
    let (a, b) = (Checkpoint::open(&arguments.a, &limits)?, Checkpoint::open(&arguments.b, &limits)?);
    say_danger(&a, output)?;
    say_danger(&b, output)?;
    let (of_a, of_b) = (by_name(&a), by_name(&b));
    let (read_a, read_b) = (a.audit(), b.audit());
    let mut rows: Vec<(&str, &'static str, String)> = Vec::new();
    let mut same = 0_usize;
    for (name, tensor) in &of_a {
        match of_b.get(name) {
            None => rows.push((name, "only in A", describe(tensor))),
            Some(other) if tensor.dtype != other.dtype || tensor.shape != other.shape => {
                rows.push((name, "other form", format!("{} → {}", describe(tensor), describe(other))));
            }
            Some(other) if read_a.sha256(tensor)? != read_b.sha256(other)? => {
                rows.push((name, "other values", describe(tensor)));
            }
            Some(_) => same += 1,
        }
    }
    read_a.finish()?;
    read_b.finish()?;
    rows.extend(
        of_b.iter()
            .filter(|(name, _)| !of_a.contains_key(*name))
            .map(|(name, tensor)| (*name, "only in B", describe(tensor))),
    );
    if output.is_json() {
        let list: Vec<Value> = rows
            .iter()
            .map(|(name, difference, form)| json!({ "name": name, "difference": difference, "form": form }))
            .collect();
        output.document(&json!({ "same": same, "differences": list }))?;
        return Ok(exit_code(&rows));
    }
    if !rows.is_empty() {
        let mut table = Table::new([("tensor", Align::Left), ("difference", Align::Left), ("", Align::Left)]);
        for (name, difference, form) in &rows {
            table.row([escape(name).to_string(), (*difference).to_owned(), form.clone()]);
        }
        output.print(table.text())?;
    }
    output.print(format!("{same} tensors are the same, {} differ", rows.len()))?;
    Ok(exit_code(&rows))
}

fn exit_code<T>(differences: &[T]) -> u8 {
    u8::from(!differences.is_empty())
}

fn by_name(checkpoint: &Checkpoint) -> BTreeMap<&str, &Tensor> {
    checkpoint.tensors().iter().map(|tensor| (&*tensor.name, &**tensor)).collect()
}

fn describe(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.dtype, tensor.shape)
}
