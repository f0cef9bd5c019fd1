//! A rule is written out for every value of its variables; here they take these values in turn.

use std::collections::BTreeSet;

use super::bindings::Bindings;
use super::language::Mapping;
use super::pattern::{Pattern, Side, Template, Text, Value};
use super::rule::{Flag, Rule};

/// Names that all rules of a file together may stand for: some hundred times what the largest vision model has, and few enough
/// that a rule file whose choices multiply is refused at once.
const MOST_NAMES: usize = 200_000;

/// Says what is done with each instance of a rule, given its values.
type Each<'a> = dyn FnMut(&[Value<'_>]) -> Result<(), String> + 'a;

/// Holds the names of a rule with one value for each of its variables.
pub(super) struct Instance<'a> {
    pub sources: &'a [Template],
    pub targets: &'a [Template],
    pub values: &'a [Value<'a>],
}

/// Holds a rule's variables that no text is given for, in the order in which they take their values.
pub(super) struct Instances<'a> {
    bindings: &'a Bindings,
    names: Vec<&'a str>,
    choices: Vec<Choices<'a>>,
}

/// Says what a variable may be.
enum Choices<'a> {
    Texts(&'a [Text]),
    /// Takes the indices up to the count of this name, the number that index 0 has in the source, and whether the target counts on.
    Range(Template, u64, bool),
    Undefined,
}

impl Mapping {
    /// Calls `each` with every instance of a rule whose flags are as they must be. `names` counts the names that all rules so
    /// far stand for.
    pub(super) fn write_out(
        &self,
        rule: &Rule,
        bindings: &Bindings,
        names: &mut usize,
        each: &mut dyn FnMut(&Instance<'_>),
    ) -> Result<(), String> {
        let instances = self.instances_of(rule.variables(), bindings)?;
        let flags = instances.bind_flags(rule)?;
        let mut flag = String::new();
        if flags.iter().all(|(name, _)| name.is_constant()) && !instances.holds(&flags, &[], &mut flag)? {
            return Ok(());
        }
        let sources = instances.bind(&rule.operation.sources(), Side::Source)?;
        let targets = instances.bind(&rule.operation.targets(), Side::Target)?;
        let count = sources.len().saturating_add(targets.len());
        instances.each(&mut |values| {
            *names = names.saturating_add(count);
            if *names > MOST_NAMES {
                return Err(too_many());
            }
            if instances.holds(&flags, values, &mut flag)? {
                each(&Instance { sources: &sources, targets: &targets, values });
            }
            Ok(())
        })
    }

    /// Returns the instances of these variables. A range's count may depend on other variables (`b = "depth.{s}"`).
    pub(super) fn instances_of<'a>(
        &'a self,
        variables: impl IntoIterator<Item = &'a str>,
        bindings: &'a Bindings,
    ) -> Result<Instances<'a>, String> {
        let texts = &bindings.texts;
        let mut open: BTreeSet<&str> =
            variables.into_iter().filter(|name| !texts.contains_key(*name)).collect();
        let mut names = Vec::with_capacity(open.len());
        let mut choices = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let has_value = |name: &&str| texts.contains_key(*name) || names.contains(name);
            let is_ready = |name: &&str| match self.ranges.get(*name) {
                Some(range) => range.count.variables().iter().all(has_value),
                None => true,
            };
            let Some(name) = open.iter().copied().find(is_ready) else {
                return Err(format!(
                    "the ranges {open:?} depend on one another or on a variable the rule does not use"
                ));
            };
            choices.push(match (self.choices.get(name), self.ranges.get(name)) {
                (Some(choices), _) => Choices::Texts(choices),
                (None, Some(range)) => {
                    let count = range.count.bind(Side::Fact, texts, &names)?;
                    Choices::Range(count, range.first, range.counts_on)
                }
                (None, None) => Choices::Undefined,
            });
            open.remove(name);
            names.push(name);
        }
        Ok(Instances { bindings, names, choices })
    }
}

