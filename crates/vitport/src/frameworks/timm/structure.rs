//! Reads what the tensors of a checkpoint show: whether they are a network of a definition, which variant of it, and its sizes. A
//! definition declares that as tables of signs, and everything here reads them.

use serde_json::{Value, json};

use super::super::source::{Inquiry, axes, lengths};
use super::field::Literal;
use crate::facts::{Evidence, FactError};
use crate::mapping::Sources;

/// Limits the stages that are looked at to twice what any network of timm's has.
const MOST_STAGES: u64 = 8;

/// Declares what a definition knows of its tensors.
#[derive(Debug)]
pub(super) struct Structure {
    /// Lists groups of beginnings of names. Of each group a tensor has one.
    pub recognised_by: &'static [&'static [&'static str]],
    /// Lists the parts of names that only other networks have.
    pub unlike: &'static [&'static str],
    /// Says what shows each fact, in the order in which facts are listed. [`Sign::Other`] comes before sizes.
    pub signs: &'static [(&'static str, Sign)],
    /// Reads what no sign does of the sizes, before these, and says whether they can be read.
    pub check: Option<Check>,
}

/// Looks at sizes as only one definition does.
pub(super) type Check = fn(&Inquiry<'_>, &mut Evidence) -> Result<bool, FactError>;

/// Says what shows a fact. A name may have `{s}` in it, for the stages, or `{s1}` if they are counted from 1, and then the fact is
/// a list with an entry for each; `{b}` stands for the first block of a stage. Origins name what follows the last of these.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sign {
    /// Says that the fact has this value if a name begins with one of these, and is otherwise not said.
    Part(&'static [&'static str], Literal),
    /// Says that the fact has this value if one of these is a part of a name, and is otherwise not said. It is a variant whose sizes are
    /// not read, as their shapes mean something else.
    Other(&'static [&'static str], Literal),
    /// Says that the fact has this value if there is no such tensor and nothing else is said of it. The origin has these words
    /// before the tensor's name.
    Lack(&'static str, Literal, &'static str),
    /// Says that the fact has this value if there is the first tensor and not the second, and is otherwise not said.
    Without(&'static str, &'static str, Literal),
    /// Stands for the length of the second of three axes, if there is such a tensor.
    Tokens(&'static str),
    /// Says whether there is one of these tensors.
    NeedsOne(&'static [&'static str]),
    /// Says whether there is this tensor, without which the network is another one.
    Needs(&'static str),
    /// Says whether there is this tensor.
    Has(&'static str),
    /// Says whether this tensor is a kernel, of four axes.
    IsKernel(&'static str),
    /// Stands for the length of an axis, counted from 0, of a tensor that has the given number of them.
    Axis(&'static str, usize, usize),
    /// Stands for the height and width of a kernel.
    Edges(&'static str),
    /// Counts the numbers from 0 on that follow this name.
    Count(&'static str),
    /// Counts the numbers from 1 on that follow this name, without a dot between.
    CountFromOne(&'static str),
    /// Stands for the rows of a linear layer's weight, 0 if there is no such layer.
    Classes(&'static str),
}

impl Structure {
    /// Stands for tensors of which nothing is known.
    pub const NOTHING: Self = Self { recognised_by: &[], unlike: &[], signs: &[], check: None };

    /// Returns whether tensors are a network of the definition, be it one that has no target.
    pub fn recognises(&self, tensors: &Sources) -> bool {
        let is_there = |group: &&[&str]| tensors.starting_with(group).is_some();
        let is_unlike = |name: &str| self.unlike.iter().any(|part| name.contains(part));
        self.recognised_by.iter().all(is_there) && !tensors.iter().any(|tensor| is_unlike(&tensor.name))
    }

    /// Reads the signs.
    ///
    /// # Errors
    /// Returns [`FactError::Misshapen`] for tensors that do not go together. `family` is what errors call the network.
    pub fn read(
        &self,
        inquiry: &Inquiry<'_>,
        family: &'static str,
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        let (mut has_sizes, mut is_other) = (None, false);
        for (fact, sign) in self.signs {
            let can_be_read = match has_sizes {
                _ if !sign.is_size() => true,
                Some(known) => known,
                None => *has_sizes.insert(!is_other && self.has_sizes(inquiry, evidence)?),
            };
            if can_be_read {
                sign.read(fact, inquiry.tensors, family, evidence)?;
            }
            is_other |= matches!(sign, Sign::Other(..)) && evidence.has(fact);
        }
        Ok(())
    }

    fn has_sizes(&self, inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
        self.check.map_or(Ok(true), |check| check(inquiry, evidence))
    }
}

impl Sign {
    /// Returns whether it shows a size, and not a variant.
    fn is_size(self) -> bool {
        !matches!(
            self,
            Sign::Part(..)
                | Sign::Other(..)
                | Sign::Lack(..)
                | Sign::Without(..)
                | Sign::Tokens(_)
                | Sign::NeedsOne(_)
                | Sign::Needs(_)
        )
    }

    fn read(
        self,
        fact: &'static str,
        tensors: &Sources,
        family: &'static str,
        evidence: &mut Evidence,
    ) -> Result<(), FactError> {
        match self {
            Sign::Part(prefixes, value) => {
                if let Some(name) = tensors.starting_with(prefixes) {
                    evidence.weights(fact, value, name);
                }
            }
            Sign::Other(parts, value) => {
                let is_it = |name: &str| parts.iter().any(|part| name.contains(part));
                if let Some(tensor) = tensors.iter().find(|tensor| is_it(&tensor.name)) {
                    evidence.weights(fact, value, &*tensor.name);
                }
            }
            Sign::Lack(name, ..) if tensors.has(name) || evidence.has(fact) => {}
            Sign::Lack(name, value, words) => evidence.weights(fact, value, format!("{words} {name}")),
            Sign::Without(present, absent, value) => {
                if tensors.has(present) && !tensors.has(absent) {
                    evidence.weights(fact, value, format!("{present} without {absent}"));
                }
            }
            Sign::Tokens(name) => {
                if let Some(shape) = tensors.shape(name) {
                    // The network has one of another shape refused where it is read.
                    evidence.weights(
                        fact,
                        shape.get(1).filter(|_| shape.len() == 3).copied().unwrap_or(1),
                        name,
                    );
                }
            }
            Sign::NeedsOne(names) => match names.iter().find(|name| tensors.has(name)) {
                Some(name) => evidence.weights(fact, true, *name),
                None => evidence.weights(fact, false, format!("the absence of {}", names.join(" and "))),
            },
            Sign::Needs(name) if tensors.has(name) => evidence.weights(fact, true, name),
            Sign::Needs(name) => evidence.weights(fact, false, format!("the absence of {name}")),
            Sign::Classes(name) if !tensors.has(name) => evidence.weights(fact, 0, format!("no {name}")),
            Sign::Has(pattern)
            | Sign::IsKernel(pattern)
            | Sign::Axis(pattern, ..)
            | Sign::Edges(pattern)
            | Sign::Count(pattern)
            | Sign::CountFromOne(pattern)
            | Sign::Classes(pattern) => {
                let stages = [("{s}", 0), ("{s1}", 1)];
                let stages = stages.iter().find_map(|of| Some((of, pattern.split_once(of.0)?.0)));
                let value = match stages {
                    None => self.of_tensor(pattern, tensors, family)?,
                    Some(((hole, first), before)) => {
                        let count = tensors.count_indices_from(*first, before).min(MOST_STAGES);
                        let stages = *first..first + count;
                        let name = |stage: u64| pattern.replace(hole, &stage.to_string()).replace("{b}", "0");
                        let each = stages.map(|stage| self.of_tensor(&name(stage), tensors, family));
                        Value::Array(each.collect::<Result<_, _>>()?)
                    }
                };
                let shown = pattern.rsplit("}.").next().unwrap_or(pattern);
                match value == Value::Bool(false) && matches!(self, Sign::Has(_)) {
                    true => evidence.weights(fact, value, format!("the absence of {shown}")),
                    false => evidence.weights(fact, value, shown),
                }
            }
        }
        Ok(())
    }

    /// Returns what the tensor of this name shows.
    fn of_tensor(self, name: &str, tensors: &Sources, family: &'static str) -> Result<Value, FactError> {
        Ok(match self {
            Sign::IsKernel(_) => json!(tensors.shape(name).is_some_and(|shape| shape.len() == 4)),
            Sign::Axis(_, axis, axes) => json!(lengths(tensors, name, axes, family)?.get(axis)),
            Sign::Edges(_) => json!(lengths(tensors, name, 4, family)?.get(2..)),
            Sign::Count(_) => json!(tensors.count_indices(&format!("{name}."))),
            Sign::CountFromOne(_) => json!(tensors.count_indices_from(1, name)),
            Sign::Classes(_) => match tensors.shape(name).unwrap_or_default() {
                [classes, _] => json!(classes),
                shape => {
                    let reason = format!("its shape is {shape:?}, not two-dimensional");
                    return Err(FactError::Misshapen { tensor: name.to_owned(), family, reason });
                }
            },
            // `Has`, and those that are read otherwise.
            _ => json!(tensors.has(name)),
        })
    }
}

/// Returns the channels of the stem and those that come out of each of at most four stages, of the kernels that have these names: `stage` is what
/// stands before and after the number of a stage, which is counted from 1.
///
/// # Errors
/// Returns [`FactError::Misshapen`] for a tensor that is missing or is not a kernel.
pub(super) fn channels(
    tensors: &Sources,
    stem: &str,
    [before, after]: [&str; 2],
    family: &'static str,
) -> Result<Vec<u64>, FactError> {
    let stages = 1..=tensors.count_indices_from(1, before).min(4);
    let names = stages.map(|stage| format!("{before}{stage}{after}"));
    let kernels = [stem.to_owned()].into_iter().chain(names);
    kernels.map(|name| Ok(axes::<4>(tensors, &name, family)?[0])).collect()
}
