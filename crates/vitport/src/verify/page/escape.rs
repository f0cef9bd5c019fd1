//! Escapes text of strangers (labels, tensor names, paths, reasons) on a page: characters that would change how their
//! neighbours are shown are made visible first, as in messages; then HTML's own five are escaped. Every value of a template
//! goes through it.

use std::fmt::{self, Write};

use askama::filters::Escaper;
use vitport_checkpoint::escape;

/// Escapes the text of the page's templates, named in `askama.toml`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageEscaper;

impl Escaper for PageEscaper {
    fn write_escaped_str<W: Write>(&self, mut out: W, text: &str) -> fmt::Result {
        escape(text).to_string().chars().try_for_each(|c| match c {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
            c => out.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let mut out = String::new();
        PageEscaper.write_escaped_str(&mut out, "</td><script>a && 'b' \"</script>\u{202e}\u{7}").unwrap();
        assert_eq!(
            out,
            "&lt;/td&gt;&lt;script&gt;a &amp;&amp; &#39;b&#39; &quot;&lt;/script&gt;\\u{202e}\\u{7}"
        );
    }
}
