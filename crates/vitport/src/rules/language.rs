//! From a TOML text to rules: every table and entry is checked here, so that later steps meet only well-formed rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use vitport_checkpoint::escape;

use super::pattern::{Pattern, Text};

/// A rule file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The text is not TOML, or a table has an entry of the wrong kind.
    #[error("the rule file {} cannot be read: {}; see docs/rules.md for the language", escape(.file), escape(.reason))]
    Syntax {
        /// Path or built-in name.
        file: String,
        /// One line.
        reason: String,
    },
    /// An entry is well-formed TOML but no rule.
    #[error("the rule file {} has a rule that cannot be used: [{}] {}; see docs/rules.md for the language", escape(.file), escape(.table), escape(.reason))]
    Rule {
        /// Path or built-in name.
        file: String,
        /// The table's dotted name.
        table: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is for another family than the checkpoint's.
    #[error(
        "the rule file {} is for the family `{}`, but the checkpoint is a `{expected}`; give a rule file whose first line is family = \"{expected}\"",
        escape(.file),
        escape(.found)
    )]
    Family {
        /// Path or built-in name.
        file: String,
        /// The file's family.
        found: String,
        /// The checkpoint's family.
        expected: String,
    },
}

/// A flag of the family that must be set, or must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Condition {
    pub flag: String,
    pub wanted: bool,
}

/// One axis of a shape in a rule: a number, or a count that the family knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Dimension {
    Number(u64),
    Count(String),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Rename { source: Pattern, target: Pattern },
    Split { source: Pattern, targets: Vec<Pattern> },
    Concat { sources: Vec<Pattern>, target: Pattern },
    Transpose { source: Pattern, target: Pattern },
    Permute { source: Pattern, target: Pattern, axes: Vec<Vec<usize>> },
    Reshape { source: Pattern, target: Pattern, shape: Vec<Dimension> },
    Pad { source: Pattern, target: Pattern, rows: u64 },
    Fold { source: Pattern, target: Pattern, factors: Pattern },
    Zeros { target: Pattern, shape: Vec<Dimension> },
    Identity { target: Pattern, size: Dimension },
    Drop { source: Pattern, reason: String },
}

impl Action {
    /// Patterns of the source names it reads.
    pub fn sources(&self) -> Vec<&Pattern> {
        match self {
            Action::Rename { source, .. }
            | Action::Split { source, .. }
            | Action::Transpose { source, .. }
            | Action::Permute { source, .. }
            | Action::Reshape { source, .. }
            | Action::Pad { source, .. }
            | Action::Drop { source, .. } => vec![source],
            Action::Fold { source, factors, .. } => vec![source, factors],
            Action::Concat { sources, .. } => sources.iter().collect(),
            Action::Zeros { .. } | Action::Identity { .. } => Vec::new(),
        }
    }

    /// Patterns of the target names it makes.
    pub fn targets(&self) -> Vec<&Pattern> {
        match self {
            Action::Rename { target, .. }
            | Action::Concat { target, .. }
            | Action::Transpose { target, .. }
            | Action::Permute { target, .. }
            | Action::Reshape { target, .. }
            | Action::Pad { target, .. }
            | Action::Fold { target, .. }
            | Action::Zeros { target, .. }
            | Action::Identity { target, .. } => vec![target],
            Action::Split { targets, .. } => targets.iter().collect(),
            Action::Drop { .. } => Vec::new(),
        }
    }
}

/// One entry of a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The table it stands in, as in `when.head.rename`.
    pub table: String,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

impl Rule {
    /// Variables of all its patterns.
    pub fn variables(&self) -> BTreeSet<&str> {
        let patterns = self.action.sources().into_iter().chain(self.action.targets());
        patterns.flat_map(Pattern::variables).collect()
    }

