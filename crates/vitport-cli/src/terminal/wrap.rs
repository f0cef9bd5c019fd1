//! Sentences in the width of the terminal: broken between words, further lines indented as far as the first word.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthStr;

/// Gives the width where there is no terminal to ask, and the most and the least that is used of one.
const PLAIN: usize = 80;
const WIDEST: usize = 100;
const NARROWEST: usize = 40;

/// Returns the columns to write in.
pub fn columns() -> usize {
    super::width().map_or(PLAIN, |width| width.clamp(NARROWEST, WIDEST))
}

/// Returns the columns to write in on standard error.
pub fn error_columns() -> usize {
    super::error_width().map_or(PLAIN, |width| width.clamp(NARROWEST, WIDEST))
}

/// Returns `head` and after it, from column `indent` on, `text` in at most `columns`. A word that is longer than a line stays
/// whole.
pub fn wrap(head: &str, text: &str, indent: usize, columns: usize) -> String {
    let head = format!("{head}{}", " ".repeat(indent.saturating_sub(head.width())));
    let further = " ".repeat(indent);
    let options = Options::new(columns)
        .initial_indent(&head)
        .subsequent_indent(&further)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::fill(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_begin_under_the_first_word() {
        let text = wrap("  known", "one two three four", 9, 19);
        assert_eq!(text, "  known  one two\n         three four");
        assert!(wrap("", "word", 4, 2).ends_with("word"));
    }
}
