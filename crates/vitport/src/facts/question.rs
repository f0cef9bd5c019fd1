//! What is asked of the person who runs the command: a fact that several answers fit, what these are, and the option that says
//! which.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Describes a fact that several answers fit, and nothing tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Names the fact.
    pub fact: &'static str,
    /// Says what is not known, and why.
    pub what: String,
    /// Lists what it could be, the most likely first; empty where no list of answers can be made.
    pub candidates: Vec<Candidate>,
    /// Names the option that answers it: `--num-heads`; empty where only `others` do.
    pub option: &'static str,
    /// Says what the option takes: `N`.
    pub takes: &'static str,
    /// Says what else answers it: `--arch NAME if it is one of timm's`; or nothing.
    pub others: String,
}

/// Describes one answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Gives the value that the option takes: `3`.
    pub value: String,
    /// Says more of it for people; or nothing.
    pub note: String,
}

impl Question {
    /// Returns a question that `option` answers, which takes what `takes` names.
    pub fn new(
        fact: &'static str,
        what: impl Into<String>,
        option: &'static str,
        takes: &'static str,
    ) -> Self {
        let (candidates, others) = (Vec::new(), String::new());
        Self { fact, what: what.into(), candidates, option, takes, others }
    }

    /// Returns it with what it could be, without more words of each.
    #[must_use]
    pub fn with_candidates<T: ToString>(mut self, values: impl IntoIterator<Item = T>) -> Self {
        let candidate = |value: T| Candidate { value: value.to_string(), note: String::new() };
        self.candidates = values.into_iter().map(candidate).collect();
        self
    }

    /// Returns it with what else answers it.
    #[must_use]
    pub fn or(mut self, others: impl Into<String>) -> Self {
        self.others = others.into();
        self
    }

    /// Returns the value of which nothing more is to say, if it is the only one that fits.
    pub fn only_value(&self) -> Option<&str> {
        match self.candidates.as_slice() {
            [only] if only.note.is_empty() => Some(&only.value),
            _ => None,
        }
    }

    /// Returns what answers it, in words: `give --num-heads N, or --arch NAME`.
    pub fn answer(&self) -> String {
        let value = self.only_value().unwrap_or(self.takes);
        let option = format!("{} {value}", self.option);
        match (self.option, self.others.as_str()) {
            ("", others) => format!("give {others}"),
            (_, "") => format!("give {option}"),
            (_, others) => format!("give {option}, or {others}"),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = self.answer();
        match self.candidates.as_slice() {
            _ if self.only_value().is_some() => write!(f, "{}; {answer}", self.what),
            [] => write!(f, "{}; {answer}", self.what),
            candidates => {
                let shown = candidates.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let fit = if candidates.len() == 1 { "fits" } else { "fit" };
                write!(f, "{}: {shown} {fit}; {answer}", self.what)
            }
        }
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.note.as_str() {
            "" => write!(f, "{}", self.value),
            note => write!(f, "{} ({note})", self.value),
        }
    }
}

impl Serialize for Question {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_all = |part: fn(&Candidate) -> &str| self.candidates.iter().map(part).collect::<Vec<_>>();
        let notes = of_all(|candidate| &candidate.note);
        let has_notes = notes.iter().any(|note| !note.is_empty());
        let mut question = serializer.serialize_struct("Question", 6)?;
        question.serialize_field("fact", self.fact)?;
        question.serialize_field("what", &self.what)?;
        question.serialize_field("candidates", &of_all(|candidate| &candidate.value))?;
        if has_notes {
            question.serialize_field("notes", &notes)?;
        }
        question.serialize_field("option", self.option)?;
        question.serialize_field("answer", &self.answer())?;
        question.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_question_names_the_values_and_the_option() {
        let question = Question::new("num_heads", "no one knows", "--num-heads", "N");
        assert_eq!(question.to_string(), "no one knows; give --num-heads N");
        let only = question.clone().with_candidates([2]);
        assert_eq!(only.to_string(), "no one knows; give --num-heads 2");
        let question = question.with_candidates([1, 2]).or("--arch NAME");
        assert_eq!(question.to_string(), "no one knows: 1, 2 fit; give --num-heads N, or --arch NAME");
        assert_eq!(
            json!(question),
            json!({ "fact": "num_heads", "what": "no one knows", "candidates": ["1", "2"],
                "option": "--num-heads", "answer": "give --num-heads N, or --arch NAME" })
        );
    }
}