    /// The rule as a person would point at it.
    pub fn describe(&self) -> String {
        let (sources, targets) = (self.action.sources(), self.action.targets());
        let join =
            |patterns: &[&Pattern]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        match (sources.is_empty(), targets.is_empty()) {
            (true, _) => format!("[{}] {}", self.table, join(&targets)),
            (_, true) => format!("[{}] {}", self.table, join(&sources)),
            _ => format!("[{}] {} = {}", self.table, join(&sources), join(&targets)),
        }
    }
}

/// A rule file, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub(super) file: String,
    pub(super) family: String,
    pub(super) ranges: BTreeMap<String, Pattern>,
    pub(super) choices: BTreeMap<String, Vec<Text>>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    family: String,
    #[serde(default)]
    ranges: BTreeMap<String, String>,
    #[serde(default)]
    choices: BTreeMap<String, Choice>,
}

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
    concat: BTreeMap<String, Vec<String>>,
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

impl Rules {
    /// Reads a rule file's text; `file` is its path or built-in name, for messages.
    ///
    /// # Errors
    /// [`RulesError::Syntax`] for broken TOML and unknown tables, [`RulesError::Rule`] for an entry that is no rule.
    pub fn parse(file: &str, text: &str) -> Result<Self, RulesError> {
        let syntax = |error: toml::de::Error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
            let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            RulesError::Syntax { file: file.to_owned(), reason: format!("{message}{place}") }
        };
        let mut whole: toml::Table = toml::from_str(text).map_err(syntax)?;
        let mut head = toml::Table::new();
        for key in ["family", "ranges", "choices"] {
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
        let choices = head.choices.into_iter().map(|(name, choice)| (name, choice.pairs())).collect();
        let rules = Self { file: file.to_owned(), family: head.family, ranges, choices, rules: reader.rules };
        rules.check_choices()?;
        Ok(rules)
    }

    /// The family that the file is for.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Path or built-in name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Refuses the file for another family.
    ///
    /// # Errors
    /// [`RulesError::Family`].
    pub fn require_family(&self, expected: &str) -> Result<(), RulesError> {
        if self.family == expected {
            return Ok(());
        }
        Err(RulesError::Family {
            file: self.file.clone(),
            found: self.family.clone(),
            expected: expected.to_owned(),
        })
    }

    fn check_choices(&self) -> Result<(), RulesError> {
        let wrong = |table: &str, reason: String| {
            Err(RulesError::Rule { file: self.file.clone(), table: table.to_owned(), reason })
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
    fn pattern(&self, table: &str, text: &str) -> Result<Pattern, RulesError> {
        Pattern::parse(text).map_err(|reason| RulesError::Rule {
            file: self.file.to_owned(),
            table: table.to_owned(),
            reason,
        })
    }

    fn patterns(&self, table: &str, texts: &[String]) -> Result<Vec<Pattern>, RulesError> {
        if texts.is_empty() {
            let reason = "a list of names is empty".to_owned();
            return Err(RulesError::Rule { file: self.file.to_owned(), table: table.to_owned(), reason });
        }
        texts.iter().map(|text| self.pattern(table, text)).collect()
    }

    /// The axes of a permutation, each of which must occur once.
    fn axes(&self, table: &str, source: &str, axes: Vec<Axis>) -> Result<Vec<Vec<usize>>, RulesError> {
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
        Err(RulesError::Rule { file: self.file.to_owned(), table: table.to_owned(), reason })
    }

    fn tables(&mut self, tables: Tables, path: &str, conditions: &[Condition]) -> Result<(), RulesError> {
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
        for (target, sources) in tables.concat {
            let table = name("concat");
            let action = Action::Concat {
                sources: self.patterns(&table, &sources)?,
                target: self.pattern(&table, &target)?,
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
            conditions: conditions.to_vec(),
            action,
        }));
        for (word, wanted, nested) in [("when", true, tables.when), ("unless", false, tables.unless)] {
            for (flag, inner) in nested {
                let path = name(&format!("{word}.{flag}"));
                let mut conditions = conditions.to_vec();
                conditions.push(Condition { flag, wanted });
                self.tables(inner, &path, &conditions)?;
            }
        }
        Ok(())
    }
}
