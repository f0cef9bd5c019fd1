//! Names with holes: `blocks.{i}.norm1.{p}`.
//!
//! A pattern is literal text and variables in braces. Filling it with values gives a tensor's name; there is no search and
//! no regular expression, so what a rule means can be read off it.

use std::fmt;
use std::sync::Arc;

/// Bytes that a pattern, and a name that it is filled to, may have: what the reader of checkpoints allows a name.
const LONGEST: usize = 4096;

/// The values of a rule's variables for one of its instances.
#[derive(Debug, Default)]
pub struct Values<'a>(Vec<(&'a str, Value<'a>)>);

/// What a variable reads as, in the source and in the target.
pub type Text = (Arc<str>, Arc<str>);

/// The value of a variable.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A text of the family's.
    Text(&'a str),
    /// A choice, which may read differently on the two sides of a rule (`q` in the source, `query` in the target).
    Choice(&'a Text),
    /// An index.
    Number(u64),
}

/// The side of a rule that a pattern stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Names in the checkpoint.
    Source,
    /// Names in the folder.
    Target,
}

impl<'a> Values<'a> {
    /// Gives a further variable its value.
    pub fn push(&mut self, name: &'a str, value: Value<'a>) {
        self.0.push((name, value));
    }

    /// Takes the last variable away.
    pub fn pop(&mut self) {
        self.0.pop();
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

impl Value<'_> {
    fn push_to(self, name: &mut String, side: Side) {
        match (self, side) {
            (Value::Text(text), _) => name.push_str(text),
            (Value::Choice((text, _)), Side::Source) | (Value::Choice((_, text)), Side::Target) => {
                name.push_str(text);
            }
            (Value::Number(number), _) => name.push_str(itoa::Buffer::new().format(number)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(String),
}

/// A name with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with its length, the braces or the variable's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a name has {} bytes, and {LONGEST} are the most", text.len()));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((variable, behind)) = after.split_once('}') else {
                return Err(format!("`{text}` has a {{ that no }} closes"));
            };
            let is_name =
                !variable.is_empty() && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                return Err(format!(
                    "`{text}` names a variable `{{{variable}}}`; a variable is letters, digits and _"
                ));
            }
            if before.contains('}') {
                return Err(format!("`{text}` has a }} that no {{ opens"));
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(Piece::Variable(variable.to_owned()));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a }} that no {{ opens"));
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        if pieces.is_empty() {
            return Err("a name is empty".to_owned());
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// The variables in it, in order, repeated ones once.
    pub fn variables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for piece in &self.pieces {
            if let Piece::Variable(name) = piece
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// The name with every hole filled.
    ///
    /// # Errors
    /// The first variable that has no value, or that the name gets too long.
    pub fn fill(&self, values: &Values<'_>, side: Side) -> Result<String, String> {
        let mut name = String::with_capacity(self.text.len() + 16);
        self.fill_into(&mut name, values, side)?;
        Ok(name)
    }

    /// Puts the name with every hole filled into `name`, whose memory is used again.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub fn fill_into(&self, name: &mut String, values: &Values<'_>, side: Side) -> Result<(), String> {
        name.clear();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Variable(variable) => match values.get(variable) {
                    Some(value) => value.push_to(name, side),
                    None => {
                        return Err(format!("`{}` uses {{{variable}}}, which nothing defines", self.text));
                    }
                },
            }
            if name.len() > LONGEST {
                return Err(format!("`{}` makes a name of more than {LONGEST} bytes", self.text));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fills_each_side_with_its_own_text() {
        let mut values = Values::default();
        let choice = ("q".into(), "query".into());
        values.push("i", Value::Number(3));
        values.push("x", Value::Choice(&choice));
        let pattern = Pattern::parse("blocks.{i}.proj_{x}.{i}").unwrap();
        assert_eq!(pattern.variables(), ["i", "x"]);
        assert_eq!(pattern.fill(&values, Side::Source).unwrap(), "blocks.3.proj_q.3");
        assert_eq!(pattern.fill(&values, Side::Target).unwrap(), "blocks.3.proj_query.3");
    }

    #[test]
    fn broken_braces_and_unknown_variables_are_named() {
        assert!(Pattern::parse("a.{i").unwrap_err().contains("no } closes"));
        assert!(Pattern::parse("a.}i").unwrap_err().contains("no { opens"));
        assert!(Pattern::parse("a}.{i}").unwrap_err().contains("no { opens"));
        assert!(Pattern::parse("a.{i i}").unwrap_err().contains("variable"));
        assert!(Pattern::parse("").unwrap_err().contains("empty"));
        let pattern = Pattern::parse("a.{i}").unwrap();
        assert!(pattern.fill(&Values::default(), Side::Source).unwrap_err().contains("{i}"));
    }
}
