//! Makes text that a server or a repository chose fit for one line of a message: control and direction characters are
//! written out, and what is too long is cut.

/// Limits the longest text that is shown whole, in characters.
const LONGEST: usize = 200;

/// Returns `text` with control characters, and those that change how their neighbours are shown, written as `\u{…}`; at most
/// [`LONGEST`] characters of it.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().take(LONGEST) {
        if c.is_control() || changes_direction(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// Returns whether a character is among bidirectional controls, zero-width characters and line separators (Unicode 16, category
/// Cf and Zl/Zp, as far as they concern the neighbouring text).
fn changes_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(shown("a\u{1b}[31m\n\u{202e}ü"), r"a\u{1b}[31m\u{a}\u{202e}ü");
        assert_eq!(shown(&"x".repeat(300)).chars().count(), 201);
    }
}
