//! `requires`: what a source must be for a mapping to hold, each condition with the sentence that a refusal says. A
//! condition on a fact is checked as soon as the fact is known; one on a tensor's values, on the file, before a mapping is
//! chosen.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::builtin::mappings;
use super::written::python_of;
use crate::facts::{Fact, FactError, Facts, Origin, is_same};

/// Describes one condition.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Gives the fact that it is about.
    #[serde(default)]
    fact: Option<String>,
    /// Gives the value that the fact must have.
    #[serde(default)]
    is: Option<Value>,
    /// Lists the values of which the fact must have one.
    #[serde(default)]
    one_of: Option<Vec<Value>>,
    /// Lists the values of which the fact may have none.
    #[serde(default)]
    none_of: Option<Vec<Value>>,
    /// Gives the least that the fact, a number, may be.
    #[serde(default)]
    at_least: Option<u64>,
    /// Lists the least that each entry of the fact, a list, may be.
    #[serde(default)]
    each_at_least: Option<Vec<u64>>,
    /// Holds the values that several facts must have, each a condition of its own with the same sentence.
    #[serde(default)]
    all: BTreeMap<String, Value>,
    /// Says whether the fact, height and width, must be the same number twice.
    #[serde(default)]
    square: bool,
    /// Gives the number of which each entry of the fact must be a multiple, or the fact that is it.
    #[serde(default)]
    multiple_of: Option<Value>,
    /// Gives the facts of the patches, the windows and the depths of stages whose maps, of an image of the fact's size that is halved
    /// between them, must be whole windows or no larger than one.
    #[serde(default)]
    whole_windows: Option<[String; 3]>,
    /// Says of `whole_windows` that no map may be smaller than a window.
    #[serde(default)]
    no_smaller: bool,
    /// Gives the tensor that it is about. `{i}` in its name stands for each number from 0 up for which there is such a tensor.
    #[serde(default)]
    tensor: Option<String>,
    /// Gives a tensor that the tensor is multiplied with, whose zeros do as well as its own.
    #[serde(default)]
    masked_by: Option<String>,
    /// Says what the tensor's values must be.
    #[serde(default)]
    values: Option<Values>,
    /// Gives a flag without which the condition does not matter.
    #[serde(default)]
    when: Option<String>,
    /// Gives a flag with which the condition does not matter.
    #[serde(default)]
    unless: Option<String>,
    /// Says what a source is that fails it: `a ViT with register tokens`. `{found}` stands for the fact's value, `{index}` for
    /// the number of the entry that fails; with `all`, `{fact}` for its name and `{wanted}` for the value that it must have, both values
    /// as Python has them.
    what: String,
    /// Says why the target cannot hold that.
    why: String,
    /// Says what could hold it, or what to do: [`NOTHING_HOLDS_IT`] if neither this nor `could` is there.
    #[serde(default)]
    instead: Option<String>,
    /// Says what could hold it; a refusal says whether a mapping makes it of such sources.
    #[serde(default)]
    could: Option<String>,
    /// Names the definition of the mapping's sources.
    #[serde(skip)]
    from: String,
    /// Says whether it comes from `all`, whose sentence has values as Python has them.
    #[serde(skip)]
    is_one_of_all: bool,
}

/// Says of other targets what a condition leaves out.
const NOTHING_HOLDS_IT: &str = "no class in transformers holds it";

/// Says what the values of a tensor must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// Requires that all are 0.
    Zero,
}

/// Looks at the values of the source's tensors.
pub trait TensorValues {
    /// Returns the largest absolute value of the tensor of this name; none if there is no such tensor.
    ///
    /// # Errors
    /// Returns what keeps it from being read, in words.
    fn largest(&self, tensor: &str) -> Result<Option<f64>, String>;
}

impl Condition {
    /// Returns the conditions that it stands for, of a mapping of sources of the definition `from`: one for each fact of `all`, else
    /// itself.
    pub(super) fn each(mut self, from: &str) -> Vec<Self> {
        from.clone_into(&mut self.from);
        let all = std::mem::take(&mut self.all);
        if all.is_empty() {
            return vec![self];
        }
        let of_fact = |(name, value): (String, Value)| {
            let wanted = python_of(&value).unwrap_or_default();
            let fill = |text: &str| text.replace("{fact}", &name).replace("{wanted}", &wanted);
            let (what, why) = (fill(&self.what), fill(&self.why));
            let (instead, could) = (self.instead.as_deref().map(fill), self.could.as_deref().map(fill));
            Self {
                fact: Some(name),
                is: Some(value),
                what,
                why,
                instead,
                could,
                is_one_of_all: true,
                ..self.clone()
            }
        };
        all.into_iter().map(of_fact).collect()
    }

