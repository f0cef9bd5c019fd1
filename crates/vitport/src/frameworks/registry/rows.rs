//! A table of one row a line, whose rows are parsed when they are asked for. Rows of one class share most of their fields, which
//! are written once.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Describes a line of four columns: the architecture's name, its class, a tag, and what the row says otherwise than its class.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Line {
    /// Gives the architecture's name.
    pub(in super::super) name: &'static str,
    /// Gives `module/Class`.
    pub(in super::super) class: &'static str,
    /// Gives the tag, or the default tag of an architecture.
    pub(in super::super) tag: &'static str,
    /// Gives a JSON object of fields.
    departures: &'static str,
}

impl Line {
    fn split(line: &'static str) -> Option<Self> {
        let mut columns = line.splitn(4, '\t');
        Some(Self {
            name: columns.next()?,
            class: columns.next()?,
            tag: columns.next()?,
            departures: columns.next()?,
        })
    }
}

/// Holds the fields that most rows of a class have, as written and as parsed.
struct Usual {
    text: &'static str,
    parsed: OnceLock<Map<String, Value>>,
}

impl Usual {
    fn with_departures(&self, departures: &str) -> Option<Map<String, Value>> {
        let usual = self.parsed.get_or_init(|| serde_json::from_str(self.text).unwrap_or_default());
        let departures: Map<String, Value> = serde_json::from_str(departures).ok()?;
        let mut fields = usual.clone();
        fields.extend(departures);
        Some(fields)
    }
}

/// Holds the rows in their order.
pub(in super::super) struct Rows<T> {
    rows: Vec<(Line, OnceLock<Option<T>>)>,
    usual: HashMap<&'static str, Usual>,
    make: fn(&Line, Map<String, Value>) -> Option<T>,
}

impl<T> Rows<T> {
    /// Splits `text` into lines, of which `make` makes values. `usual` are the fields of each class as a JSON object.
    pub(in super::super) fn new(
        text: &'static str,
        usual: impl Iterator<Item = (&'static str, &'static str)>,
        make: fn(&Line, Map<String, Value>) -> Option<T>,
    ) -> Self {
        let usual = usual.map(|(class, text)| (class, Usual { text, parsed: OnceLock::new() })).collect();
        let rows = text.lines().filter_map(Line::split).map(|line| (line, OnceLock::new())).collect();
        Self { rows, usual, make }
    }

    /// Returns every value.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().filter_map(|(line, value)| self.value(line, value))
    }

    /// Returns the values of one architecture's name.
    pub(in super::super) fn named(&self, name: &str) -> impl Iterator<Item = &T> {
        let rows = self.rows.iter().filter(move |(line, _)| line.name == name);
        rows.filter_map(|(line, value)| self.value(line, value))
    }

    /// Returns the lines, without parsing what they hold.
    pub(in super::super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.rows.iter().map(|(line, _)| line)
    }

    fn value<'a>(&self, line: &Line, value: &'a OnceLock<Option<T>>) -> Option<&'a T> {
        let parse = || (self.make)(line, self.usual.get(line.class)?.with_departures(line.departures)?);
        value.get_or_init(parse).as_ref()
    }
}
