//! Text from a file, made safe to show.
//!
//! Names in a checkpoint are chosen by whoever wrote it. Shown as they are, they could move a terminal's
//! cursor, colour it, or reverse the direction of the line. [`escape`] leaves ordinary text in any
//! language alone and writes everything else as `\u{…}`.

use std::fmt::{self, Write};

/// Returns a view of `text` whose `Display` never prints a control or an invisible formatting character.
///
/// ```
/// # use vitport_checkpoint::escape;
/// assert_eq!(escape("blocks.0.norm1.weight").to_string(), "blocks.0.norm1.weight");
/// assert_eq!(escape("a\u{1b}[31m\n").to_string(), r"a\u{1b}[31m\n");
/// ```
pub fn escape<T: AsRef<str> + ?Sized>(text: &T) -> Escaped<'_> {
    Escaped(text.as_ref())
}

/// Shows a text escaped; returned by [`escape`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return f.pad(self.0);
        }
        if f.width().is_none() && f.precision().is_none() {
            return self.0.chars().try_for_each(|c| write_escaped(f, c));
        }
        let mut text = String::with_capacity(self.0.len());
        self.0.chars().try_for_each(|c| write_escaped(&mut text, c))?;
        f.pad(&text)
    }
}

fn write_escaped(out: &mut dyn Write, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str(r"\n"),
        '\r' => out.write_str(r"\r"),
        '\t' => out.write_str(r"\t"),
        c if is_unsafe_to_show(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => out.write_char(c),
    }
}

/// Returns true for control characters (C0, C1, DEL), and the characters of Unicode's category Cf and its like that
/// change how their neighbours are shown: bidirectional controls and isolates, zero-width joiners and
/// spaces, line and paragraph separators, soft hyphen, byte-order mark, tags, variation selectors,
/// interlinear annotation, the replacement for what was not text at all.
#[must_use]
pub fn is_unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x0600..=0x0605 | 0x061c | 0x06dd | 0x070f | 0x115f..=0x1160 | 0x17b4..=0x17b5
            | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164
            | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn ordinary_text_is_untouched() {
        for text in ["", "cls_token", "größe.ビット.权重", "a b\\c'\""] {
            assert_eq!(escape(text).to_string(), text);
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        for c in [
            '\u{0}',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{202e}',
            '\u{2066}',
            '\u{200d}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let shown = escape(&c.to_string()).to_string();
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(c)));
        }
        assert_eq!(escape("a\r\n\tb").to_string(), r"a\r\n\tb");
    }

    #[test]
    fn padding_counts_what_is_shown() {
        assert_eq!(format!("{:>8}|", escape("ab\n")), "    ab\\n|");
    }
}
