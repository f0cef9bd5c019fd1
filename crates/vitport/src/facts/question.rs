//! What is asked of the person who runs the command: a fact that several answers fit, what these are, and the option that says
//! which.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
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
        let document = QuestionDocument {
            fact: self.fact,
            what: &self.what,
            candidates: of_all(|candidate| &candidate.value),
            notes: notes.iter().any(|note| !note.is_empty()).then_some(notes),
            option: self.option,
            answer: self.answer(),
        };
        document.serialize(serializer)
    }
}

impl JsonSchema for Question {
    fn schema_name() -> Cow<'static, str> {
        QuestionDocument::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        QuestionDocument::json_schema(generator)
    }
}

/// Describes a question, as documents have it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Question")]
struct QuestionDocument<'a> {
    /// Names the fact that is not known.
    fact: &'a str,
    /// Says what is not known, and why.
    what: &'a str,
    /// Lists values that the option takes, the most likely first.
    candidates: Vec<&'a str>,
    /// Says more of each candidate, in their order, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    notes: Option<Vec<&'a str>>,
    /// Names the option that answers it; empty where only others do.
    option: &'a str,
    /// Says in words what answers it.
    answer: String,
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