impl Instances<'_> {
    /// Returns patterns of the rule, to be filled with the values of an instance.
    fn bind(&self, patterns: &[&Pattern], side: Side) -> Result<Vec<Template>, String> {
        patterns.iter().map(|pattern| pattern.bind(side, &self.bindings.texts, &self.names)).collect()
    }

    /// Returns one pattern to be filled with the values of an instance.
    pub(super) fn bind_one(&self, pattern: &Pattern, side: Side) -> Result<Template, String> {
        pattern.bind(side, &self.bindings.texts, &self.names)
    }

    /// Returns the names of a rule's flags, and what each must be.
    fn bind_flags(&self, rule: &Rule) -> Result<Vec<(Template, bool)>, String> {
        let bind = |flag: &Flag| Ok((self.bind_one(&flag.name, Side::Fact)?, flag.wanted));
        rule.flags.iter().map(bind).collect()
    }

    /// Returns whether all flags are as they must be in an instance; `name` is memory for their names.
    fn holds(
        &self,
        flags: &[(Template, bool)],
        values: &[Value<'_>],
        name: &mut String,
    ) -> Result<bool, String> {
        for (template, wanted) in flags {
            template.fill(name, values)?;
            match self.bindings.flags.get(name.as_str()) {
                Some(set) if set == wanted => {}
                Some(_) => return Ok(false),
                None => return Err(format!("no fact is a flag `{name}`")),
            }
        }
        Ok(true)
    }

    /// Calls `each` with every value of the variables.
    pub(super) fn each(&self, each: &mut Each<'_>) -> Result<(), String> {
        let mut given = vec![0; self.names.len()];
        self.each_below(&mut given, &mut Vec::with_capacity(self.names.len()), each)
    }

    /// Returns the sum of the entries of a list before the one of this name: of `depths.0` and `depths.1` for `depths.2`.
    fn counted_before(&self, entry: &str) -> u64 {
        let Some((list, place)) = entry.rsplit_once('.') else { return 0 };
        let place: u64 = place.parse().unwrap_or(0);
        let counts = (0..place).filter_map(|place| self.bindings.counts.get(&format!("{list}.{place}")));
        counts.fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Gives the first variable that has no value each of its values in turn, and the others below it. `given` counts for
    /// each of these variables how many values it has been given so far.
    fn each_below<'a>(
        &'a self,
        given: &mut [usize],
        values: &mut Vec<Value<'a>>,
        each: &mut Each<'_>,
    ) -> Result<(), String> {
        let place = values.len();
        let (Some((given, below)), Some(name), Some(choices)) =
            (given.split_first_mut(), self.names.get(place), self.choices.get(place))
        else {
            return each(values);
        };
        let mut before = 0;
        let count = match choices {
            Choices::Texts(texts) => texts.len() as u64,
            Choices::Range(count, _, counts_on) => {
                let mut key = String::new();
                count.fill(&mut key, values)?;
                let Some(&end) = self.bindings.counts.get(&key) else {
                    return Err(format!("{{{name}}} runs up to `{key}`, which no fact defines"));
                };
                if *counts_on {
                    before = self.counted_before(&key);
                }
                end
            }
            Choices::Undefined => {
                return Err(format!("{{{name}}} is neither a range nor a choice nor a text"));
            }
        };
        *given = given.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
        if *given > MOST_NAMES {
            return Err(too_many());
        }
        let give = |value: Value<'a>| {
            values.push(value);
            self.each_below(below, values, each)?;
            values.pop();
            Ok(())
        };
        match choices {
            Choices::Texts(texts) => texts.iter().map(Value::Choice).try_for_each(give),
            Choices::Range(_, first, _) => {
                (0..count).map(|index| Value::Number(index, [*first, before])).try_for_each(give)
            }
            Choices::Undefined => Ok(()),
        }
    }
}

/// Returns why a rule is refused that stands for more than [`MOST_NAMES`].
fn too_many() -> String {
    format!("the values of its variables make more than {MOST_NAMES} names")
}
