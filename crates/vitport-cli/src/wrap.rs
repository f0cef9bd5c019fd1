//! Sentences in the width of the terminal: broken between words, each further line indented as far as the first word.

use unicode_width::UnicodeWidthStr;

use crate::terminal;

/// Width where there is no terminal to ask, and the most and the least that is used of one.
const PLAIN: usize = 80;
const WIDEST: usize = 100;
const NARROWEST: usize = 40;

/// Columns to write in.
pub fn columns() -> usize {
    terminal::width().map_or(PLAIN, |width| width.clamp(NARROWEST, WIDEST))
}

/// `head`, and behind it, from column `indent` on, `text` in at most `columns`. A word that is longer than a line stays whole.
pub fn wrap(head: &str, text: &str, indent: usize, columns: usize) -> String {
    let mut lines = vec![format!("{head}{}", " ".repeat(indent.saturating_sub(head.width())))];
    let mut has_word = false;
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.width());
        if has_word && used + 1 + word.width() > columns {
            lines.push(" ".repeat(indent));
            has_word = false;
        }
        if let Some(line) = lines.last_mut() {
            if has_word {
                line.push(' ');
            }
            line.push_str(word);
            has_word = true;
        }
    }
    lines.join("\n")
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
