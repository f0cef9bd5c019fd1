//! Text of strangers in Markdown, as code: no character in a code span means anything but itself.

use std::fmt::Write as _;

use vitport_checkpoint::escape;

/// Limits the letters of a text that are shown; longer ones are cut.
const MOST_LETTERS: usize = 160;

/// Returns a text as a code span that nothing in the text can end: control characters and line ends are spelled out, and the span's
/// own marks are longer than any run of them inside (CommonMark 0.31, section 6.1). A bar is escaped, since it would end a
/// cell of a table even there (GitHub Flavored Markdown, section 4.10).
pub(super) fn code(text: &str) -> String {
    let mut shown = escape(text).to_string();
    if let Some((end, _)) = shown.char_indices().nth(MOST_LETTERS) {
        shown.truncate(end);
        shown.push('…');
    }
    let shown = shown.replace('|', "\\|");
    if shown.trim().is_empty() {
        return "(empty)".to_owned();
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let marks = "`".repeat(longest + 1);
    let pad = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{marks}{pad}{shown}{pad}{marks}")
}

/// Writes a table. Headings and cells are Markdown already.
pub(super) fn table(out: &mut String, headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| {} |", headings.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(headings.len()));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_code_span_cannot_be_left() {
        for (text, expected) in [
            ("tench", "`tench`"),
            ("a`b", "``a`b``"),
            ("``", "``` `` ```"),
            ("---\nlicense: x", "`---\\nlicense: x`"),
            ("<script>a</script>", "`<script>a</script>`"),
            ("a|b", "`a\\|b`"),
            ("\u{202e}x", "`\\u{202e}x`"),
            (" ", "(empty)"),
            (" a ", "`  a  `"),
        ] {
            assert_eq!(code(text), expected, "{text:?}");
        }
        assert!(code(&"x".repeat(10_000)).len() < 200);
    }
}
