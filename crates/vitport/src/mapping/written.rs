//! The way back through a layout: what of a network of the definition is written under the layout's own names, and the Python that
//! makes a network which loads it. A layout without `[written]` is only read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::bindings::Bindings;
use super::conditions::TensorValues;
use super::expand::Expansion;
use super::language::Mapping;
use super::layout::Usual;
use super::problems::Problems;
use super::sources::Sources;
use crate::facts::{FactError, Facts, Origin, is_same};
use crate::plan::Plan;

/// Says how a layout is written: its `[written]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrittenLayout {
    /// Says whether tensors that no rule names keep their names.
    #[serde(default)]
    rest: bool,
    /// Gives, for counts of the layout, the facts that they are: `depths.0` for `depth.1`.
    #[serde(default)]
    counts: BTreeMap<String, String>,
    /// Gives, for flags of the layout, a beginning of the definition's names, or yes or no.
    #[serde(default)]
    flags: BTreeMap<String, FlagOf>,
    /// Gives the Python that makes the network, with facts and texts in braces.
    python: String,
    /// Gives the Python that makes one of the framework's own architectures, whose name is `{name}`.
    #[serde(default)]
    named: Option<String>,
    /// Gives the Python that takes the classifier away from a network without one.
    #[serde(default)]
    headless: Option<String>,
    /// Holds facts that all of the framework's networks have and that a file is not taken to have where it says nothing.
    #[serde(default)]
    held: BTreeMap<String, Usual>,
    /// Says in which kind of file the tensors lie.
    #[serde(default)]
    container: WeightFormat,
    /// Gives the Python that reads the file, where it is no state dict, with `{out}` for the folder.
    #[serde(default)]
    load: Option<String>,
    /// Lists the ends of names of what the framework's state dicts have and the network makes itself.
    #[serde(default)]
    unwritten: Vec<String>,
}

/// Names a kind of file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightFormat {
    /// Is `model.safetensors`.
    #[default]
    Safetensors,
    /// Is numpy's `model.npz`.
    Npz,
}

/// Says how a flag of a layout is known of a network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum FlagOf {
    Always(bool),
    /// Asks whether some name of the definition begins so.
    Begins(String),
}

/// Describes a fact that every network of a layout's framework has in common.
#[derive(Debug, Clone, PartialEq)]
pub struct InCommon<'a> {
    /// Names it.
    pub fact: &'a str,
    /// Gives its value there.
    pub held: &'a Value,
    /// Says whose networks these are.
    pub by: &'a str,
}

/// Stands for tensors whose values nobody looks at.
struct NoValues;

impl TensorValues for NoValues {
    fn largest(&self, _: &str) -> Result<Option<f64>, String> {
        Ok(None)
    }
}

impl Mapping {
    /// Returns the framework of its sources: `torchvision` of a layout from `torchvision/regnet`.
    pub fn framework(&self) -> &str {
        self.from.split('/').next().unwrap_or_default()
    }

    /// Returns whether networks of its definition are written under its own names.
    pub fn is_written(&self) -> bool {
        self.written.is_some()
    }

    /// Returns why the layout's framework has no network of these facts.
    pub fn refused_network(&self, facts: &Facts) -> Option<FactError> {
        self.requires.iter().find_map(|condition| condition.refusal(facts, &NoValues))
    }

    /// Returns whether no source of a mapping is a network of the layout's framework: they have a fact otherwise.
    pub fn excludes(&self, mapping: &Self) -> bool {
        let of_conditions = self.requires.iter().filter(|condition| !condition.has_flag());
        let of_conditions = of_conditions.filter_map(|condition| condition.settled(|_| true));
        of_conditions.into_iter().any(|(fact, held)| {
            let of_mapping = mapping.required(fact).map(|(value, _)| value).or_else(|| mapping.decided(fact));
            of_mapping.is_some_and(|value| !is_same(value, held))
        })
    }

