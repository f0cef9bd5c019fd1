//! From a TOML text to a mapping: every table and entry is checked here, so that later steps meet only well-formed rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use vitport_checkpoint::escape;

use super::actions::{Action, Dimension, Flag, Rule};
use super::compare::ComparedOutput;
use super::conditions::Condition;
use super::config::Expression;
use super::deviation::Deviation;
use super::layout::Detection;
use super::pattern::{Pattern, Text};

/// A mapping file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// The text is not TOML, or a table has an entry of the wrong kind.
    #[error("the mapping file {} cannot be read: {}; see docs/mappings.md for the language", escape(.file), escape(.reason))]
    Syntax {
        /// Path or built-in name.
        file: String,
        /// One line.
        reason: String,
    },
    /// An entry is well-formed TOML but not a rule.
    #[error("the mapping file {} has a rule that cannot be used: [{}] {}; see docs/mappings.md for the language", escape(.file), escape(.table), escape(.reason))]
    Rule {
        /// Path or built-in name.
        file: String,
        /// The table's dotted name.
        table: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written for vitport 0.1, whose rule files named a family.
    #[error(
        "{} is a rule file of vitport 0.1, with `family = \"{}\"`; write `from` and `to` in its place and add [config], as `vitport plan SOURCE --print-mapping` prints them",
        escape(.file),
        escape(.family)
    )]
    OldRules {
        /// Path.
        file: String,
        /// Its family.
        family: String,
    },
    /// The file maps another network than the checkpoint's.
    #[error(
        "the mapping file {} is for `{}`, but the checkpoint is a `{expected}`; give one whose first line is from = \"{expected}\"",
        escape(.file),
        escape(.found)
    )]
    OtherSource {
        /// Path or built-in name.
        file: String,
        /// The file's `from`.
        found: String,
        /// The checkpoint's definition.
        expected: String,
    },
}

/// A mapping from one framework's network onto another's, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) priority: i64,
    pub(super) requires: Vec<Condition>,
    pub(super) config: Vec<(String, Expression)>,
    pub(super) texts: Vec<(String, Expression)>,
    pub(super) compare: Vec<Place>,
    pub(super) outputs: Vec<ComparedOutput>,
    pub(super) deviations: Vec<Deviation>,
    pub(super) detect: Option<Detection>,
    pub(super) ranges: BTreeMap<String, Pattern>,
    pub(super) choices: BTreeMap<String, Vec<Text>>,
    pub(super) rules: Vec<Rule>,
}

/// An entry of `[compare]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub name: Pattern,
    pub source: Pattern,
    pub target: Pattern,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    from: String,
    to: String,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    requires: Vec<Condition>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    texts: toml::Table,
    #[serde(default)]
    compare: BTreeMap<String, [String; 2]>,
    #[serde(default)]
    outputs: Vec<ComparedOutput>,
    #[serde(default)]
    deviation: BTreeMap<String, Deviation>,
    #[serde(default)]
    detect: Option<Detection>,
    #[serde(default)]
    ranges: BTreeMap<String, String>,
    #[serde(default)]
    choices: BTreeMap<String, Choice>,
}

/// The keys of [`File`]; everything else is a table of rules.
const HEAD: [&str; 12] = [
    "from",
    "to",
    "priority",
    "requires",
    "config",
    "texts",
    "compare",
    "outputs",
    "deviation",
    "detect",
    "ranges",
    "choices",
];

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Same(Vec<String>),
    Differing(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    rename: BTreeMap<String, String>,
    #[serde(default)]
    split: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    concat: BTreeMap<String, Concat>,
    #[serde(default)]
    transpose: BTreeMap<String, String>,
    #[serde(default)]
    permute: BTreeMap<String, Permute>,
    #[serde(default)]
    reshape: BTreeMap<String, Reshape>,
    #[serde(default)]
    pad: BTreeMap<String, Pad>,
    #[serde(default)]
    fold: BTreeMap<String, Fold>,
    #[serde(default)]
    fill: BTreeMap<String, Fill>,
    #[serde(default)]
    drop: BTreeMap<String, String>,
    #[serde(default)]
    when: BTreeMap<String, Tables>,
    #[serde(default)]
    unless: BTreeMap<String, Tables>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Permute {
    to: String,
    axes: Vec<Axis>,
}

/// Tensors one after another, each with its axes put into order first where `axes` says so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Concat {
    Plain(Vec<String>),
    Permuted { of: Vec<String>, axes: Vec<Axis> },
}

