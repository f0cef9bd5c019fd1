//! A layout is a mapping onto the names of one definition: the same network under other names and with other axes. It says
//! how it is detected, and what its own names and shapes tell.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::bindings::Bindings;
use super::conditions::TensorValues;
use super::language::Mapping;
use super::problems::Problems;
use super::sources::Sources;
use crate::facts::{Evidence, FactError, Facts, Origin};
use crate::plan::Plan;

/// Says how a layout is detected: its `[detect]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// Lists beginnings of names, each of which some tensor must have.
    names: Vec<String>,
    /// Says whether tensors that no rule names keep their names.
    #[serde(default)]
    rest: bool,
    /// Says whether a rule may name tensors that are not there.
    #[serde(default)]
    partial: bool,
    /// Holds the facts that hold where nothing else is said, and who says so.
    #[serde(default)]
    usual: BTreeMap<String, Usual>,
    /// Counts: how many numbers from 0 on stand after a beginning of names.
    #[serde(default)]
    counts: BTreeMap<String, String>,
    /// Gives flags: whether some tensor's name begins so.
    #[serde(default)]
    flags: BTreeMap<String, String>,
    /// Maps facts that lengths of axes of tensors show.
    #[serde(default)]
    facts: BTreeMap<String, Shown>,
    /// Lists structures that have this layout's look and do not have it.
    #[serde(default)]
    refuse: Vec<Refusal>,
}

/// Lists the axes that show a fact.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Shown {
    One(Axis),
    Several(Vec<Axis>),
}

/// Describes an axis of a tensor, or of all tensors of a name in which `{n}` is any number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Axis {
    tensor: String,
    axis: usize,
    #[serde(default)]
    length: Length,
}

/// Says how long an axis is for a fact of n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Length {
    #[default]
    #[serde(rename = "n")]
    Itself,
    /// Counts the distances of n tokens in a row.
    #[serde(rename = "2n-1")]
    Distances,
    #[serde(rename = "n^2")]
    Square,
    #[serde(rename = "n^4")]
    SquareOfSquare,
}

impl Length {
    /// Returns the n of a length; none if no whole number has it.
    fn number(self, length: u64) -> Option<u64> {
        let root = |square: u64| Some(square.isqrt()).filter(|root| root.checked_pow(2) == Some(square));
        match self {
            Self::Itself => Some(length),
            Self::Distances => (!length.is_multiple_of(2)).then_some(length.div_ceil(2)),
            Self::Square => root(length),
            Self::SquareOfSquare => root(root(length)?),
        }
    }

    /// Returns how a length is written that some whole number has.
    fn in_words(self) -> &'static str {
        match self {
            Self::Itself => "a number",
            Self::Distances => "an odd number",
            Self::Square => "a square",
            Self::SquareOfSquare => "a fourth power",
        }
    }
}

impl Axis {
    /// Returns whether a tensor has its name.
    fn is_of(&self, name: &str) -> bool {
        let mut parts = self.tensor.split("{n}");
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        for part in parts {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            match rest.get(digits..).and_then(|after| after.strip_prefix(part)) {
                Some(after) if digits > 0 => rest = after,
                _ => return false,
            }
        }
        rest.is_empty()
    }
}

/// Describes a value that a fact has where nothing else is said.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Usual {
    pub is: serde_json::Value,
    pub by: String,
}

/// Describes a structure that is refused because of a tensor's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    name: String,
    what: String,
    why: String,
    instead: String,
}

impl Mapping {
    /// Returns the beginnings of names by which it is detected, a group each.
    pub fn anchors(&self) -> Vec<Vec<&str>> {
        self.detect.iter().flat_map(|detect| &detect.names).map(|name| vec![name.as_str()]).collect()
    }

    /// Returns whether these tensors lie in this layout.
    pub fn is_layout_of(&self, sources: &Sources) -> bool {
        self.detect.as_ref().is_some_and(|detect| {
            detect.names.iter().all(|name| sources.starting_with(&[name.as_str()]).is_some())
        })
    }

    /// Returns the structure that is not a network of this layout, though it looks like one.
    pub fn refused_layout(&self, sources: &Sources) -> Option<FactError> {
        let refusals = &self.detect.as_ref()?.refuse;
        refusals.iter().find_map(|refusal| {
            let name = sources.starting_with(&[refusal.name.as_str()])?;
            Some(FactError::NoTarget {
                what: refusal.what.clone(),
                why: refusal.why.clone(),
                tensor: Some(name.to_owned()),
                instead: refusal.instead.clone(),
            })
        })
    }

    /// Returns the structure that the values of its tensors, under the definition's names, show not to be one of this layout.
    pub fn refused_values(&self, values: &dyn TensorValues) -> Option<FactError> {
        self.requires.iter().find_map(|condition| condition.refusal(&Facts::default(), values))
    }

