//! From evidence to facts. A source says what it is in several places: the shapes of its tensors, the config next to them,
//! the options of the person who has it, the registry entry that it is named after. All of it is gathered here; what has the
//! lowest rank becomes the fact, a statement that contradicts it is an error, what nothing says is a question.

use serde_json::Value;

use super::error::{Contradiction, FactError};
use super::fact::{Fact, Facts, Origin};
use super::question::Question;

/// Holds everything that was stated of a model, and what is not known of it.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    statements: Vec<Fact>,
    open: Vec<Question>,
}

impl Evidence {
    /// Returns no evidence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds that `fact` has this value.
    pub fn add(&mut self, fact: &'static str, value: impl Into<Value>, origin: Origin) {
        self.statements.push(Fact::new(fact, value, origin));
    }

    /// Adds a statement.
    pub fn state(&mut self, fact: Fact) {
        self.statements.push(fact);
    }

    /// Adds that the shape or presence of `tensor` shows that `fact` has this value.
    pub fn weights(&mut self, fact: &'static str, value: impl Into<Value>, tensor: impl Into<String>) {
        self.add(fact, value, Origin::Weights(tensor.into()));
    }

    /// Replaces the names of tensors in what the weights show.
    pub fn rename_tensors(&mut self, rename: impl Fn(&str) -> String) {
        for statement in &mut self.statements {
            if let Origin::Weights(shown_by) = &mut statement.origin {
                *shown_by = rename(shown_by);
            }
        }
    }

    /// Adds a question that nothing answers.
    pub fn ask(&mut self, question: Question) {
        self.open.push(question);
    }

    /// Removes the questions about these facts, whose answers nobody needs.
    pub fn withdraw(&mut self, facts: &[&str]) {
        self.open.retain(|question| !facts.contains(&question.fact));
    }

    /// Returns whether anything is stated of `fact`.
    pub fn has(&self, fact: &str) -> bool {
        self.statements.iter().any(|statement| statement.name == fact)
    }

    /// Returns the question about `fact` that is open.
    pub fn asked(&self, fact: &str) -> Option<&Question> {
        self.open.iter().find(|question| question.fact == fact)
    }

    /// Returns whether a question about `fact` is open.
    pub fn is_asked(&self, fact: &str) -> bool {
        self.asked(fact).is_some()
    }

    /// Returns the facts that are known so far: for each, the value with the lowest rank.
    pub fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        for statement in &self.statements {
            match facts.get(statement.name) {
                Some(known) if known.origin.rank() <= statement.origin.rank() => {}
                _ => facts.set(statement.clone()),
            }
        }
        facts
    }

    /// Returns the facts.
    ///
    /// # Errors
    /// Returns [`FactError::Contradiction`] where two statements about this very model disagree, and
    /// [`FactError::Questions`], all of them at once, where something is not known.
    pub fn resolve(self) -> Result<Facts, FactError> {
        let facts = self.facts();
        for other in &self.statements {
            let Some(known) = facts.get(other.name) else { continue };
            let are_statements = other.origin.is_statement() && known.origin.is_statement();
            if are_statements && !is_same(&known.value, &other.value) {
                return Err(Contradiction::between(known, other).into());
            }
        }
        let open: Vec<Question> =
            self.open.into_iter().filter(|question| facts.get(question.fact).is_none()).collect();
        if open.is_empty() { Ok(facts) } else { Err(FactError::Questions { open, known: facts }) }
    }
}

/// Returns whether two values are equal, numbers by what they are and not by how they are written.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question::new("num_heads", "the number of heads is not known", "--num-heads", "N")
            .with_candidates([3])
    }

    #[test]
    fn what_has_the_lowest_rank_is_the_fact() {
        let mut evidence = Evidence::new();
        evidence.add("num_heads", 12, Origin::Registry("a registry: vit_base".to_owned()));
        evidence.add("num_heads", 6, Origin::Config("model_args.num_heads".to_owned()));
        evidence.ask(question());
        let facts = evidence.resolve().unwrap();
        assert_eq!(facts.number("num_heads"), Some(6));
    }

    #[test]
    fn two_statements_that_disagree_are_a_contradiction() {
        let mut evidence = Evidence::new();
        evidence.add("num_heads", 3, Origin::Config("model_args.num_heads".to_owned()));
        evidence.add("num_heads", 6, Origin::Option("--num-heads"));
        let error = evidence.resolve().unwrap_err().to_string();
        assert!(error.contains("--num-heads") && error.contains("model_args.num_heads"), "{error}");
    }

    #[test]
    fn all_questions_are_asked_at_once() {
        let mut evidence = Evidence::new();
        evidence.ask(question());
        evidence.ask(Question { fact: "img_size", ..question() });
        assert!(matches!(evidence.resolve(), Err(FactError::Questions { open, .. }) if open.len() == 2));
    }
}
