//! Aligned tables: columns as wide as their widest cell, two spaces between them, no lines drawn.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::output::BOLD;

/// How a column's cells stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Columns of a terminal that a text takes.
fn width(text: &str) -> usize {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) { text.len() } else { text.width() }
}

/// A table with a heading.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table. A column with an empty name has no heading.
    pub fn new(columns: impl Into<Vec<(&'static str, Align)>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn write_row<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: impl Iterator<Item = &'a str>,
        widths: &[usize],
    ) -> fmt::Result {
        let last = widths.len().saturating_sub(1);
        for (column, ((cell, wanted), (_, align))) in cells.zip(widths).zip(&self.columns).enumerate() {
            let space = wanted.saturating_sub(width(cell));
            let gap = if column == 0 { 0 } else { 2 };
            let (before, behind) = match align {
                Align::Left if column == last => (gap, 0),
                Align::Left => (gap, space),
                Align::Right => (gap + space, 0),
            };
            spaces(f, before)?;
            f.write_str(cell)?;
            spaces(f, behind)?;
        }
        Ok(())
    }
}

fn spaces(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    const SPACES: &str = "                                                                ";
    let mut left = count;
    while let Some(rest) = left.checked_sub(SPACES.len()) {
        f.write_str(SPACES)?;
        left = rest;
    }
    f.write_str(SPACES.get(..left).unwrap_or_default())
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| width(name)).collect();
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(cell));
            }
        }
        let has_heading = self.columns.iter().any(|(name, _)| !name.is_empty());
        if has_heading {
            write!(f, "{BOLD}")?;
            self.write_row(f, self.columns.iter().map(|(name, _)| *name), &widths)?;
            write!(f, "{BOLD:#}")?;
        }
        for (index, row) in self.rows.iter().enumerate() {
            if has_heading || index > 0 {
                f.write_str("\n")?;
            }
            self.write_row(f, row.iter().map(String::as_str), &widths)?;
        }
        Ok(())
    }
}

/// A number of bytes as a person reads it: `346.4 MB`, in powers of ten as disks and the Hub count.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// A shape as PyTorch prints it: `[768, 3, 16, 16]`.
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
        assert_eq!(table.to_string(), "köpfe   12\nb      768");
    }

    #[test]
    fn bytes_are_rounded_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(346_392_234), "346.4 MB");
        assert_eq!(bytes(999_960_000), "1.0 GB");
    }
}
