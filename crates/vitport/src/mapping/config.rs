//! `[config]` and `[texts]`: values that are made of the source's facts. A value is a constant; `{ fact = "embed_dim" }`;
//! `{ fact = "act_layer", names = { gelu = "gelu" } }`, the fact under another name; `{ when = "head", is = …, else = … }`;
//! `{ fact = "img_size", by = "edge" }`, a named function; `{ fact = "mlp_dim", over = "embed_dim" }`, a ratio, which may have to be
//! a whole number; or a table of values.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::efficientnet::Named;
use crate::facts::{FactError, Facts, is_same};

/// Says how a value is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(Kind);

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Constant(Value),
    Fact {
        fact: String,
        names: Option<Map<String, Value>>,
        by: Option<Function>,
        unless_known: Option<String>,
    },
    Ratio {
        fact: String,
        over: String,
        times: f64,
        whole: Option<Whole>,
    },
    Named(Named),
    When {
        flag: String,
        is: Box<Expression>,
        otherwise: Box<Expression>,
    },
    Table(Vec<(String, Expression)>),
}

/// Names a function of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Function {
    /// Stands for one number for two equal edges, else both.
    Edge,
    /// Stands for the first entry of a list.
    First,
    /// Stands for all entries of a list but the first.
    Rest,
    /// Stands for the number of entries of a list.
    Count,
    /// Stands for a number less one.
    OneLess,
}

/// Says which whole number a ratio is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Whole {
    /// Stands for the next one, of which the size is no more than the width times it.
    Up,
    /// Stands for the one of which DINOv2's class of gated MLPs makes the size: two thirds of the width times it, up to a
    /// multiple of 8.
    Gated,
}

