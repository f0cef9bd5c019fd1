//! Runs `vitport diff`: two checkpoints or folders, tensor by tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use vitport::facts::FactError;
use vitport::pipeline::{self, ConvertError};
use vitport::source::Source;
use vitport::state_dict::without_wrappers;
use vitport_checkpoint::{Checkpoint, Limits, Tensor, escape};

use crate::arguments::DiffArguments;
use crate::document::Document;
use crate::failure::Failure;
use crate::output::Printer;
use crate::source::say_danger;
use crate::terminal::table::{Align, Table};

/// Compares by name, dtype, shape and the sha256 of the values. Exits with 1 where something differs, as `diff` does.
pub fn run(arguments: &DiffArguments, output: &Printer) -> Result<u8, Failure> {
    let limits = arguments.limits.limits();
    let (a, b) = (Side::open(&arguments.a, &limits)?, Side::open(&arguments.b, &limits)?);
    let (of_a, of_b) = (a.by_name(), b.by_name());
    let (a, b) = (&a.checkpoint, &b.checkpoint);
    say_danger(a, output)?;
    say_danger(b, output)?;
    let (read_a, read_b) = (a.audit(), b.audit());
    let mut rows: Vec<(&Cow<'_, str>, &'static str, String)> = Vec::new();
    let mut same = 0_usize;
    for (name, &tensor) in &of_a {
        match of_b.get(name).copied() {
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
            .map(|(name, tensor)| (name, "only in B", describe(tensor))),
    );
    if output.is_json() {
        let differences =
            rows.iter().map(|(name, difference, form)| DiffRow { name, difference, form }).collect();
        output.document(&DiffDocument { same, differences })?;
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

/// Describes what differs between two checkpoints: `vitport diff`.
#[derive(Serialize, JsonSchema)]
pub struct DiffDocument<'a> {
    /// Counts the tensors that are the same.
    same: usize,
    /// Lists the tensors that differ.
    differences: Vec<DiffRow<'a>>,
}

impl Document for DiffDocument<'_> {
    const SCHEMA: &'static str = "vitport/diff/2";
}

/// Describes a tensor that differs.
#[derive(Serialize, JsonSchema)]
struct DiffRow<'a> {
    /// Gives its name, in a network its bare one.
    name: &'a str,
    /// Says how it differs: `only in A`, `only in B`, `other form` or `other values`.
    difference: &'a str,
    /// Gives its dtype and shape, those of both sides where they differ.
    form: &'a str,
}

fn exit_code<T>(differences: &[T]) -> u8 {
    u8::from(!differences.is_empty())
}

/// Describes one of the two checkpoints.
struct Side {
    checkpoint: Checkpoint,
    /// Says what stands before the network's names, where one network is found.
    prefix: String,
}

impl Side {
    /// Opens a checkpoint at the part that its network lies in; where that is not one part, the whole file is compared.
    fn open(path: &Path, limits: &Limits) -> Result<Self, Failure> {
        let checkpoint = Checkpoint::open_undecided(path, limits)?;
        let (path, config, card, provenance) = (path.to_owned(), None, None, None);
        let mut source = Source {
            path,
            checkpoint,
            adapter: None,
            key: None,
            config,
            card,
            passed_over: Vec::new(),
            provenance,
        };
        let prefix = match pipeline::network(&mut source, &[]) {
            Ok(found) => found.state_dict.prefix().to_owned(),
            Err(ConvertError::Facts(FactError::Questions { .. })) => {
                source.checkpoint.select("").map_err(Failure::from)?;
                String::new()
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { checkpoint: source.checkpoint, prefix })
    }

    /// Returns the tensors by their names, those of the network by their bare ones.
    fn by_name(&self) -> BTreeMap<Cow<'_, str>, &Tensor> {
        let named = self.checkpoint.tensors().iter().map(|tensor| {
            let bare = tensor.name.strip_prefix(self.prefix.as_str()).map(without_wrappers);
            (bare.unwrap_or(Cow::Borrowed(&*tensor.name)), &**tensor)
        });
        named.collect()
    }
}

fn describe(tensor: &Tensor) -> String {
    format!("{} {:?}", tensor.dtype, tensor.shape)
}
