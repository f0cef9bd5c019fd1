//! The operations of the mapping language, one file each. An operation reads its entries from the table of its name, says
//! which names it reads and makes, and what becomes of the tensors, there and back. No byte is read: what it makes are parts of
//! the source's tensors, and a shape that does not fit is a problem of its tensor.
//!
//! A new operation is a file here, its `mod`, and a line in [`TABLES`].

mod combine;
mod concat;
mod drop;
pub(super) mod fill;
mod fold;
mod one_to_one;
mod pad;
mod permute;
pub(super) mod rename;
mod reshape;
pub(super) mod scale;
mod shift;
mod split;
mod tabulate;
mod take;
mod transpose;
mod views;
mod widen;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vitport_checkpoint::{Dims, Dtype};

use self::one_to_one::OneToOne;
use super::bindings::Bindings;
use super::pattern::Pattern;
use super::problems::Problem;
use super::rule::Rule;
use super::sources::SourceTensor;
use crate::plan::Parts;

/// Lists every operation: the name of its table, and how the table is read. Rules are applied in this order.
pub(super) const TABLES: &[(&str, ReadTable)] = &[
    (rename::TABLE, read_table::<OneToOne<rename::Rename>>),
    (split::TABLE, read_table::<split::Split>),
    (concat::TABLE, read_table::<concat::Concat>),
    (transpose::TABLE, read_table::<OneToOne<transpose::Transpose>>),
    (permute::TABLE, read_table::<OneToOne<permute::Permute>>),
    (reshape::TABLE, read_table::<OneToOne<reshape::Reshape>>),
    (pad::TABLE, read_table::<OneToOne<pad::Pad>>),
    (widen::TABLE, read_table::<OneToOne<widen::Widen>>),
    (scale::TABLE, read_table::<OneToOne<scale::Scale>>),
    (take::TABLE, read_table::<take::Take>),
    (fold::TABLE, read_table::<combine::Combine<fold::Fold>>),
    (shift::TABLE, read_table::<combine::Combine<shift::Shift>>),
    (tabulate::TABLE, read_table::<tabulate::Tabulate>),
    (fill::TABLE, read_table::<fill::Fill>),
    (drop::TABLE, read_table::<drop::Drop>),
];

/// Describes what an entry of a mapping file does.
pub(super) trait Operation: Debug + Send + Sync {
    /// Holds what stands in an entry of its table next to the key.
    type Entry: DeserializeOwned
    where
        Self: Sized;

    /// Reads an entry of its table.
    ///
    /// # Errors
    /// Returns what is wrong with the entry, in words.
    fn parse(key: &str, entry: Self::Entry) -> Result<Self, String>
    where
        Self: Sized;

    /// Returns the patterns of the source names that it reads.
    fn sources(&self) -> Vec<&Pattern>;

    /// Returns the patterns of the target names that it makes.
    fn targets(&self) -> Vec<&Pattern>;

