//! From a TOML text to a mapping: every table and entry is checked here, so that later steps meet only well-formed rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use vitport_checkpoint::escape;

use super::back::Decided;
use super::batch_norm;
use super::compare::ComparedOutput;
use super::conditions::Condition;
use super::config::Expression;
use super::deviation::Deviation;
use super::layout::Detection;
use super::operations::{TABLES, TableError, scale};
use super::pattern::{Pattern, Text};
use super::rule::{Flag, Rule};
use super::target::{LevelKey, Outside, StatesTimes};
use super::written::WrittenLayout;

/// Says why a mapping file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingError {
    /// Reports a text that is not TOML, or a table with an entry of the wrong kind.
    #[error("the mapping file {} cannot be read: {}; see docs/mappings.md for the language", escape(.file), escape(.reason))]
    Syntax {
        /// Holds the path or built-in name.
        file: String,
        /// Says in one line what is wrong.
        reason: String,
    },
    /// Reports an entry that is well-formed TOML but not a rule.
    #[error("the mapping file {} has a rule that cannot be used: [{}] {}; see docs/mappings.md for the language", escape(.file), escape(.table), escape(.reason))]
    Rule {
        /// Holds the path or built-in name.
        file: String,
        /// Holds the table's dotted name.
        table: String,
        /// Says what is wrong with it.
        reason: String,
    },
    /// Reports a file that was written for vitport 0.1, whose rule files named a family.
    #[error(
        "{} is a rule file of vitport 0.1, with `family = \"{}\"`; write `from` and `to` in its place and add [config], as `vitport plan SOURCE --print-mapping` prints them",
        escape(.file),
        escape(.family)
    )]
    OldRules {
        /// Holds the path.
        file: String,
        /// Holds its family.
        family: String,
    },
    /// Reports a file that maps another network than the checkpoint's.
    #[error(
        "the mapping file {} is for `{}`, but the checkpoint is a `{expected}`; give one whose first line is from = \"{expected}\"",
        escape(.file),
        escape(.found)
    )]
    OtherSource {
        /// Holds the path or built-in name.
        file: String,
        /// Holds the file's `from`.
        found: String,
        /// Holds the id of the checkpoint's definition.
        expected: String,
    },
}

/// Maps one framework's network onto another's; read from a file and checked.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub(super) file: String,
    pub(super) text: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) priority: i64,
    pub(super) level: Option<LevelKey>,
    pub(super) since: Option<u32>,
    pub(super) outside: Option<Outside>,
    pub(super) states_times: Option<StatesTimes>,
    pub(super) only_asked_for: bool,
    pub(super) requires: Vec<Condition>,
    pub(super) config: Vec<(String, Expression)>,
    pub(super) texts: Vec<(String, Expression)>,
    pub(super) back: BTreeMap<String, Decided>,
    pub(super) unread: BTreeMap<String, String>,
    pub(super) compare: Vec<Place>,
    pub(super) outputs: Vec<ComparedOutput>,
    pub(super) deviations: Vec<Deviation>,
    pub(super) detect: Option<Detection>,
    pub(super) written: Option<WrittenLayout>,
    pub(super) ranges: BTreeMap<String, Range>,
    pub(super) choices: BTreeMap<String, Vec<Text>>,
    pub(super) rules: Vec<Rule>,
}

/// Holds an entry of `[ranges]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range {
    /// Names the fact that says how many numbers there are.
    pub count: Pattern,
    /// Gives the first number in names of the source; those of the target and of facts begin with 0.
    pub first: u64,
    /// Says whether names of the target go on counting where those of the entry before in the same list end.
    pub counts_on: bool,
}

/// Holds an entry of `[compare]`, or of `[compare_scaled]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub name: Pattern,
    pub source: Pattern,
    pub target: Pattern,
    /// Says whether the target has the factor of hidden states there.
    pub is_scaled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    from: String,
    to: String,
    #[serde(default)]
    priority: i64,
    #[serde(default)]
    level: Option<LevelKey>,
    #[serde(default)]
    since: Option<u32>,
    #[serde(default)]
    outside: Option<Outside>,
    #[serde(default)]
    states_times: Option<StatesTimes>,
    #[serde(default)]
    only_asked_for: bool,
    #[serde(default)]
    requires: Vec<Condition>,
    #[serde(default)]
    config: toml::Table,
    #[serde(default)]
    texts: toml::Table,
    #[serde(default)]
    back: BTreeMap<String, Decided>,
    #[serde(default)]
    unread: BTreeMap<String, String>,
    #[serde(default)]
    compare: BTreeMap<String, [String; 2]>,
    #[serde(default)]
    compare_scaled: BTreeMap<String, [String; 2]>,
    #[serde(default)]
    outputs: Vec<ComparedOutput>,
    #[serde(default)]
    deviation: BTreeMap<String, Deviation>,
    #[serde(default)]
    detect: Option<Detection>,
    #[serde(default)]
    written: Option<WrittenLayout>,
    #[serde(default)]
    ranges: BTreeMap<String, RangeEntry>,
    #[serde(default)]
    choices: BTreeMap<String, Choice>,
}

