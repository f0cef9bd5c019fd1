//! Prints aligned tables: columns as wide as their widest cell, two spaces between them, no lines drawn.

use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style};

use super::style::BOLD;

/// Says how a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Begins at the left, for text.
    Left,
    /// Ends at the right, for numbers.
    Right,
}

/// Prints a table with a heading, unless every column's name is empty.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Builder,
    has_heading: bool,
}

impl Table {
    /// Makes an empty table.
    pub fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Align)>) -> Self {
        let (names, columns): (Vec<&str>, Vec<Align>) = columns.into_iter().unzip();
        let has_heading = names.iter().any(|name| !name.is_empty());
        let mut rows = Builder::new();
        if has_heading {
            rows.push_record(names);
        }
        Self { columns, rows, has_heading }
    }

    /// Adds a row, one cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push_record(cells);
    }

    /// Writes it, without spaces at the ends of lines.
    pub fn text(self) -> String {
        let mut table = self.rows.build();
        table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
        for (index, align) in self.columns.iter().enumerate() {
            if *align == Align::Right {
                table.modify(Columns::one(index), Alignment::right());
            }
        }
        let padded = table.to_string();
        drop(table);
        let mut text = String::with_capacity(padded.len());
        for (index, line) in padded.lines().map(str::trim_end).enumerate() {
            if index > 0 {
                text.push('\n');
            }
            match index {
                0 if self.has_heading => text.push_str(&format!("{BOLD}{line}{BOLD:#}")),
                _ => text.push_str(line),
            }
        }
        text
    }
}

/// Returns a number of bytes as a person reads it: `346.4 MB`, in powers of ten as disks and the Hub count.
pub fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().si().to_string()
}

/// Returns a shape as PyTorch prints it: `[768, 3, 16, 16]`.
pub fn shape(shape: &[u64]) -> String {
    format!("{shape:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([("", Align::Left), ("", Align::Right)]);
        table.row(["köpfe".to_owned(), "12".to_owned()]);
        table.row(["b".to_owned(), "768".to_owned()]);
        assert_eq!(table.text(), "köpfe   12\nb      768");
    }

    #[test]
    fn styles_take_no_width() {
        let mut table = Table::new([("name", Align::Left), ("", Align::Left)]);
        table.row([format!("{BOLD}a{BOLD:#}"), "b".to_owned()]);
        table.row(["long name".to_owned(), String::new()]);
        assert_eq!(anstream::adapter::strip_str(&table.text()).to_string(), "name\na          b\nlong name");
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(346_392_234), "346.4 MB");
    }
}