/// Says which values are read: see [`Expression::unmake`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Takes those that say a whole fact.
    Whole,
    /// Takes those that say a part of a list, or a ratio to another fact.
    Parts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FactTable {
    fact: String,
    #[serde(default)]
    names: Option<Map<String, Value>>,
    #[serde(default)]
    by: Option<Function>,
    #[serde(default)]
    unless_known: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatioTable {
    fact: String,
    over: String,
    #[serde(default = "once")]
    times: f64,
    #[serde(default)]
    whole: Option<Whole>,
}

fn once() -> f64 {
    1.0
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenTable {
    when: String,
    is: Value,
    #[serde(rename = "else")]
    otherwise: Value,
}

impl Expression {
    /// Reads the value of a key.
    ///
    /// # Errors
    /// Returns what is wrong with it, in words.
    pub fn parse(key: &str, value: Value) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("{key}: {error}");
        Ok(Self(match &value {
            Value::Object(table) if table.contains_key("over") => {
                let RatioTable { fact, over, times, whole } = serde_json::from_value(value).map_err(wrong)?;
                if whole.is_some() && times != 1.0 {
                    return Err(format!("{key}: a whole ratio has no `times`"));
                }
                Kind::Ratio { fact, over, times, whole }
            }
            Value::Object(table) if table.contains_key("fact") => {
                let FactTable { fact, names, by, unless_known } =
                    serde_json::from_value(value).map_err(wrong)?;
                Kind::Fact { fact, names, by, unless_known }
            }
            Value::Object(table) if table.keys().any(|key| key.starts_with("efficientnet_")) => {
                Kind::Named(serde_json::from_value(value).map_err(wrong)?)
            }
            Value::Object(table) if table.contains_key("when") => {
                let WhenTable { when, is, otherwise } = serde_json::from_value(value).map_err(wrong)?;
                let branch = |value| Self::parse(key, value).map(Box::new);
                Kind::When { flag: when, is: branch(is)?, otherwise: branch(otherwise)? }
            }
            Value::Object(table) => {
                let entry =
                    |(key, value): (&String, &Value)| Ok((key.clone(), Self::parse(key, value.clone())?));
                Kind::Table(table.iter().map(entry).collect::<Result<_, String>>()?)
            }
            _ => Kind::Constant(value),
        }))
    }

    fn is_constant(&self) -> bool {
        matches!(self.0, Kind::Constant(_))
    }

    /// Returns the constants that it may be.
    pub(super) fn constants(&self) -> Vec<&Value> {
        match &self.0 {
            Kind::Constant(value) => vec![value],
            Kind::When { is, otherwise, .. } => [is.constants(), otherwise.constants()].concat(),
            Kind::Fact { .. } | Kind::Ratio { .. } | Kind::Named(_) | Kind::Table(_) => Vec::new(),
        }
    }

    /// Returns whether it is this fact where another one is not known.
    pub(super) fn gives_way(&self, to: &str) -> bool {
        matches!(&self.0, Kind::Fact { unless_known: Some(other), .. } if other == to)
    }

    /// Adds to `known`, facts by name, what a value says of the facts that made it, and returns whether facts can have made it.
    /// `Pass::Parts` reads what says only a part of a fact or needs another one, and comes after `Pass::Whole`.
    pub(super) fn unmake(&self, value: &Value, pass: Pass, known: &mut Map<String, Value>) -> bool {
        match &self.0 {
            Kind::Constant(constant) => is_same(constant, value),
            Kind::When { flag, is, otherwise } => match known.get(flag).and_then(Value::as_bool) {
                Some(true) => is.unmake(value, pass, known),
                Some(false) => otherwise.unmake(value, pass, known),
                // Another key may tell the flag.
                None if pass == Pass::Whole && !(is.is_constant() && otherwise.is_constant()) => true,
                None => [(true, is), (false, otherwise)].into_iter().any(|(wanted, branch)| {
                    let mut trial = known.clone();
                    trial.insert(flag.clone(), json!(wanted));
                    let is_it = branch.unmake(value, pass, &mut trial);
                    if is_it {
                        *known = trial;
                    }
                    is_it
                }),
            },
            Kind::Table(entries) => entries
                .iter()
                .all(|(key, entry)| value.get(key).is_some_and(|value| entry.unmake(value, pass, known))),
            Kind::Named(named) => pass == Pass::Whole || named.unmake(value, known),
            Kind::Ratio { .. } if pass == Pass::Whole => true,
            Kind::Ratio { fact, over, times, whole } => {
                let size = match (known.get(over), whole) {
                    (Some(width), Some(Whole::Gated)) => {
                        width.as_u64().zip(value.as_u64()).and_then(|(width, ratio)| gated_size(width, ratio))
                    }
                    (Some(width), _) => width
                        .as_f64()
                        .zip(value.as_f64())
                        .map(|(width, ratio)| (width * ratio / times).round() as u64),
                    (None, _) => None,
                };
                size.is_some_and(|size| learn(fact, json!(size), known))
            }
            Kind::Fact { fact, names, by, .. } => {
                let named = match names {
                    None => Some(value.clone()),
                    Some(names) => {
                        names.iter().find(|(_, name)| is_same(name, value)).map(|(own, _)| json!(own))
                    }
                };
                let Some(value) = named else { return false };
                match (by, pass) {
                    (None, Pass::Whole) => learn(fact, value, known),
                    (Some(Function::Edge), Pass::Whole) => {
                        let edges = if value.is_array() { value } else { json!([value, value]) };
                        learn(fact, edges, known)
                    }
                    (Some(Function::OneLess), Pass::Whole) => value
                        .as_u64()
                        .is_some_and(|number| learn(fact, json!(number.saturating_add(1)), known)),
                    (Some(Function::First), Pass::Parts) => learn_part(fact, 0, &[value], known),
                    (Some(Function::Rest), Pass::Parts) => {
                        learn_part(fact, 1, value.as_array().map_or(&[], Vec::as_slice), known)
                    }
                    _ => true,
                }
            }
        }
    }

    /// Returns the value that the facts make.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] for a value that has no name on the other side, and a description of a fact that is
    /// not there.
    pub fn value(&self, key: &str, facts: &Facts, target: &str) -> Result<Value, FactError> {
        let missing = |name: &str| missing(key, name);
        match &self.0 {
            Kind::Constant(value) => Ok(value.clone()),
            Kind::When { flag, is, otherwise } => match facts.flag(flag) {
                Some(true) => is.value(key, facts, target),
                Some(false) => otherwise.value(key, facts, target),
                None => Err(missing(flag)),
            },
            Kind::Table(entries) => {
                let value =
                    |(key, entry): &(String, Expression)| Ok((key.clone(), entry.value(key, facts, target)?));
                Ok(Value::Object(entries.iter().map(value).collect::<Result<_, FactError>>()?))
            }
            Kind::Named(named) => named.value(key, facts, target),
            Kind::Ratio { fact, over, times, whole } => {
                let size = |name: &String| facts.number(name).ok_or_else(|| missing(name));
                let (size, width) = (size(fact)?, size(over)?);
                match whole {
                    None => Ok(json!(ratio(size as f64 * times, width as f64))),
                    Some(Whole::Up) => Ok(json!(size.div_ceil(width.max(1)))),
                    Some(Whole::Gated) => Ok(json!(gated_ratio(size, width).ok_or_else(|| {
                        FactError::NoTarget {
                            what: format!("a model with {fact} {size} and {over} {width}"),
                            why: format!(
                                "{target} computes the width of its gated MLPs from a whole-number ratio"
                            ),
                            tensor: facts.get(fact).map(|fact| fact.origin.to_string()),
                            instead: "no class that vitport writes holds it".to_owned(),
                        }
                    })?)),
                }
            }
            Kind::Fact { fact, names, by, unless_known } => {
                let instead = unless_known.as_ref().and_then(|other| facts.get(other));
                let known = instead.or_else(|| facts.get(fact)).ok_or_else(|| missing(fact))?;
                let value = match names {
                    None => known.value.clone(),
                    Some(names) => {
                        let name = known.value.as_str().unwrap_or_default();
                        names.get(name).cloned().ok_or_else(|| FactError::NoTarget {
                            what: format!("a model with {fact} {}", vitport_checkpoint::escape(name)),
                            why: format!("{target} cannot express it"),
                            tensor: Some(known.origin.to_string()),
                            instead:
                                "if it does not change what the network computes, remove it from config.json"
                                    .to_owned(),
                        })?
                    }
                };
                Ok(match by {
                    None => value,
                    Some(Function::Edge) => edge(&value),
                    Some(Function::First) => value.get(0).cloned().unwrap_or(value),
                    Some(Function::Rest) => json!(value.as_array().and_then(|list| list.get(1..))),
                    Some(Function::OneLess) => json!(value.as_u64().and_then(|number| number.checked_sub(1))),
                    Some(Function::Count) => json!(value.as_array().map_or(1, Vec::len)),
                })
            }
        }
    }
}

/// Returns the error for a fact that a key reads and the source's definition does not have.
pub(super) fn missing(key: &str, fact: &str) -> FactError {
    FactError::contradiction(
        format!("the mapping's [config] {key}"),
        format!("it reads the fact `{fact}`, which the source's definition does not have"),
    )
}

/// Adds a fact, and returns whether it is not known otherwise.
pub(super) fn learn(fact: &str, value: Value, known: &mut Map<String, Value>) -> bool {
    is_same(known.entry(fact).or_insert_with(|| value.clone()), &value)
}

/// Adds entries of a list from one place on, and returns whether they are not known otherwise. Entries that are not known yet are
/// null.
fn learn_part(fact: &str, first: usize, entries: &[Value], known: &mut Map<String, Value>) -> bool {
    let Some(list) = known.entry(fact).or_insert_with(|| json!([])).as_array_mut() else { return false };
    if list.len() < first + entries.len() {
        list.resize(first + entries.len(), Value::Null);
    }
    list.iter_mut().skip(first).zip(entries).all(|(place, entry)| {
        if place.is_null() {
            *place = entry.clone();
        }
        is_same(place, entry)
    })
}

/// Returns one number for two equal edges, else both.
fn edge(sides: &Value) -> Value {
    match sides.as_array().map(Vec::as_slice) {
        Some([height, width]) if height == width => height.clone(),
        _ => json!(sides),
    }
}

/// Returns the ratio of which the width, multiplied with it and rounded down as Python does, is the size again, itself rounded down.
fn ratio(size: f64, width: f64) -> f64 {
    let ratio = size / width;
    if width * ratio < size.floor() { ratio.next_up() } else { ratio }
}

/// Returns the whole ratio of which `(int(int(width * ratio) * 2 / 3) + 7) // 8 * 8` is the size; none if there is none.
fn gated_ratio(size: u64, width: u64) -> Option<u64> {
    let about = size.checked_mul(3)?.checked_div(width.checked_mul(2)?)?;
    (about.saturating_sub(1)..=about.saturating_add(1)).find(|ratio| gated_size(width, *ratio) == Some(size))
}

/// Returns `(int(int(width * ratio) * 2 / 3) + 7) // 8 * 8`, which DINOv2's class of gated MLPs makes of a ratio; none if it is
/// beyond 64 bits.
fn gated_size(width: u64, ratio: u64) -> Option<u64> {
    width.checked_mul(ratio)?.checked_mul(2)?.checked_div(3)?.div_ceil(8).checked_mul(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Fact, Origin};

    fn made(expression: Value) -> Result<Value, FactError> {
        let origin = || Origin::Option("--x");
        let facts = Facts::from_iter([
            Fact::new("img_size", json!([224, 224]), origin()),
            Fact::new("act_layer", "quick_gelu", origin()),
            Fact::new("embed_dim", 1152, origin()),
            Fact::new("mlp_dim", 4304, origin()),
            Fact::new("head", true, origin()),
        ]);
        Expression::parse("key", expression).unwrap().value("key", &facts, "ViT")
    }

    #[test]
    fn values_are_made_of_facts() {
        assert_eq!(made(json!(0.0)).unwrap(), json!(0.0));
        assert_eq!(made(json!({ "fact": "img_size" })).unwrap(), json!([224, 224]));
        assert_eq!(made(json!({ "fact": "img_size", "by": "edge" })).unwrap(), json!(224));
        assert_eq!(made(json!({ "fact": "img_size", "by": "count" })).unwrap(), json!(2));
        assert_eq!(made(json!({ "fact": "img_size", "by": "rest" })).unwrap(), json!([224]));
        assert_eq!(made(json!({ "when": "head", "is": "tanh", "else": "linear" })).unwrap(), json!("tanh"));
        assert_eq!(made(json!({ "fact": "mlp_dim", "over": "embed_dim" })).unwrap(), json!(4304.0 / 1152.0));
        let three_quarters = json!({ "fact": "mlp_dim", "over": "embed_dim", "times": 0.75 });
        assert_eq!(made(three_quarters).unwrap(), json!(3228.0 / 1152.0));
        let nested = json!({ "width": { "fact": "embed_dim" }, "act": { "when": "head", "is": { "fact": "act_layer" }, "else": 0 } });
        assert_eq!(made(nested).unwrap(), json!({ "width": 1152, "act": "quick_gelu" }));
        assert_eq!(made(json!({ "fact": "mlp_dim", "over": "embed_dim", "whole": "up" })).unwrap(), json!(4));
        assert_eq!(made(json!({ "fact": "embed_dim", "by": "one_less" })).unwrap(), json!(1151));
        assert!(made(json!({ "fact": "mlp_dim", "over": "nothing" })).is_err());
        let names = json!({ "fact": "act_layer", "names": { "quick_gelu": "quick" } });
        assert_eq!(made(names).unwrap(), json!("quick"));
    }

    #[test]
    fn a_ratio_gives_the_size_again() {
        for width in 1..400_u64 {
            for size in (1..2000).step_by(7) {
                let ratio = ratio(size as f64, width as f64);
                assert_eq!((width as f64 * ratio) as u64, size, "{size} / {width}");
            }
        }
    }

    #[test]
    fn a_value_says_which_facts_made_it() {
        let unmade = |entries: &[(Value, Value)]| {
            let mut known = Map::new();
            let fits = [Pass::Whole, Pass::Parts].into_iter().all(|pass| {
                entries.iter().all(|(expression, value)| {
                    Expression::parse("key", expression.clone()).unwrap().unmake(value, pass, &mut known)
                })
            });
            fits.then_some(Value::Object(known))
        };
        let head = json!({ "when": "head", "is": ["A"], "else": ["B"] });
        assert_eq!(unmade(&[(head.clone(), json!(["B"]))]), Some(json!({ "head": false })));
        assert_eq!(unmade(&[(head, json!(["C"]))]), None);
        assert_eq!(unmade(&[(json!(1), json!(1.0))]), Some(json!({})));
        let edge = json!({ "fact": "img_size", "by": "edge" });
        assert_eq!(unmade(&[(edge, json!(224))]), Some(json!({ "img_size": [224, 224] })));
        let names = json!({ "fact": "act", "names": { "gelu_tanh": "gelu_pytorch_tanh" } });
        assert_eq!(
            unmade(&[(names.clone(), json!("gelu_pytorch_tanh"))]),
            Some(json!({ "act": "gelu_tanh" }))
        );
        assert_eq!(unmade(&[(names, json!("relu"))]), None);
        let (ratio, width) = (json!({ "fact": "mlp", "over": "width" }), json!({ "fact": "width" }));
        let both = unmade(&[(ratio, json!(4304.0 / 1152.0)), (width, json!(1152))]);
        assert_eq!(both, Some(json!({ "width": 1152, "mlp": 4304 })));
        let (rest, first) = (json!({ "fact": "n", "by": "rest" }), json!({ "fact": "n", "by": "first" }));
        let list = unmade(&[(rest, json!([2, 3])), (first.clone(), json!(1))]);
        assert_eq!(list, Some(json!({ "n": [1, 2, 3] })));
        assert_eq!(unmade(&[(first.clone(), json!(1)), (first, json!(2))]), None);
    }

    #[test]
    fn a_gated_ratio_is_that_of_dinov2() {
        assert_eq!(gated_ratio(4096, 1536), Some(4));
        assert_eq!(gated_ratio(128, 48), Some(4));
        assert_eq!(gated_ratio(2048, 768), Some(4));
        assert_eq!(gated_ratio(100, 48), None);
        assert!(made(json!({ "fact": "mlp_dim", "over": "embed_dim", "whole": "gated" })).is_err());
    }

    #[test]
    fn what_has_no_name_on_the_other_side_has_no_target() {
        let error = made(json!({ "fact": "act_layer", "names": { "gelu": "gelu" } })).unwrap_err();
        assert!(matches!(error, FactError::NoTarget { .. }), "{error}");
        assert!(made(json!({ "fact": "nothing" })).is_err());
        assert!(Expression::parse("key", json!({ "fact": "x", "typo": 1 })).is_err());
    }
}