/// Lists the keys of [`File`]; everything else is a table of rules.
const HEAD: [&str; 21] = [
    "from",
    "to",
    "priority",
    "level",
    "since",
    "outside",
    "states_times",
    "only_asked_for",
    "requires",
    "config",
    "texts",
    "back",
    "unread",
    "compare",
    "compare_scaled",
    "outputs",
    "deviation",
    "detect",
    "written",
    "ranges",
    "choices",
];

#[derive(Deserialize)]
#[serde(untagged)]
enum RangeEntry {
    FromZero(String),
    Table(RangeTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeTable {
    to: String,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    counts_on: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Same(Vec<String>),
    Differing(BTreeMap<String, String>),
}

impl Mapping {
    /// Reads a mapping file's text; `file` is its path or built-in name, for messages.
    ///
    /// # Errors
    /// Returns [`MappingError`] for broken TOML, unknown tables and entries that are not rules.
    pub fn parse(file: &str, text: &str) -> Result<Self, MappingError> {
        let mut reader = Reader { file, rules: Vec::new() };
        let syntax = |error: toml::de::Error| {
            let line = error.span().map(|span| text.get(..span.start).unwrap_or(text).lines().count().max(1));
            let place = line.map_or_else(String::new, |line| format!(" (line {line})"));
            reader.syntax(&format!("{}{place}", error.message()))
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
        reader.tables(whole, "", &[])?;
        let mut ranges = BTreeMap::new();
        for (name, entry) in head.ranges {
            let RangeTable { to, from, counts_on } = match entry {
                RangeEntry::FromZero(to) => RangeTable { to, from: 0, counts_on: false },
                RangeEntry::Table(table) => table,
            };
            ranges.insert(name, Range { count: reader.pattern("ranges", &to)?, first: from, counts_on });
        }
        let mut compare = Vec::new();
        for (table, places, is_scaled) in
            [("compare", head.compare, false), ("compare_scaled", head.compare_scaled, true)]
        {
            let pattern = |text: &str| reader.pattern(table, text);
            for (name, [source, target]) in places {
                let (name, source, target) = (pattern(&name)?, pattern(&source)?, pattern(&target)?);
                compare.push(Place { name, source, target, is_scaled });
            }
        }
        let is_scaled = compare.iter().any(|place| place.is_scaled)
            || reader.rules.iter().any(|rule| rule.table.rsplit('.').next() == Some(scale::TABLE));
        if is_scaled != head.states_times.is_some() {
            let reason = "the factor of [scale] and [compare_scaled] stands there, and is needed with them and only then";
            return Err(reader.wrong("states_times", reason.to_owned()));
        }
        if let Some(reason) = head.requires.iter().find_map(Condition::fault) {
            return Err(MappingError::Rule { file: file.to_owned(), table: "requires".to_owned(), reason });
        }
        if let Some(since) = head.since.filter(|since| *since != 5) {
            let reason =
                format!("{since} is not a version from which on classes are known; it is 5 or left out");
            return Err(MappingError::Rule { file: file.to_owned(), table: "since".to_owned(), reason });
        }
        let named = head.deviation.into_iter().map(|(name, deviation)| deviation.named(name));
        let requires = head.requires.into_iter().flat_map(|condition| condition.each(&head.from)).collect();
        let mapping = Self {
            file: file.to_owned(),
            text: text.to_owned(),
            from: head.from,
            to: head.to,
            priority: head.priority,
            level: head.level,
            since: head.since,
            outside: head.outside,
            states_times: head.states_times,
            only_asked_for: head.only_asked_for,
            requires,
            config: reader.expressions("config", head.config)?,
            texts: reader.expressions("texts", head.texts)?,
            back: head.back,
            unread: head.unread,
            compare,
            outputs: head.outputs,
            deviations: named.collect(),
            detect: head.detect,
            written: head.written,
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

    /// Returns the tensors of the target that its forward pass does not read, by the ends of their names, each with the reason.
    pub fn unread(&self) -> impl Iterator<Item = (&str, &str)> {
        self.unread.iter().map(|(ending, reason)| (ending.as_str(), reason.as_str()))
    }

    /// Returns the mapping with one more known deviation.
    #[must_use]
    pub(crate) fn deviating(mut self, deviation: Deviation) -> Self {
        self.deviations.push(deviation);
        self
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
        Pattern::parse(text).map_err(|reason| self.wrong(table, reason))
    }

    fn wrong(&self, table: &str, reason: String) -> MappingError {
        MappingError::Rule { file: self.file.to_owned(), table: table.to_owned(), reason }
    }

    fn syntax(&self, message: &str) -> MappingError {
        let reason = message.split_whitespace().collect::<Vec<_>>().join(" ");
        MappingError::Syntax { file: self.file.to_owned(), reason }
    }

    /// Reads the values of a table, which are made of facts.
    fn expressions(
        &self,
        table: &str,
        entries: toml::Table,
    ) -> Result<Vec<(String, Expression)>, MappingError> {
        let wrong = |reason: String| self.wrong(table, reason);
        let read = |(key, value): (String, toml::Value)| {
            let value: Value = serde_json::to_value(value).map_err(|error| wrong(error.to_string()))?;
            let expression = Expression::parse(&key, value).map_err(wrong)?;
            Ok((key, expression))
        };
        entries.into_iter().map(read).collect()
    }

    /// Reads tables of rules, which stand at `path` and hold only with `flags`.
    fn tables(&mut self, mut tables: toml::Table, path: &str, flags: &[Flag]) -> Result<(), MappingError> {
        let name = |table: &str| if path.is_empty() { table.to_owned() } else { format!("{path}.{table}") };
        let conditional = [("when", true), ("unless", false)].map(|(word, wanted)| {
            let inner = tables.remove(word);
            (word, wanted, inner)
        });
        if let Some(entries) = tables.remove(batch_norm::TABLE) {
            self.batch_norms(entries, &name(batch_norm::TABLE), flags)?;
        }
        let is_operation = |table: &&String| TABLES.iter().any(|(name, _)| *name == table.as_str());
        if let Some(unknown) = tables.keys().find(|table| !is_operation(table)) {
            return Err(self.syntax(&unknown_table(unknown)));
        }
        for (table, read) in TABLES {
            let Some(entries) = tables.remove(*table) else { continue };
            let table = name(table);
            let operations = read(entries).map_err(|error| match error {
                TableError::Syntax(error) => self.syntax(error.message()),
                TableError::Entry(reason) => self.wrong(&table, reason),
            })?;
            let rule = |operation| Rule { table: table.clone(), flags: flags.to_vec(), operation };
            self.rules.extend(operations.into_iter().map(rule));
        }
        for (word, wanted, inner) in conditional {
            let Some(inner) = inner else { continue };
            let by_flag: BTreeMap<String, toml::Table> =
                inner.try_into().map_err(|error: toml::de::Error| self.syntax(error.message()))?;
            for (flag, inner) in by_flag {
                let path = name(&format!("{word}.{flag}"));
                let mut flags = flags.to_vec();
                flags.push(Flag { name: self.pattern(&path, &flag)?, wanted });
                self.tables(inner, &path, &flags)?;
            }
        }
        Ok(())
    }

    /// Reads a table of batch norms, each entry of which stands for several rules.
    fn batch_norms(&mut self, entries: toml::Value, table: &str, flags: &[Flag]) -> Result<(), MappingError> {
        let entries = entries.try_into().map_err(|error: toml::de::Error| self.syntax(error.message()))?;
        let counted = self.pattern(table, batch_norm::COUNTED)?;
        let all = batch_norm::operations(&entries).map_err(|reason| self.wrong(table, reason))?;
        self.rules.extend(all.into_iter().map(|(wanted, operation)| {
            let flag = wanted.map(|wanted| Flag { name: counted.clone(), wanted });
            Rule { table: table.to_owned(), flags: flags.iter().cloned().chain(flag).collect(), operation }
        }));
        Ok(())
    }
}

/// Returns what is said of a table that is none of the language's.
fn unknown_table(table: &str) -> String {
    let tables = TABLES.iter().map(|(table, _)| *table).chain([batch_norm::TABLE, "when", "unless"]);
    let expected = tables.map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    format!("unknown field `{table}`, expected one of {expected}")
}