    /// Returns what is wrong with its sentence, if it cannot be used.
    pub(super) fn fault(&self) -> Option<String> {
        let has_both = self.instead.is_some() && self.could.is_some();
        has_both.then(|| format!("\"{}\" has both `instead` and `could`; leave one of them out", self.what))
    }

    /// Returns the last part of the refusal.
    fn instead(&self) -> String {
        match (&self.instead, &self.could) {
            (Some(instead), _) => instead.clone(),
            (None, Some(could)) if self.is_written(could) => {
                format!("{could} holds some such networks, and not this one")
            }
            (None, Some(could)) => format!("{could} could hold it, which vitport does not write yet"),
            (None, None) => NOTHING_HOLDS_IT.to_owned(),
        }
    }

    /// Returns whether there are mappings of such a source to each of these classes, with ` or ` between them.
    fn is_written(&self, classes: &str) -> bool {
        let own = || mappings().iter().filter(|mapping| mapping.from() == self.from);
        classes.split(" or ").all(|class| own().any(|mapping| mapping.classes().contains(&class)))
    }

    /// Returns whether it is about the values of a tensor.
    pub(super) fn is_of_values(&self) -> bool {
        self.values.is_some()
    }

    /// Returns whether it is checked with a flag only, or without one.
    pub(super) fn has_flag(&self) -> bool {
        self.when.is_some() || self.unless.is_some()
    }

    /// Returns the fact that it is about, and the value that it has wherever the mapping holds, if there is only one. `flag` says
    /// which flags are set.
    pub(super) fn settled(&self, flag: impl Fn(&str) -> bool) -> Option<(&str, &Value)> {
        let matters = self.when.as_deref().is_none_or(&flag) && !self.unless.as_deref().is_some_and(&flag);
        Some((self.fact.as_deref()?, self.is.as_ref().filter(|_| matters)?))
    }

    /// Returns the value that a fact must have, and why, if it is about that fact and no flag.
    pub(super) fn required(&self, fact: &str) -> Option<(&Value, &str)> {
        let is_about = self.fact.as_deref() == Some(fact) && !self.has_flag();
        Some((self.is.as_ref().filter(|_| is_about)?, &self.why))
    }

    /// Returns the tensor whose values must all be 0, if it is about one.
    pub(super) fn zero_tensor(&self) -> Option<&str> {
        match self.values? {
            Values::Zero => self.tensor.as_deref(),
        }
    }

    /// Returns whether it is about what was asked for, and not about the source.
    pub(super) fn is_asked(&self, facts: &Facts) -> bool {
        let fact = self.fact.as_deref().and_then(|fact| facts.get(fact));
        fact.is_some_and(|fact| matches!(fact.origin, Origin::Request(_)))
    }

    /// Returns the refusal, if the source fails the condition. What is not known yet fails nothing.
    pub fn refusal(&self, facts: &Facts, values: &dyn TensorValues) -> Option<FactError> {
        if let Some(flag) = &self.when
            && facts.flag(flag) != Some(true)
        {
            return None;
        }
        if let Some(flag) = &self.unless
            && facts.flag(flag) != Some(false)
        {
            return None;
        }
        if let (Some(tensor), Some(Values::Zero)) = (&self.tensor, self.values) {
            return self.of_zeros(tensor, values);
        }
        let fact = facts.get(self.fact.as_deref()?)?;
        if let Some(of) = &self.multiple_of {
            let step = of.as_u64().or_else(|| facts.number(of.as_str()?)).filter(|step| *step > 0)?;
            let is_multiple = |edge: &Value| edge.as_u64().is_some_and(|edge| edge.is_multiple_of(step));
            let fails = !fact.value.as_array()?.iter().all(is_multiple);
            let fill = |text: &str| text.replace("{wanted}", &step.to_string());
            let wanted = || Self { what: fill(&self.what), why: fill(&self.why), ..self.clone() };
            return fails.then(|| wanted().no_target(&fact.shown(), 0, detected_by(fact)));
        }
        if let Some([patch, window, depths]) = &self.whole_windows {
            let patch = facts.value(patch)?.get(0)?.as_u64().filter(|patch| *patch > 0)?;
            let (window, stages) = (facts.number(window)?, facts.value(depths)?.as_array()?.len());
            let is_whole = |edge: &Value| {
                let map = |stage: u32| (edge.as_u64().unwrap_or(0) / patch) >> stage.min(63);
                (0..u32::try_from(stages).unwrap_or(u32::MAX).min(64)).all(|stage| {
                    let may_be_one = map(stage) <= window && !self.no_smaller;
                    may_be_one || window > 0 && map(stage) > 0 && map(stage).is_multiple_of(window)
                })
            };
            let fails = !fact.value.as_array()?.iter().all(is_whole);
            return fails.then(|| self.no_target(&fact.shown(), 0, detected_by(fact)));
        }
        let failing = self.failing_entry(&fact.value)?;
        let found = match (&fact.value, &self.each_at_least) {
            (Value::Array(list), Some(_)) => list.get(failing).map_or_else(String::new, Value::to_string),
            (value, None) if self.is_one_of_all => python_of(value).unwrap_or_default(),
            _ => fact.shown(),
        };
        Some(self.no_target(&found, failing, detected_by(fact)))
    }