    /// Adds what the axes of this layout's tensors show.
    ///
    /// # Errors
    /// Returns [`FactError::Misshapen`] for an axis whose length no value of the fact makes.
    pub fn layout_evidence(
        &self,
        sources: &Sources,
        evidence: &mut Evidence,
        fact_names: &[&'static str],
    ) -> Result<(), FactError> {
        for (fact, shown) in self.detect.iter().flat_map(|detect| &detect.facts) {
            let Some(name) = fact_names.iter().find(|name| *name == fact) else { continue };
            let axes = match shown {
                Shown::One(axis) => std::slice::from_ref(axis),
                Shown::Several(axes) => axes.as_slice(),
            };
            for axis in axes {
                for tensor in sources.iter().filter(|tensor| axis.is_of(&tensor.name)) {
                    let Some(length) = tensor.shape.get(axis.axis) else { continue };
                    let Some(number) = axis.length.number(*length) else {
                        let wanted = axis.length.in_words();
                        let reason = format!("axis {} has a length of {length}, not {wanted}", axis.axis);
                        return Err(FactError::Misshapen {
                            tensor: tensor.name.to_string(),
                            family: "network",
                            reason,
                        });
                    };
                    evidence.weights(name, number, &*tensor.name);
                }
            }
        }
        for (fact, is, by) in self.usual() {
            if let Some(name) = fact_names.iter().find(|name| **name == fact) {
                evidence.add(name, is.clone(), Origin::Convention(by.to_owned()));
            }
        }
        Ok(())
    }

    /// Returns the facts that hold where nothing else is said, each with who says so.
    pub(super) fn usual(&self) -> impl Iterator<Item = (&str, &serde_json::Value, &str)> {
        let all = self.detect.iter().flat_map(|detect| &detect.usual);
        all.map(|(fact, Usual { is, by })| (fact.as_str(), is, by.as_str()))
    }

    /// Returns a text about tensors of the definition with the file's names for them, those of `laid_out`.
    pub fn in_file_names(&self, laid_out: &Sources, prefix: &str, text: &str) -> String {
        let in_file = |name: &str| match laid_out.entry(name) {
            Some((_, tensor)) => {
                tensor.names_in_file().next().map(|name| name.strip_prefix(prefix).unwrap_or(name).to_owned())
            }
            None => self.source_of(name),
        };
        let word = |word: &str| {
            let name = word.trim_end_matches(',');
            in_file(name).map_or_else(|| word.to_owned(), |found| word.replace(name, &found))
        };
        text.split(' ').map(word).collect::<Vec<_>>().join(" ")
    }

    /// Returns the source of the rule that makes this one tensor.
    fn source_of(&self, target: &str) -> Option<String> {
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.operation.targets().iter().any(|pattern| pattern.to_string() == target))?;
        rule.operation.sources().first().map(ToString::to_string)
    }

    /// Returns what the layout's variables stand for in these tensors.
    pub fn layout_bindings(&self, sources: &Sources) -> Bindings {
        let Some(detect) = &self.detect else { return Bindings::default() };
        let count = |(name, stem): (&String, &String)| (name.clone(), sources.count_indices(stem));
        let flag = |(name, stem): (&String, &String)| {
            (name.clone(), sources.starting_with(&[stem.as_str()]).is_some())
        };
        let (counts, flags) = (detect.counts.iter().map(count), detect.flags.iter().map(flag));
        Bindings { counts: counts.collect(), flags: flags.collect(), ..Bindings::default() }
    }

    /// Returns the plan that gives these tensors the names and axes of the definition.
    ///
    /// # Errors
    /// Returns everything that is wrong, at once.
    pub fn lay_out(&self, sources: &Sources) -> Result<Plan, Problems> {
        let bindings = self.layout_bindings(sources);
        self.expand(sources, &bindings, None, self.keeps_rest())
    }

    /// Returns whether its rules may name tensors that are not there.
    pub(super) fn is_partial(&self) -> bool {
        self.detect.as_ref().is_some_and(|detect| detect.partial)
    }

    /// Returns whether tensors that no rule names keep their names.
    pub(super) fn keeps_rest(&self) -> bool {
        self.detect.as_ref().is_some_and(|detect| detect.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_that_of_one_number_or_of_none() {
        let of = |length: Length, all: [u64; 3]| all.map(|each| length.number(each));
        assert_eq!(of(Length::Itself, [0, 1, 4]), [Some(0), Some(1), Some(4)]);
        assert_eq!(of(Length::Distances, [1, 7, 8]), [Some(1), Some(4), None]);
        assert_eq!(of(Length::Square, [1, 49, 50]), [Some(1), Some(7), None]);
        assert_eq!(of(Length::SquareOfSquare, [256, 16, 64]), [Some(4), Some(2), None]);
        assert_eq!(Length::SquareOfSquare.number(u64::MAX), None);
    }

    #[test]
    fn a_name_with_numbers_stands_for_all() {
        let axis = |tensor: &str| Axis { tensor: tensor.to_owned(), axis: 0, length: Length::Itself };
        assert!(axis("a.{n}.b.{n}").is_of("a.1.b.23") && axis("a.b").is_of("a.b"));
        for name in ["a.b.1", "a..b.1", "a.1.b.", "a.1.b.2.c", "x.a.1.b.2"] {
            assert!(!axis("a.{n}.b.{n}").is_of(name), "{name}");
        }
    }
}