    /// Returns what it makes of its sources, a tensor for each of its targets.
    ///
    /// # Errors
    /// Returns why the sources do not allow it.
    fn make(&self, sources: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Made>, Problem>;

    /// Returns what makes its sources again, given the targets that it made of them. Of the sources only shapes are used.
    ///
    /// # Errors
    /// Returns why the targets do not allow it.
    fn invert(
        &self,
        targets: &[&SourceTensor],
        sources: &[&SourceTensor],
        context: &Context<'_>,
    ) -> Result<Vec<Made>, Problem>;

    /// Returns the shapes of its sources, given the targets that it made of them.
    ///
    /// # Errors
    /// Returns why the targets do not show them.
    fn source_shapes(&self, targets: &[&SourceTensor], context: &Context<'_>) -> Result<Vec<Dims>, Problem> {
        let name = targets.first().map_or("", |target| &target.name);
        let rule = context.rule.describe();
        Err(unfit(name, format!("{rule} does not show of which shape it was made")))
    }

    /// Returns what a source is that was left out and follows from the facts.
    ///
    /// # Errors
    /// Returns why the facts do not say it.
    fn made_again(&self, _: &Context<'_>) -> Result<Option<Made>, Problem> {
        Ok(None)
    }

    /// Returns what of its sources has no place in the target, where it takes only a part of them.
    ///
    /// # Errors
    /// Returns why the sources do not allow it.
    fn left_out(&self, _: &[&SourceTensor], _: &Context<'_>) -> Result<Vec<LeftOut<'_>>, Problem> {
        Ok(Vec::new())
    }

    /// Returns why its sources have no place in the target, if that is what it says of those that are there.
    fn reason_to_drop(&self) -> Option<&str> {
        None
    }

    /// Returns its names as a person would point at it: `source = target`.
    fn describe(&self) -> String {
        let join = |patterns: Vec<&Pattern>| {
            patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ")
        };
        let sides = [join(self.sources()), join(self.targets())];
        sides.into_iter().filter(|side| !side.is_empty()).collect::<Vec<_>>().join(" = ")
    }
}

/// Holds a part of a source that has no place in the target, and the reason.
pub(super) type LeftOut<'a> = (SourceTensor, &'a str);

/// Reads the table of an operation.
type ReadTable = fn(toml::Value) -> Result<Vec<Arc<dyn Operation>>, TableError>;

/// Says why a table cannot be read.
pub(super) enum TableError {
    /// Reports an entry with a value of the wrong kind.
    Syntax(toml::de::Error),
    /// Says why an entry is not an operation.
    Entry(String),
}

fn read_table<O: Operation + 'static>(table: toml::Value) -> Result<Vec<Arc<dyn Operation>>, TableError> {
    let entries: BTreeMap<String, O::Entry> = table.try_into().map_err(TableError::Syntax)?;
    let read = |(key, entry): (String, O::Entry)| {
        Ok(Arc::new(O::parse(&key, entry).map_err(TableError::Entry)?) as Arc<dyn Operation>)
    };
    entries.into_iter().map(read).collect()
}

/// Describes a tensor that an operation makes.
#[derive(Debug)]
pub(super) struct Made {
    pub dtype: Dtype,
    pub shape: Dims,
    pub parts: Parts,
    /// Names what was done, as plans say it.
    pub operation: &'static str,
}

impl Made {
    /// Returns the same tensor, with the operation that its source has.
    fn same(tensor: &SourceTensor) -> Self {
        let SourceTensor { dtype, shape, parts, operation, .. } = tensor.clone();
        Self { dtype, shape, parts, operation }
    }
}

/// Gives the size of one axis of a shape in a rule: a number, or a fact that is one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a size is a number, or the name of a fact")]
pub(super) enum Dimension {
    Number(u64),
    Count(String),
}

/// Holds what an operation may know next to its tensors.
pub(super) struct Context<'a> {
    /// Says whether zeros stand for what a conversion lost, so that another network is made that computes the same.
    pub fills_lost: bool,
    pub rule: &'a Rule,
    pub bindings: &'a Bindings,
    /// Holds the dtype of tensors that no source holds.
    pub filler: Dtype,
}

impl Context<'_> {
    /// Returns the tensors one by one.
    fn exactly<'t, const N: usize>(
        &self,
        tensors: &[&'t SourceTensor],
    ) -> Result<[&'t SourceTensor; N], Problem> {
        tensors
            .try_into()
            .map_err(|_| self.broken("it has another number of sources than it needs".to_owned()))
    }

    fn shape(&self, shape: &[Dimension]) -> Result<Dims, Problem> {
        shape.iter().map(|dimension| self.size(dimension)).collect()
    }

    fn size(&self, dimension: &Dimension) -> Result<u64, Problem> {
        match dimension {
            Dimension::Number(number) => Ok(*number),
            Dimension::Count(name) => match self.bindings.counts.get(name) {
                Some(count) => Ok(*count),
                None => Err(self.broken(format!("no fact is a count `{name}`"))),
            },
        }
    }

    fn broken(&self, reason: String) -> Problem {
        Problem::Rule { rule: self.rule.describe(), reason }
    }
}

/// Reads a list of names.
fn patterns(texts: &[String]) -> Result<Vec<Pattern>, String> {
    if texts.is_empty() {
        return Err("a list of names is empty".to_owned());
    }
    texts.iter().map(|text| Pattern::parse(text)).collect()
}

/// Returns a problem of the tensor of this name.
fn unfit(name: &str, reason: impl Into<String>) -> Problem {
    Problem::Unfit { name: name.to_owned(), reason: reason.into() }
}
