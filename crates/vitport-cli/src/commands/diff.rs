//! Runs `vitport diff`: two checkpoints or folders, tensor by tensor.

use serde_json::{Value, json};
use vitport::diff::{Kind, TensorRow};
use vitport::pipeline::Diff;

use crate::arguments::DiffArguments;
use crate::failure::Failure;
use crate::output::Printer;
use crate::show::diff::text;
use crate::source::say_danger;

/// Compares by name or through a mapping. Exits with 1 where something differs, as `diff` does.
pub fn run(arguments: &DiffArguments, output: &Printer) -> Result<u8, Failure> {
    let diff = Diff::open(&arguments.a, &arguments.b, &arguments.limits.limits())?;
    diff.checkpoints().into_iter().try_for_each(|checkpoint| say_danger(checkpoint, output))?;
    let rows = diff.compare()?;
    let (equal, differences): (Vec<&TensorRow>, Vec<&TensorRow>) =
        rows.iter().partition(|row| row.kind == Kind::Equal);
    match output.is_json() {
        true => output.document(&document(&diff, &equal, &differences))?,
        false => output.print(text(&diff, &rows))?,
    }
    Ok(u8::from(!differences.is_empty()))
}

fn document(diff: &Diff, equal: &[&TensorRow], differences: &[&TensorRow]) -> Value {
    json!({
        "through": diff.through,
        "same": equal.len(),
        "equal": equal,
        "differences": differences,
        "left_out": diff.left_out,
        "problems": diff.problems,
    })
}
