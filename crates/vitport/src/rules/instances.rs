//! A rule is written out for every value of its variables; here they take these values in turn.

use std::collections::BTreeSet;

use super::expand::Bindings;
use super::language::{Rule, Rules};
use super::pattern::{Side, Text, Value, Values};

/// Names that all rules of a file together may stand for: some hundred times what the largest vision model has, and few enough
/// that a rule file whose choices multiply is refused at once.
pub(super) const MOST_NAMES: usize = 200_000;

/// What is done with each instance of a rule.
type Each<'a> = dyn FnMut(&Values<'_>) -> Result<(), String> + 'a;

/// A variable that has no value yet, and how many it has been given so far.
type Open<'a> = (&'a str, usize);

/// What a variable may be.
enum Choices<'a> {
    Texts(&'a [Text]),
    Indices(u64),
}

impl Rules {
    /// Calls `each` with every value of a rule's variables. A range's count may depend on other variables
    /// (`b = "blocks.{s}"`).
    pub(super) fn each_instance(
        &self,
        rule: &Rule,
        bindings: &Bindings,
        each: &mut Each<'_>,
    ) -> Result<(), String> {
        let variables = rule.variables();
        let mut values = Values::default();
        for (name, text) in &bindings.texts {
            values.push(name, Value::Text(text));
        }
        let is_open = |name: &&str| !bindings.texts.contains_key(*name);
        let mut open: BTreeSet<&str> = variables.iter().map(String::as_str).filter(is_open).collect();
        let mut bound: BTreeSet<&str> = bindings.texts.keys().map(String::as_str).collect();
        let mut order: Vec<Open<'_>> = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let is_ready = |name: &&str| match self.ranges.get(*name) {
                Some(count) => count.variables().iter().all(|variable| bound.contains(variable)),
                None => true,
            };
            let Some(name) = open.iter().copied().find(is_ready) else {
                return Err(format!(
                    "the ranges {open:?} depend on one another or on a variable the rule does not use"
                ));
            };
            open.remove(name);
            order.push((name, 0));
            bound.insert(name);
        }
        self.each_below(&mut order, &mut values, bindings, each)
    }

    /// Gives the first open variable each of its values in turn, and the others below it.
    fn each_below<'a>(
        &'a self,
        open: &mut [Open<'a>],
        values: &mut Values<'a>,
        bindings: &Bindings,
        each: &mut Each<'_>,
    ) -> Result<(), String> {
        let Some(((name, given), below)) = open.split_first_mut() else {
            return each(values);
        };
        let choices = self.choices_of(name, values, bindings)?;
        *given = given.saturating_add(choices.len());
        if *given > MOST_NAMES {
            return Err(too_many());
        }
        let mut with = |value: Value<'a>| {
            values.push(name, value);
            self.each_below(below, values, bindings, each)?;
            values.pop();
            Ok(())
        };
        match choices {
            Choices::Texts(texts) => texts.iter().map(Value::Choice).try_for_each(&mut with),
            Choices::Indices(end) => (0..end).map(Value::Number).try_for_each(&mut with),
        }
    }

    fn choices_of(
        &self,
        name: &str,
        values: &Values<'_>,
        bindings: &Bindings,
    ) -> Result<Choices<'_>, String> {
        if let Some(texts) = self.choices.get(name) {
            return Ok(Choices::Texts(texts));
        }
        let Some(range) = self.ranges.get(name) else {
            return Err(format!("{{{name}}} is no range, no choice, and the family does not define it"));
        };
        let count = range.fill(values, Side::Source)?;
        match bindings.counts.get(&count) {
            None => Err(format!("{{{name}}} runs up to `{count}`, which the family does not define")),
            Some(&end) if end > MOST_NAMES as u64 => Err(too_many()),
            Some(&end) => Ok(Choices::Indices(end)),
        }
    }
}

impl Choices<'_> {
    fn len(&self) -> usize {
        match self {
            Choices::Texts(texts) => texts.len(),
            Choices::Indices(end) => usize::try_from(*end).unwrap_or(usize::MAX),
        }
    }
}

/// Why a rule is refused that stands for more than [`MOST_NAMES`].
pub(super) fn too_many() -> String {
    format!("the values of its variables make more than {MOST_NAMES} names")
}
