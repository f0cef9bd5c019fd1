//! The tables in which a definition declares the modules that it knows: which classes may stand where, and what each of their
//! attributes is to it.

use serde_json::{Value, json};
use vitport_checkpoint::{PlainValue, SavedModule};

use super::super::literal::Literal;
use super::SavedModules;
use super::calls::Call;
use crate::facts::Facts;

/// Declares which modules may stand in one place of a network, or in several that are alike.
#[derive(Debug)]
pub(in super::super) struct Role {
    /// Lists the places by their paths. `*` stands for a number and braces for one of several names: `stage*.{norm1,norm2}`.
    pub paths: &'static [&'static str],
    /// Lists the classes that the definition computes there.
    pub classes: &'static [&'static Class],
    /// Says what attributes are to the definition there, before what their class says of them.
    pub says: &'static [(&'static str, Says)],
}

/// Declares a class of modules.
#[derive(Debug)]
pub(in super::super) struct Class {
    /// Lists its names, with the modules in which different versions have it. `*.Block` is a class of that name in any module.
    pub names: &'static [&'static str],
    /// Says what its attributes are.
    pub says: &'static [(&'static str, Says)],
    /// Gives a fact that the class alone tells, unless one of its attributes does.
    pub means: Option<(&'static str, Literal)>,
    /// Lists the calls in the code of a TorchScript class that give attributes.
    pub calls: &'static [Call],
}

/// Says what an attribute of a module is to a definition.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Says {
    /// Says that it changes nothing in evaluation, or the weights show it.
    Nothing,
    /// Says that the definition computes with one of these values; another is refused.
    Is(&'static [Literal]),
    /// Says that the definition computes with a value that follows from others; another is refused.
    Follows(fn(&At<'_>) -> Option<Value>),
    /// Says that it is a fact in the first of its places, whose path has no number but 0, and follows from others in the rest.
    First(&'static str, Read, fn(&At<'_>) -> Option<Value>),
    /// Says that it is a fact.
    Fact(&'static str, Read),
    /// Says that it is the entry of one stage in a fact that is a list. The first `*` of the path is the number of the stage.
    Each(&'static str, Read),
    /// Says that it tells a fact by these values, each with that of the fact.
    Tells(&'static str, &'static [(Literal, Literal)]),
    /// Says each of these.
    All(&'static [Says]),
}

/// Says how an attribute becomes a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Read {
    /// Takes a whole number.
    Number,
    /// Takes a real number.
    Real,
    /// Takes yes or no.
    Flag,
    /// Takes a text.
    Text,
    /// Takes height and width.
    Pair,
    /// Takes height and width that are one number.
    Edge,
    /// Takes a number that is both height and width.
    Square,
}

/// Describes the place of an attribute whose value follows from others.
pub(in super::super) struct At<'a> {
    /// Gives what is known of the model so far.
    pub facts: &'a Facts,
    /// Gives the module whose attribute it is.
    pub module: &'a SavedModule,
    /// Gives the numbers in its path.
    pub numbers: &'a [u64],
    /// Gives all modules of the network.
    pub modules: &'a SavedModules,
}

impl Role {
    /// Returns a role with nothing to say beyond its classes.
    pub const fn new(paths: &'static [&'static str], classes: &'static [&'static Class]) -> Self {
        Self { paths, classes, says: &[] }
    }

    /// Returns the role with what attributes say there.
    pub const fn says(self, says: &'static [(&'static str, Says)]) -> Self {
        Self { says, ..self }
    }

    /// Returns the pattern that a path matches, and the numbers in it.
    pub fn place(&self, path: &str) -> Option<(&'static str, Vec<u64>)> {
        self.paths.iter().find_map(|pattern| Some((*pattern, numbers(pattern, path)?)))
    }
}

/// Returns the numbers in a path that matches a pattern.
fn numbers(pattern: &str, path: &str) -> Option<Vec<u64>> {
    if let Some((before, rest)) = pattern.split_once('{')
        && let Some((names, after)) = rest.split_once('}')
    {
        let mut each = names.split(',');
        return each.find_map(|name| numbers(&format!("{before}{name}{after}"), path));
    }
    let mut found = Vec::new();
    let mut rest = path;
    for (index, part) in pattern.split('*').enumerate() {
        if index > 0 {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at_checked(end)?;
            found.push(number.parse().ok()?);
            rest = after;
        }
        rest = rest.strip_prefix(part)?;
    }
    rest.is_empty().then_some(found)
}