    /// Returns the refusal, if the tensor of this name, or one of those for which its `{i}` stands, has another value than 0.
    fn of_zeros(&self, tensor: &str, values: &dyn TensorValues) -> Option<FactError> {
        for index in 0_u32.. {
            let of_index = |name: &str| name.replace("{i}", &index.to_string());
            let name = of_index(tensor);
            let mask = self.masked_by.as_deref().map(of_index);
            let is_masked = |mask: String| values.largest(&mask) == Ok(Some(0.0));
            match values.largest(&name) {
                Ok(None) => return None,
                Ok(Some(0.0)) => {}
                Ok(Some(_)) if mask.is_some_and(is_masked) => {}
                Ok(Some(largest)) => return Some(self.no_target(&format!("{largest:e}"), 0, Some(name))),
                Err(reason) => {
                    return Some(FactError::Misshapen { tensor: name, family: "network", reason });
                }
            }
            if name == tensor {
                break;
            }
        }
        None
    }

    /// Returns the index of the entry that fails, 0 for a fact that is not a list; none if all is as it must be.
    fn failing_entry(&self, value: &Value) -> Option<usize> {
        if let Some(wanted) = &self.is {
            return match (wanted, value) {
                (Value::Array(wanted), Value::Array(found)) => {
                    let differs =
                        wanted.iter().zip(found).position(|(wanted, found)| !is_same(wanted, found));
                    differs.or_else(|| (wanted.len() != found.len()).then_some(wanted.len().min(found.len())))
                }
                (wanted, found) => (!is_same(wanted, found)).then_some(0),
            };
        }
        if let Some(allowed) = &self.one_of {
            return (!allowed.iter().any(|allowed| is_same(allowed, value))).then_some(0);
        }
        if let Some(refused) = &self.none_of {
            return refused.iter().any(|refused| is_same(refused, value)).then_some(0);
        }
        if let Some(least) = self.at_least {
            return value.as_u64().is_none_or(|number| number < least).then_some(0);
        }
        if self.square {
            return (value.get(0) != value.get(1)).then_some(0);
        }
        let least = self.each_at_least.as_ref()?;
        let entries = value.as_array()?;
        entries.iter().zip(least).position(|(entry, least)| entry.as_u64().is_none_or(|entry| entry < *least))
    }

    fn no_target(&self, found: &str, index: usize, tensor: Option<String>) -> FactError {
        let fill = |text: &str| text.replace("{found}", found).replace("{index}", &index.to_string());
        FactError::NoTarget {
            what: fill(&self.what),
            why: fill(&self.why),
            tensor,
            instead: fill(&self.instead()),
        }
    }
}

