//! Values that can stand in a table.

use serde_json::{Value, json};

/// Describes a value that can stand in a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Literal {
    /// Holds yes or no.
    Flag(bool),
    /// Holds a whole number.
    Number(u64),
    /// Holds two whole numbers.
    Pair(u64, u64),
    /// Holds whole numbers.
    Numbers(&'static [u64]),
    /// Holds a real number.
    Real(f64),
    /// Holds a text.
    Text(&'static str),
    /// Holds nothing, Python's `None`.
    Null,
}

impl Literal {
    /// Says yes.
    pub const YES: Self = Self::Flag(true);
    /// Says no.
    pub const NO: Self = Self::Flag(false);
}

impl From<Literal> for Value {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Flag(flag) => json!(flag),
            Literal::Number(number) => json!(number),
            Literal::Pair(first, second) => json!([first, second]),
            Literal::Numbers(numbers) => json!(numbers),
            Literal::Real(number) => json!(number),
            Literal::Text(text) => json!(text),
            Literal::Null => Value::Null,
        }
    }
}
