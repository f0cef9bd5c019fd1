//! Runs `vitport diff`: two checkpoints or folders, tensor by tensor.

use schemars::JsonSchema;
use serde::Serialize;
use vitport::diff::{DiffKind, TensorRow};
use vitport::pipeline::{Diff, Through};
use vitport::plan::Dropped;

use crate::arguments::DiffArguments;
use crate::document::Document;
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
        rows.iter().partition(|row| row.kind == DiffKind::Equal);
    let code = u8::from(!differences.is_empty());
    if output.is_json() {
        let Diff { through, left_out, problems, .. } = &diff;
        output.document(&DiffDocument {
            through,
            same: equal.len(),
            equal,
            differences,
            left_out,
            problems,
        })?;
    } else {
        output.print(text(&diff, &rows))?;
    }
    Ok(code)
}

/// Describes a comparison of two checkpoints: `vitport diff`.
#[derive(Serialize, JsonSchema)]
pub struct DiffDocument<'a> {
    /// Says by what the names of both sides are brought together.
    through: &'a Through,
    /// Counts the tensors that are equal.
    same: usize,
    /// Lists the tensors that are equal.
    equal: Vec<&'a TensorRow>,
    /// Lists the tensors that differ.
    differences: Vec<&'a TensorRow>,
    /// Lists what the mapping leaves out, on the side that is not a transformers folder.
    left_out: &'a [Dropped],
    /// Lists what the mapping cannot make of that side, a sentence each.
    problems: &'a [String],
}

impl Document for DiffDocument<'_> {
    const SCHEMA: &'static str = "vitport/diff/2";
}
