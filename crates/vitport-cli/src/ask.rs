//! Asks on the terminal what is not known: a numbered choice where answers can be listed, a line otherwise. Answers are options, as
//! if they had been typed.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};

use clap::Parser;
use vitport::facts::Question;
use vitport_checkpoint::escape;

use crate::arguments::{Arguments, Command};
use crate::command_line::CommandLine;
use crate::failure::{Failure, usage};
use crate::terminal::message::note_line;
use crate::terminal::style::BOLD;
use crate::terminal::wrap::{error_columns, wrap};

/// Returns whether questions may be asked: someone sits before the terminal, reads it, and wants to be asked.
pub fn may_ask(arguments: &Arguments) -> bool {
    let common = &arguments.common;
    let is_wanted = !common.no_input && !common.json && !common.quiet;
    let is_of_one_model =
        matches!(arguments.command, Command::Convert(_) | Command::Plan(_) | Command::Verify(_));
    is_wanted && is_of_one_model && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns the command line with the answers to a failure's questions, and says it for the next time; none if the failure asks
/// nothing, or nothing is answered.
pub fn ask(failure: &Failure, typed: &CommandLine) -> Option<CommandLine> {
    let questions = &failure.open.as_ref()?.questions;
    let is_accepted = |options: &[OsString]| match Arguments::try_parse_from(&typed.with(options.to_vec()).0)
    {
        Ok(_) => Ok(()),
        Err(error) => Err(usage::said(&error)),
    };
    let mut terminal = Dialogue {
        input: &mut io::stdin().lock(),
        output: &mut anstream::stderr(),
        is_accepted: &is_accepted,
        columns: error_columns(),
    };
    let answers = terminal.answers(questions).ok().flatten()?;
    let answered = typed.with(answers);
    note_line(&format!("the same without questions: {}", answered.shown()));
    Some(answered)
}

/// Holds both ends of a terminal.
struct Dialogue<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    /// Says what is wrong with an option and its value, if anything is.
    is_accepted: &'a dyn Fn(&[OsString]) -> Result<(), String>,
    columns: usize,
}

impl Dialogue<'_> {
    /// Returns the options that answer the questions; none if one has no option that answers it, or an empty line is given.
    fn answers(&mut self, questions: &[Question]) -> io::Result<Option<Vec<OsString>>> {
        if questions.iter().any(|question| question.option.is_empty()) {
            return Ok(None);
        }
        let mut options = Vec::new();
        for question in questions {
            match self.answer(question)? {
                Some(value) => options.extend([question.option.into(), value]),
                None => return Ok(None),
            }
        }
        Ok(Some(options))
    }

    fn answer(&mut self, question: &Question) -> io::Result<Option<OsString>> {
        let what = escape(&question.what).to_string();
        writeln!(self.output, "\n{BOLD}{}{BOLD:#}\n{}", question.fact, wrap("", &what, 2, self.columns))?;
        for (index, candidate) in question.candidates.iter().enumerate() {
            let shown = escape(&candidate.to_string()).to_string();
            writeln!(self.output, "{}", wrap(&format!("  {}", index + 1), &shown, 6, self.columns))?;
        }
        let others = question.candidates.len() + 1;
        if others > 1 {
            writeln!(self.output, "  {others}   another {}", question.takes)?;
            loop {
                let Some(line) = self.line(&format!("1 to {others}, or nothing to stop: "))? else {
                    return Ok(None);
                };
                match line.parse::<usize>().ok().filter(|choice| (1..=others).contains(choice)) {
                    Some(choice) if choice == others => break,
                    Some(choice) => {
                        let chosen = question.candidates.get(choice - 1);
                        return Ok(chosen.map(|candidate| OsString::from(&candidate.value)));
                    }
                    None => writeln!(self.output, "  `{}` is not one of the numbers", escape(&line))?,
                }
            }
        }
        loop {
            let prompt = format!("{} {}, or nothing to stop: ", question.option, question.takes);
            let Some(line) = self.line(&prompt)? else { return Ok(None) };
            match (self.is_accepted)(&[question.option.into(), OsString::from(&line)]) {
                Ok(()) => return Ok(Some(line.into())),
                Err(why) => writeln!(self.output, "{}", wrap("", &why, 2, self.columns))?,
            }
        }
    }

    /// Returns a line without the spaces around it; none at the end of input or if it is empty.
    fn line(&mut self, prompt: &str) -> io::Result<Option<String>> {
        write!(self.output, "{prompt}")?;
        self.output.flush()?;
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        let line = line.trim();
        Ok((!line.is_empty()).then(|| line.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(typed: &str) -> (Option<Vec<OsString>>, String) {
        let questions = [
            Question::new("num_heads", "not known", "--num-heads", "N").with_candidates([3, 6]),
            Question::new("img_size", "not known", "--image-size", "N"),
        ];
        let is_accepted = |options: &[OsString]| match options.last() {
            Some(value) if value.to_string_lossy().parse::<u64>().is_ok() => Ok(()),
            _ => Err("give a number".to_owned()),
        };
        let mut output = Vec::new();
        let mut dialogue = Dialogue {
            input: &mut typed.as_bytes(),
            output: &mut output,
            is_accepted: &is_accepted,
            columns: 60,
        };
        let answers = dialogue.answers(&questions).unwrap();
        (answers, String::from_utf8(output).unwrap())
    }

    #[test]
    fn a_choice_is_a_number_and_the_rest_is_typed() {
        let options = |all: [&str; 4]| Some(all.map(OsString::from).to_vec());
        assert_eq!(answers("2\n32\n").0, options(["--num-heads", "6", "--image-size", "32"]));
        assert_eq!(answers("3\n12\n 32 \n").0, options(["--num-heads", "12", "--image-size", "32"]));
    }

    #[test]
    fn what_cannot_be_is_asked_again_and_nothing_ends_it() {
        let (found, shown) = answers("9\nx\n1\nwide\n64\n");
        assert_eq!(found.unwrap().last().unwrap(), "64");
        assert!(shown.contains("`9` is not one") && shown.contains("give a number"), "{shown}");
        assert_eq!(answers("\n").0, None);
        assert_eq!(answers("1\n").0, None);
    }
}