/// One axis of the target: an axis of the source, or several that become one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Axis {
    One(usize),
    Joined(Vec<usize>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reshape {
    to: String,
    shape: Vec<Dimension>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pad {
    to: String,
    rows: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fold {
    to: String,
    rows_times: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Fill {
    Zeros(Vec<Dimension>),
    Identity(Dimension),
}

impl Mapping {
    /// Reads a mapping file's text; `file` is its path or built-in name, for messages.
    ///
    /// # Errors
    /// Returns [`MappingError`] for broken TOML, unknown tables and entries that are not rules.
    pub fn parse(file: &str, text: &str) -> Result<Self, MappingError> {
        let syntax = |error: toml::de::Error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
            let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            MappingError::Syntax { file: file.to_owned(), reason: format!("{message}{place}") }
        };
        let mut whole: toml::Table = toml::from_str(text).map_err(syntax)?;
        if let Some(toml::Value::String(family)) = whole.get("family") {
            return Err(MappingError::OldRules { file: file.to_owned(), family: family.clone() });
        }
        let mut head = toml::Table::new();
        for key in HEAD {
            if let Some(value) = whole.remove(key) {
                head.insert(key.to_owned(), value);
            }
        }
        let head: File = head.try_into().map_err(syntax)?;
        let tables: Tables = whole.try_into().map_err(syntax)?;
        let mut reader = Reader { file, rules: Vec::new() };
        reader.tables(tables, "", &[])?;
        let mut ranges = BTreeMap::new();
        for (name, count) in head.ranges {
            ranges.insert(name, reader.pattern("ranges", &count)?);
        }
        let mut compare = Vec::new();
        for (name, [source, target]) in head.compare {
            let pattern = |text: &str| reader.pattern("compare", text);
            compare.push(Place {
                name: pattern(&name)?,
                source: pattern(&source)?,
                target: pattern(&target)?,
            });
        }
        let named = head.deviation.into_iter().map(|(name, deviation)| deviation.named(name));
        let mapping = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            from: head.from,
            to: head.to,
            priority: head.priority,
            requires: head.requires.into_iter().flat_map(Condition::each).collect(),
            config: reader.expressions("config", head.config)?,
            texts: reader.expressions("texts", head.texts)?,
            compare,
            outputs: head.outputs,
            deviations: named.collect(),
            detect: head.detect,
            ranges,
            choices: head.choices.into_iter().map(|(name, choice)| (name, choice.pairs())).collect(),
            rules: reader.rules,
        };
        mapping.check_choices()?;
        Ok(mapping)
    }

    /// Returns the definition whose tensors are mapped: `timm/vision_transformer`.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// Returns the definition that they are mapped onto: `transformers/vit`.
    pub fn to(&self) -> &str {
        &self.to
    }

    /// Returns the path or built-in name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the known deviations of the target's definition.
    pub fn deviations(&self) -> &[Deviation] {
        &self.deviations
    }

    /// Refuses the file for another network.
    ///
    /// # Errors
    /// Returns [`MappingError::OtherSource`].
    pub fn require_source(&self, expected: &str) -> Result<(), MappingError> {
        if self.from == expected {
            return Ok(());
        }
        Err(MappingError::OtherSource {
            file: self.file.clone(),
            found: self.from.clone(),
            expected: expected.to_owned(),
        })
    }

    fn check_choices(&self) -> Result<(), MappingError> {
        let wrong = |table: &str, reason: String| {
            Err(MappingError::Rule { file: self.file.clone(), table: table.to_owned(), reason })
        };
        for (name, texts) in &self.choices {
            if self.ranges.contains_key(name) {
                return wrong("choices", format!("{name} is a range too; give one of them another name"));
            }
            if texts.is_empty() {
                return wrong("choices", format!("{name} has no text to choose from"));
            }
        }
        Ok(())
    }
}

impl Choice {
    fn pairs(self) -> Vec<Text> {
        match self {
            Choice::Same(texts) => {
                texts.into_iter().map(Arc::<str>::from).map(|text| (Arc::clone(&text), text)).collect()
            }
            Choice::Differing(texts) => {
                texts.into_iter().map(|(source, target)| (source.into(), target.into())).collect()
            }
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    rules: Vec<Rule>,
}

impl Reader<'_> {
    fn pattern(&self, table: &str, text: &str) -> Result<Pattern, MappingError> {
        Pattern::parse(text).map_err(|reason| MappingError::Rule {
            file: self.file.to_owned(),
            table: table.to_owned(),
            reason,
        })
    }

    /// The values of a table, made of facts.
    fn expressions(
        &self,
        table: &str,
        entries: toml::Table,
    ) -> Result<Vec<(String, Expression)>, MappingError> {
        let wrong = |reason: String| MappingError::Rule {
            file: self.file.to_owned(),
            table: table.to_owned(),
            reason,
        };
        let read = |(key, value): (String, toml::Value)| {
            let value: Value = serde_json::to_value(value).map_err(|error| wrong(error.to_string()))?;
            let expression = Expression::parse(&key, value).map_err(wrong)?;
            Ok((key, expression))
        };
        entries.into_iter().map(read).collect()
    }

    fn patterns(&self, table: &str, texts: &[String]) -> Result<Vec<Pattern>, MappingError> {
        if texts.is_empty() {
            let reason = "a list of names is empty".to_owned();
            return Err(MappingError::Rule { file: self.file.to_owned(), table: table.to_owned(), reason });
        }
        texts.iter().map(|text| self.pattern(table, text)).collect()
    }

    /// The axes of a permutation, each of which must occur once.
    fn axes(&self, table: &str, source: &str, axes: Vec<Axis>) -> Result<Vec<Vec<usize>>, MappingError> {
        let groups: Vec<Vec<usize>> = axes
            .into_iter()
            .map(|axis| match axis {
                Axis::One(axis) => vec![axis],
                Axis::Joined(axes) => axes,
            })
            .collect();
        let mut named = groups.concat();
        named.sort_unstable();
        let is_whole = !named.is_empty() && named.iter().enumerate().all(|(place, axis)| place == *axis);
        if is_whole && groups.iter().all(|group| !group.is_empty()) {
            return Ok(groups);
        }
        let reason = format!("`{source}` needs each of its axes, counted from 0, once");
        Err(MappingError::Rule { file: self.file.to_owned(), table: table.to_owned(), reason })
    }

    fn tables(&mut self, tables: Tables, path: &str, flags: &[Flag]) -> Result<(), MappingError> {
        let name = |table: &str| if path.is_empty() { table.to_owned() } else { format!("{path}.{table}") };
        let mut actions = Vec::new();
        for (source, target) in tables.rename {
            let table = name("rename");
            let action = Action::Rename {
                source: self.pattern(&table, &source)?,
                target: self.pattern(&table, &target)?,
            };
            actions.push((table, action));
        }
        for (source, targets) in tables.split {
            let table = name("split");
            let action = Action::Split {
                source: self.pattern(&table, &source)?,
                targets: self.patterns(&table, &targets)?,
            };
            actions.push((table, action));
        }
        for (target, concat) in tables.concat {
            let table = name("concat");
            let (sources, axes) = match concat {
                Concat::Plain(of) => (of, None),
                Concat::Permuted { of, axes } => {
                    let axes = self.axes(&table, &target, axes)?;
                    (of, Some(axes))
                }
            };
            let action = Action::Concat {
                sources: self.patterns(&table, &sources)?,
                target: self.pattern(&table, &target)?,
                axes,
            };
            actions.push((table, action));
        }
        for (source, target) in tables.transpose {
            let table = name("transpose");
            let action = Action::Transpose {
                source: self.pattern(&table, &source)?,
                target: self.pattern(&table, &target)?,
            };
            actions.push((table, action));
        }
        for (source, Permute { to, axes }) in tables.permute {
            let table = name("permute");
            let action = Action::Permute {
                source: self.pattern(&table, &source)?,
                target: self.pattern(&table, &to)?,
                axes: self.axes(&table, &source, axes)?,
            };
            actions.push((table, action));
        }
        for (source, Reshape { to, shape }) in tables.reshape {
            let table = name("reshape");
            let action = Action::Reshape {
                source: self.pattern(&table, &source)?,
                target: self.pattern(&table, &to)?,
                shape,
            };
            actions.push((table, action));
        }
        for (source, Pad { to, rows }) in tables.pad {
            let table = name("pad");
            let action = Action::Pad {
                source: self.pattern(&table, &source)?,
                target: self.pattern(&table, &to)?,
                rows,
            };
            actions.push((table, action));
        }
        for (source, Fold { to, rows_times }) in tables.fold {
            let table = name("fold");
            let (source, target) = (self.pattern(&table, &source)?, self.pattern(&table, &to)?);
            let factors = self.pattern(&table, &rows_times)?;
            actions.push((table, Action::Fold { source, target, factors }));
        }
        for (target, fill) in tables.fill {
            let table = name("fill");
            let target = self.pattern(&table, &target)?;
            let action = match fill {
                Fill::Zeros(shape) => Action::Zeros { target, shape },
                Fill::Identity(size) => Action::Identity { target, size },
            };
            actions.push((table, action));
        }
        for (source, reason) in tables.drop {
            let table = name("drop");
            actions.push((table.clone(), Action::Drop { source: self.pattern(&table, &source)?, reason }));
        }
        self.rules.extend(actions.into_iter().map(|(table, action)| Rule {
            table,
            flags: flags.to_vec(),
            action,
        }));
        for (word, wanted, nested) in [("when", true, tables.when), ("unless", false, tables.unless)] {
            for (flag, inner) in nested {
                let path = name(&format!("{word}.{flag}"));
                let mut flags = flags.to_vec();
                flags.push(Flag { name: self.pattern(&path, &flag)?, wanted });
                self.tables(inner, &path, &flags)?;
            }
        }
        Ok(())
    }
}