/// Returns what shows a fact, as a refusal names it.
fn detected_by(fact: &Fact) -> Option<String> {
    match &fact.origin {
        Origin::Weights(tensor) => Some(tensor.clone()),
        Origin::Config(key) => Some(format!("{key} in config.json")),
        Origin::Registry(_) => None,
        origin => Some(origin.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Largest(Option<f64>);

    impl TensorValues for Largest {
        fn largest(&self, _: &str) -> Result<Option<f64>, String> {
            Ok(self.0)
        }
    }

    fn condition(text: &str) -> Condition {
        let sentences = "what = \"a {found} in {index}\"\nwhy = \"no\"\ninstead = \"none\"";
        toml::from_str(&format!("{text}\n{sentences}")).unwrap()
    }

    fn refusal(text: &str, value: Value) -> Option<String> {
        let fact = Fact::new("x", value, Origin::Weights("x.weight".to_owned()));
        let facts = Facts::from_iter([fact]);
        condition(text).refusal(&facts, &Largest(None)).map(|error| error.to_string())
    }

    #[test]
    fn a_fact_must_have_its_value() {
        assert_eq!(refusal("fact = \"x\"\nis = false", json!(false)), None);
        let refused = refusal("fact = \"x\"\nis = false", json!(true)).unwrap();
        assert_eq!(refused, "a yes in 0 cannot be converted: no (detected by x.weight); none");
        assert_eq!(refusal("fact = \"unknown\"\nis = false", json!(true)), None);
        assert_eq!(refusal("fact = \"x\"\none_of = [\"gelu\", \"relu\"]", json!("relu")), None);
        assert!(refusal("fact = \"x\"\none_of = [\"gelu\"]", json!("silu")).is_some());
    }

    #[test]
    fn the_entry_that_fails_is_named() {
        let refused = refusal("fact = \"x\"\neach_at_least = [1, 2, 3]", json!([1, 2, 2])).unwrap();
        assert!(refused.starts_with("a 2 in 2 "), "{refused}");
        let refused = refusal("fact = \"x\"\nis = [false, true]", json!([true, true])).unwrap();
        assert!(refused.contains("in 0 "), "{refused}");
        assert!(refusal("fact = \"x\"\nis = [false]", json!([false, true])).unwrap().contains("in 1 "));
    }

    #[test]
    fn several_facts_share_a_sentence() {
        let text =
            "what = \"{fact} {found}\"\nwhy = \"not {wanted}\"\ninstead = \"none\"\n[all]\nx = false\ny = 3";
        let conditions = toml::from_str::<Condition>(text).unwrap().each("framework/net");
        let origin = || Origin::Weights("x.weight".to_owned());
        let facts = Facts::from_iter([Fact::new("x", true, origin()), Fact::new("y", 3, origin())]);
        let refusals = conditions.iter().filter_map(|condition| condition.refusal(&facts, &Largest(None)));
        let refused: Vec<String> = refusals.map(|error| error.to_string()).collect();
        assert_eq!(refused, ["x True cannot be converted: not False (detected by x.weight); none"]);
    }

    #[test]
    fn the_last_part_of_a_refusal_may_be_left_out() {
        let refused = |rest: &str| {
            let text = format!("fact = \"x\"\nis = 1\nwhat = \"a net\"\nwhy = \"no\"\n{rest}");
            let facts = Facts::from_iter([Fact::new("x", 2, Origin::Definition("it"))]);
            let condition = toml::from_str::<Condition>(&text).unwrap();
            condition.refusal(&facts, &Largest(None)).unwrap().to_string()
        };
        assert!(refused("").ends_with("; no class in transformers holds it"));
        let could = refused("could = \"NetModel\"");
        assert!(could.ends_with("; NetModel could hold it, which vitport does not write yet"), "{could}");
        assert!(condition("fact = \"x\"\ncould = \"NetModel\"").fault().unwrap().contains("leave one"));
    }

    #[test]
    fn edges_must_be_equal() {
        assert_eq!(refusal("fact = \"x\"\nsquare = true", json!([16, 16])), None);
        assert!(refusal("fact = \"x\"\nsquare = true", json!([16, 12])).is_some());
    }

    #[test]
    fn edges_must_be_multiples() {
        let origin = || Origin::Definition("it");
        let refused = |edges: Value, step: u64| {
            let facts =
                Facts::from_iter([Fact::new("x", edges, origin()), Fact::new("step", step, origin())]);
            let text = "fact = \"x\"\nmultiple_of = \"step\"\nwhat = \"{found}\"\nwhy = \"not {wanted}\"";
            let condition = toml::from_str::<Condition>(text).unwrap();
            condition.refusal(&facts, &Largest(None)).map(|error| error.to_string())
        };
        assert_eq!(refused(json!([32, 64]), 32), None);
        assert!(refused(json!([32, 48]), 32).unwrap().contains("not 32"));
        assert_eq!(refusal("fact = \"x\"\nmultiple_of = \"unknown\"", json!([3, 4])), None);
        let refused = |edges: Value| refusal("fact = \"x\"\nmultiple_of = 2", edges).is_some();
        assert_eq!([refused(json!([2, 4])), refused(json!([2, 3]))], [false, true]);
    }

    #[test]
    fn maps_must_be_whole_windows() {
        let origin = || Origin::Definition("it");
        let refused = |edge: u64, window: u64| {
            let facts = Facts::from_iter([
                Fact::new("x", json!([edge, edge]), origin()),
                Fact::new("patch", json!([4, 4]), origin()),
                Fact::new("window", window, origin()),
                Fact::new("depths", json!([2, 2, 6, 2]), origin()),
            ]);
            condition("fact = \"x\"\nwhole_windows = [\"patch\", \"window\", \"depths\"]")
                .refusal(&facts, &Largest(None))
                .is_some()
        };
        // Maps of 64, 32, 16 and 8; of 56, 28, 14 and 7; of 32, 16, 8 and 4.
        assert_eq!(
            [refused(256, 16), refused(256, 7), refused(224, 8), refused(128, 8)],
            [false, true, true, false]
        );
    }

    #[test]
    fn values_of_a_tensor_are_looked_at() {
        let condition = condition("tensor = \"head.bias\"\nvalues = \"zero\"");
        let refused = |largest| condition.refusal(&Facts::default(), &Largest(largest)).is_some();
        assert_eq!([None, Some(0.0), Some(0.5)].map(refused), [false, false, true]);
    }
}
