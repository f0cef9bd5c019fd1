//! A table of one JSON object a line, whose lines are read when they are asked for. A conversion needs one architecture
//! and its tags out of five hundred lines; reading all of them takes as long as carrying some twenty megabytes.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

/// The lines in their order.
pub(super) struct Rows<T>(Vec<Row<T>>);

struct Row<T> {
    /// What the line's first key, `arch`, says.
    name: &'static str,
    text: &'static str,
    value: OnceLock<Option<T>>,
}

impl<T: DeserializeOwned> Rows<T> {
    /// The lines of `text`, each of which begins with `{"arch": "NAME"`.
    pub(super) fn new(text: &'static str) -> Self {
        let row = |text: &'static str| {
            let (name, _) = text.strip_prefix(r#"{"arch": ""#)?.split_once('"')?;
            Some(Row { name, text, value: OnceLock::new() })
        };
        Self(text.lines().filter_map(row).collect())
    }

    /// Every value.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(Row::value)
    }

    /// The values of one name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |row| row.name == name).filter_map(Row::value)
    }
}

impl<T: DeserializeOwned> Row<T> {
    fn value(&self) -> Option<&T> {
        self.value.get_or_init(|| serde_json::from_str(self.text).ok()).as_ref()
    }
}
