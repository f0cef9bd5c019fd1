//! Names with holes: `blocks.{i}.norm1.{p}`.
//!
//! A pattern is literal text and variables in braces. Filling it with values gives a tensor's name; there is no search and
//! no regular expression, so what a rule means can be read off it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Limits the bytes that a pattern, and a name that it is filled to, may have: what the reader of checkpoints allows a name.
const LONGEST: usize = 4096;

/// Holds a choice, which may read differently on the two sides of a rule (`q` in the source, `query` in the target).
pub type Text = (Arc<str>, Arc<str>);

/// Holds the value of a variable.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Holds one of its choices.
    Choice(&'a Text),
    /// Holds an index, and the numbers that index 0 has in the checkpoint and in the folder.
    Number(u64, [u64; 2]),
}

/// Names the side of a rule that a pattern stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Means names in the checkpoint.
    Source,
    /// Means names in the folder.
    Target,
    /// Means names of facts.
    Fact,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    /// Stands for a variable, and what is added to its number.
    Variable(String, i64),
}

/// Holds a name with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    segments: Vec<Segment>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Returns a sentence that says what is wrong with its length, the braces or the variable's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("a name has {} bytes, and {LONGEST} are the most", text.len()));
        }
        let mut segments = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((variable, behind)) = after.split_once('}') else {
                return Err(format!("`{text}` has a {{ that no }} closes"));
            };
            let (name, added) =
                match variable.find(['+', '-']).and_then(|sign| variable.split_at_checked(sign)) {
                    Some((name, added)) => (name, added.parse().ok()),
                    None => (variable, Some(0)),
                };
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let Some(added) = added.filter(|_| is_name) else {
                return Err(format!(
                    "`{text}` names a variable `{{{variable}}}`; a variable is letters, digits and _, and may have +1 or \
                     another number behind it"
                ));
            };
            if before.contains('}') {
                return Err(format!("`{text}` has a }} that no {{ opens"));
            }
            if !before.is_empty() {
                segments.push(Segment::Text(before.to_owned()));
            }
            segments.push(Segment::Variable(name.to_owned(), added));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(format!("`{text}` has a }} that no {{ opens"));
        }
        if !rest.is_empty() {
            segments.push(Segment::Text(rest.to_owned()));
        }
        if segments.is_empty() {
            return Err("a name is empty".to_owned());
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// Returns the variables in it, in order, repeated ones once.
    pub fn variables(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for segment in &self.segments {
            if let Segment::Variable(name, _) = segment
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// Returns the pattern for names on one side, to be filled with the values of `variables` in that order. What has one of
    /// `texts` is filled already.
    ///
    /// # Errors
    /// Names the first variable that is neither.
    pub fn bind(
        &self,
        side: Side,
        texts: &BTreeMap<String, String>,
        variables: &[&str],
    ) -> Result<Template, String> {
        let mut segments: Vec<Hole> = Vec::new();
        for segment in &self.segments {
            let text = match segment {
                Segment::Text(text) => text,
                Segment::Variable(name, added) => {
                    match (texts.get(name), variables.iter().position(|v| v == name)) {
                        (Some(text), _) => text,
                        (None, Some(place)) => {
                            segments.push(Hole::Value(place, *added));
                            continue;
                        }
                        (None, None) => {
                            return Err(format!("`{}` uses {{{name}}}, which nothing defines", self.text));
                        }
                    }
                }
            };
            match segments.last_mut() {
                Some(Hole::Text(before)) => before.push_str(text),
                _ => segments.push(Hole::Text(text.clone())),
            }
        }
        Ok(Template { text: self.text.clone(), side, segments })
    }
}

/// Holds a pattern of which only the holes are left that differ between the instances of a rule.
#[derive(Debug, Clone)]
pub struct Template {
    /// Gives the pattern's text.
    text: String,
    side: Side,
    segments: Vec<Hole>,
}

#[derive(Debug, Clone)]
enum Hole {
    Text(String),
    /// Stands for the place of its variable, and what is added to its number.
    Value(usize, i64),
}

impl Template {
    /// Returns whether every instance has the same name.
    pub fn is_constant(&self) -> bool {
        !self.segments.iter().any(|segment| matches!(segment, Hole::Value(..)))
    }

    /// Puts the name with every hole filled into `name`, whose memory is used again.
    ///
    /// # Errors
    /// Says that the name gets too long, or that a number is below 0.
    pub fn fill(&self, name: &mut String, values: &[Value<'_>]) -> Result<(), String> {
        name.clear();
        for segment in &self.segments {
            match segment {
                Hole::Text(text) => name.push_str(text),
                Hole::Value(place, added) => match (values.get(*place), self.side) {
                    (Some(Value::Number(index, first)), side) => {
                        let first = match side {
                            Side::Source => first[0],
                            Side::Target => first[1],
                            Side::Fact => 0,
                        };
                        let Some(number) = index.saturating_add(first).checked_add_signed(*added) else {
                            return Err(format!("`{}` makes a number below 0", self.text));
                        };
                        // Writing to a String cannot fail.
                        let _ = write!(name, "{number}");
                    }
                    (Some(Value::Choice((text, _))), Side::Source | Side::Fact)
                    | (Some(Value::Choice((_, text))), Side::Target) => name.push_str(text),
                    (None, _) => {}
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
        let choice = ("q".into(), "query".into());
        let values = [Value::Number(3, [1, 0]), Value::Choice(&choice)];
        let texts = BTreeMap::from([("base".to_owned(), "net.".to_owned())]);
        let pattern = Pattern::parse("{base}blocks.{i}.proj_{x}.{i}").unwrap();
        assert_eq!(pattern.variables(), ["base", "i", "x"]);
        let filled = |side| {
            let mut name = "of an instance before".to_owned();
            pattern.bind(side, &texts, &["i", "x"]).unwrap().fill(&mut name, &values).unwrap();
            name
        };
        assert_eq!(filled(Side::Source), "net.blocks.4.proj_q.4");
        assert_eq!(filled(Side::Target), "net.blocks.3.proj_query.3");
        assert_eq!(filled(Side::Fact), "net.blocks.3.proj_q.3");
    }

    #[test]
    fn a_number_may_be_shifted() {
        let pattern = Pattern::parse("layers.{s-1}.block{b+1}").unwrap();
        assert_eq!(pattern.variables(), ["s", "b"]);
        let template = pattern.bind(Side::Target, &BTreeMap::new(), &["s", "b"]).unwrap();
        let mut name = String::new();
        template.fill(&mut name, &[Value::Number(2, [0, 0]), Value::Number(0, [0, 0])]).unwrap();
        assert_eq!(name, "layers.1.block1");
        let below = template.fill(&mut name, &[Value::Number(0, [0, 0]), Value::Number(0, [0, 0])]);
        assert!(below.unwrap_err().contains("below 0"));
        assert!(Pattern::parse("layers.{s-}").unwrap_err().contains("variable"));
        assert!(Pattern::parse("layers.{-1}").unwrap_err().contains("variable"));
    }

    #[test]
    fn broken_braces_and_unknown_variables_are_named() {
        assert!(Pattern::parse("a.{i").unwrap_err().contains("no } closes"));
        assert!(Pattern::parse("a.}i").unwrap_err().contains("no { opens"));
        assert!(Pattern::parse("a}.{i}").unwrap_err().contains("no { opens"));
        assert!(Pattern::parse("a.{i i}").unwrap_err().contains("variable"));
        assert!(Pattern::parse("").unwrap_err().contains("empty"));
        let pattern = Pattern::parse("a.{i}").unwrap();
        assert!(pattern.bind(Side::Source, &BTreeMap::new(), &["j"]).unwrap_err().contains("{i}"));
    }
}