impl Class {
    /// Returns a class of these names whose attributes are as `says` has them.
    pub const fn new(names: &'static [&'static str], says: &'static [(&'static str, Says)]) -> Self {
        Self { names, says, means: None, calls: &[] }
    }

    /// Returns the class with the calls that give attributes.
    pub const fn calls(self, calls: &'static [Call]) -> Self {
        Self { calls, ..self }
    }

    /// Returns the class with the fact that it tells.
    pub const fn means(self, fact: &'static str, value: Literal) -> Self {
        Self { means: Some((fact, value)), ..self }
    }

    /// Returns whether it has this name.
    pub fn is_called(&self, class: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(own) => class.rsplit('.').next() == Some(own),
            None => *name == class,
        })
    }
}

impl Read {
    /// Returns a value as the fact has it; none if it is of another kind.
    pub fn read(self, value: &Value) -> Option<Value> {
        Some(match self {
            Read::Number => json!(value.as_u64()?),
            Read::Real => json!(value.as_f64()?),
            Read::Flag => json!(value.as_bool()?),
            Read::Text => json!(value.as_str()?),
            Read::Square => json!([value.as_u64()?, value.as_u64()?]),
            Read::Pair | Read::Edge => {
                let list = value.as_array()?;
                let [height, width] = list.as_slice() else { return None };
                match (self, height.as_u64()?, width.as_u64()?) {
                    (Read::Pair, height, width) => json!([height, width]),
                    (_, height, width) => json!((height == width).then_some(height)?),
                }
            }
        })
    }
}

impl At<'_> {
    /// Returns the entry of a fact that is a list, for the stage in which the module lies.
    pub fn of_stage(&self, fact: &str) -> Option<u64> {
        let stage = usize::try_from(*self.numbers.first()?).ok()?;
        self.facts.numbers(fact)?.get(stage).copied()
    }

    /// Returns an attribute of the module.
    pub fn value(&self, attribute: &str) -> Option<Value> {
        self.module.attribute(attribute).map(compared)
    }

    /// Returns an attribute of the module that is two whole numbers.
    pub fn pair(&self, attribute: &str) -> Option<[u64; 2]> {
        serde_json::from_value(self.value(attribute)?).ok()
    }

    /// Returns another attribute of the module, a whole number.
    pub fn number(&self, attribute: &str) -> Option<u64> {
        u64::try_from(self.module.attribute(attribute)?.as_int()?).ok()
    }
}

/// Returns an attribute as it is compared: numbers, texts and lists as they are, a class or function by its name.
pub(super) fn compared(value: &PlainValue) -> Value {
    match value {
        PlainValue::Name(name) => json!(name),
        PlainValue::List(items) => items.iter().map(compared).collect(),
        value => serde_json::to_value(value).unwrap_or(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_a_number() {
        assert_eq!(numbers("blocks.*.attn", "blocks.11.attn"), Some(vec![11]));
        assert_eq!(numbers("stage*.blocks.*", "stage2.blocks.0"), Some(vec![2, 0]));
        assert_eq!(numbers("", ""), Some(vec![]));
        assert_eq!(numbers("s*.{a,b}.c", "s3.b.c"), Some(vec![3]));
        assert_eq!(numbers("s*.{a,b}.c", "s3.d.c"), None);
        for (pattern, path) in
            [("blocks.*", "blocks.x"), ("blocks.*", "blocks.1.attn"), ("a.*", "a."), ("", "a")]
        {
            assert_eq!(numbers(pattern, path), None, "{pattern} {path}");
        }
    }

    #[test]
    fn classes_are_called_by_their_names() {
        let class = Class::new(&["torch.nn.modules.linear.Linear", "*.QuickGELU"], &[]);
        assert!(class.is_called("torch.nn.modules.linear.Linear") && class.is_called("__main__.QuickGELU"));
        assert!(!class.is_called("mine.Linear") && !class.is_called("x.NotQuickGELU"));
    }

    #[test]
    fn an_edge_is_one_number_for_both() {
        assert_eq!(Read::Edge.read(&json!([2, 2])), Some(json!(2)));
        assert_eq!(Read::Edge.read(&json!([2, 1])), None);
        assert_eq!(Read::Pair.read(&json!([2, 1])), Some(json!([2, 1])));
        assert_eq!(Read::Square.read(&json!(2)), Some(json!([2, 2])));
        assert_eq!(Read::Real.read(&Value::Null), None);
    }
}
