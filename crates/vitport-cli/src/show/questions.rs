//! Shows what is not known: each fact with the values that fit and the option that answers it, and the command to run then.

use vitport::facts::Question;
use vitport_checkpoint::escape;

use crate::command_line::{CommandLine, placeholders};
use crate::terminal::style::{BOLD, DIM};
use crate::terminal::wrap::wrap;

/// Gives the columns by which what is said of a fact is set in.
const INDENT: usize = 4;

/// Returns the lines below the error: a paragraph for each question, and the whole command at the end.
pub fn lines(questions: &[Question], typed: &CommandLine, columns: usize) -> String {
    let mut out: Vec<String> = questions.iter().map(|question| paragraph(question, columns)).collect();
    let names = placeholders(questions);
    let run = match names.as_slice() {
        [] => "run".to_owned(),
        names => format!("run, with what is right in place of {}", listed(names)),
    };
    let command = typed.with_missing(questions).shown();
    // A command stays on one line, to be copied.
    out.push(format!("\n{}\n  {BOLD}{command}{BOLD:#}", wrap("", &format!("{run}:"), 0, columns)));
    out.join("\n")
}

/// Returns the first line of the error.
pub fn headline(questions: &[Question]) -> String {
    match questions {
        [_] => "one fact is not known; give the option that says it".to_owned(),
        all => format!("{} facts are not known; give the options that say them", all.len()),
    }
}

fn paragraph(question: &Question, columns: usize) -> String {
    let text = |text: &str| escape(text).to_string();
    let mut lines = vec![format!("\n  {BOLD}{}{BOLD:#}", question.fact)];
    lines.push(wrap("", &text(&question.what), INDENT, columns));
    lines.extend(values(question, columns));
    lines.push(wrap("", &text(&question.answer()), INDENT, columns));
    lines.join("\n")
}

/// Returns the values that fit: on one line, or on a line each where there is more to say of them.
fn values(question: &Question, columns: usize) -> Vec<String> {
    let all = &question.candidates;
    let shown = |value: &str| escape(value).to_string();
    if all.is_empty() || question.only_value().is_some() {
        return Vec::new();
    }
    if all.iter().all(|candidate| candidate.note.is_empty()) {
        let values = all.iter().map(|candidate| shown(&candidate.value)).collect::<Vec<_>>().join(", ");
        return vec![wrap("", &format!("{values} fit"), INDENT, columns)];
    }
    let line = |candidate: &vitport::facts::Candidate| {
        let value = wrap("", &shown(&candidate.value), INDENT, columns);
        let note = wrap("", &shown(&candidate.note), INDENT + 2, columns);
        format!("{value}\n{DIM}{note}{DIM:#}")
    };
    all.iter().map(line).collect()
}

/// Returns names in a sentence: `N, R,G,B and NAME.TAG`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn each_fact_has_its_own_lines_and_the_command_is_last() {
        let questions = [
            Question::new("num_heads", "nobody says ".repeat(20), "--num-heads", "N")
                .with_candidates(1..30)
                .or("--arch NAME"),
            Question::new("img_size", "nobody says", "--image-size", "HEIGHTxWIDTH"),
        ];
        let typed = CommandLine(vec!["vitport".into(), "plan".into(), "a.pth".into()]);
        for columns in [60, 80, 100] {
            let text = anstream::adapter::strip_str(&lines(&questions, &typed, columns)).to_string();
            let all: Vec<&str> = text.lines().collect();
            let (command, above) = all.split_last().unwrap();
            assert!(above.iter().all(|line| line.width() <= columns), "{text}");
            assert_eq!(*command, "  vitport plan a.pth --num-heads N --image-size HEIGHTxWIDTH");
            assert!(text.contains("\n  num_heads\n") && text.contains("\n  img_size\n"), "{text}");
        }
    }
}