    /// Returns the facts that the framework's networks have in common and these facts have otherwise.
    pub fn unlike(&self, facts: &Facts) -> Vec<InCommon<'_>> {
        let is_taken = |fact: &str| {
            let written = self.written.as_ref();
            written.is_some_and(|written| written.python.contains(&format!("{{{fact}")))
        };
        let held = self.written.iter().flat_map(|written| &written.held);
        let held = held.map(|(fact, Usual { is, by })| (fact.as_str(), is, by.as_str()));
        // What a folder does not tell is as the framework has it; verification shows what that does.
        let is_told =
            |fact: &str| facts.get(fact).is_none_or(|known| !matches!(known.origin, Origin::Definition(_)));
        self.usual()
            .chain(held)
            .filter(|(fact, ..)| !is_taken(fact) && is_told(fact))
            .filter(|(fact, held, _)| facts.value(fact).is_some_and(|wanted| !is_held(wanted, held)))
            .map(|(fact, held, by)| InCommon { fact, held, by })
            .collect()
    }

    /// Returns the plan that gives the tensors of a network of the definition the layout's names and axes.
    ///
    /// # Errors
    /// Returns everything that is wrong, at once.
    pub fn plan_written(&self, own: &Sources, facts: &Facts) -> Result<Plan, Problems> {
        let mut bindings = self.bindings(facts).unwrap_or_default();
        let keeps_rest = self.written.as_ref().is_some_and(|written| written.rest);
        if let Some(written) = &self.written {
            written.bind(own, &mut bindings);
        }
        Expansion::new(self, own, &bindings).without_originals().plan(keeps_rest)
    }

    /// Returns the Python that makes a network of these facts: by the framework's own function, if it is the architecture of that
    /// name, else by its class.
    pub fn python(&self, facts: &Facts, name: Option<&str>) -> Option<String> {
        let written = self.written.as_ref()?;
        let texts = self.bindings(facts).ok()?.texts;
        let value = |key: &str| match (key, name) {
            ("name", Some(name)) => Some(name.to_owned()),
            _ => texts.get(key).cloned().or_else(|| python_value(facts, key)),
        };
        let template = match (name, &written.named) {
            (Some(_), Some(named)) => named,
            _ => &written.python,
        };
        filled(template, &value)
    }

    /// Returns the line of Python that takes the classifier away from a network without one.
    pub fn headless(&self, facts: &Facts) -> Option<&str> {
        let headless = self.written.as_ref()?.headless.as_deref();
        headless.filter(|_| facts.flag("head") == Some(false))
    }

    /// Returns the line of Python that loads the state dict, with `{out}` for the folder.
    pub fn python_load(&self) -> String {
        let written = self.written.as_ref();
        let makes_some_itself = written.is_some_and(|written| !written.unwritten.is_empty());
        let strict = if makes_some_itself { ", strict=False" } else { "" };
        let state_dict = || {
            let file = "safetensors.torch.load_file(\"{out}/model.safetensors\")";
            format!("model.load_state_dict({file}{strict})")
        };
        written.and_then(|written| written.load.clone()).unwrap_or_else(state_dict)
    }

    /// Returns in which kind of file networks are written.
    pub fn container(&self) -> WeightFormat {
        self.written.as_ref().map_or(WeightFormat::Safetensors, |written| written.container)
    }

    /// Returns the ends of names that the framework's state dicts have and that are not written, as the network makes them itself.
    pub fn unwritten(&self) -> &[String] {
        self.written.as_ref().map_or(&[], |written| &written.unwritten)
    }
}

impl WrittenLayout {
    /// Says what the layout's counts and flags are of a network with these tensors, next to what the facts say.
    fn bind(&self, own: &Sources, bindings: &mut Bindings) {
        for (count, fact) in &self.counts {
            // A list may have fewer entries than the layout has stages.
            let number = bindings.counts.get(fact).copied().unwrap_or(0);
            bindings.counts.insert(count.clone(), number);
        }
        for (flag, of) in &self.flags {
            let is_set = match of {
                FlagOf::Always(is_set) => *is_set,
                FlagOf::Begins(stem) => own.starting_with(&[stem.as_str()]).is_some(),
            };
            bindings.flags.insert(flag.clone(), is_set);
        }
    }
}

/// Returns whether a value is the one that is held; a list of one value stands for one of any length.
fn is_held(wanted: &Value, held: &Value) -> bool {
    match (wanted, held) {
        (Value::Array(wanted), Value::Array(held))
            if held.windows(2).all(|two| matches!(two, [a, b] if is_same(a, b))) =>
        {
            held.first().is_some_and(|one| wanted.iter().all(|other| is_same(one, other)))
        }
        _ => is_same(wanted, held),
    }
}

/// Returns a text with what stands in braces replaced; none if one of them has no value.
fn filled(template: &str, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut parts = template.split('{');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (key, rest) = part.split_once('}')?;
        text.push_str(&value(key)?);
        text.push_str(rest);
    }
    Some(text)
}

/// Returns a fact, or an entry of one (`dims.0`), as Python has it.
fn python_value(facts: &Facts, key: &str) -> Option<String> {
    let value = match key.split_once('.') {
        None => facts.value(key)?,
        Some((list, place)) => facts.value(list)?.get(place.parse::<usize>().ok()?)?,
    };
    python_of(value)
}

/// Returns a value as Python has it; none for an object.
pub(super) fn python_of(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(list) => {
            let entries: Option<Vec<String>> = list.iter().map(python_of).collect();
            format!("[{}]", entries?.join(", "))
        }
        Value::Object(_) => return None,
        value => value.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Fact, Origin};
    use serde_json::json;

    #[test]
    fn facts_are_filled_in_as_python_has_them() {
        let origin = || Origin::Definition("it");
        let facts = Facts::from_iter([
            Fact::new("dims", json!([8, 16]), origin()),
            Fact::new("head", true, origin()),
            Fact::new("act_layer", "gelu", origin()),
        ]);
        let fill = |template: &str| filled(template, &|key| python_value(&facts, key));
        assert_eq!(fill("f({dims}, {dims.1}, {head})").as_deref(), Some("f([8, 16], 16, True)"));
        assert_eq!(fill("f(\"x\", {act_layer})").as_deref(), Some("f(\"x\", \"gelu\")"));
        assert_eq!([fill("{dims.2}"), fill("{unknown}"), fill("{head")], [None, None, None]);
    }
}
