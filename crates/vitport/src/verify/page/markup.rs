//! Writing HTML so that it can be nothing else: every element that is opened is closed, and no text gets in unescaped.
//!
//! Texts come from files of strangers (labels, tensor names, paths, reasons of rule files). Characters that would change
//! how their neighbours are shown are made visible first, as in messages; then HTML's own five are escaped.

use vitport_checkpoint::escape;

/// A piece of a page.
#[derive(Debug, Default)]
pub struct Markup {
    out: String,
}

impl Markup {
    /// The whole as text.
    pub fn finish(self) -> String {
        self.out
    }

    /// The line that says that this is HTML as it is today.
    pub fn doctype(&mut self) {
        self.out.push_str("<!doctype html>\n");
    }

    /// The page's own style sheet, which is not escaped.
    pub fn style(&mut self, css: &'static str) {
        self.out.push_str("<style>\n");
        self.out.push_str(css);
        self.out.push_str("</style>\n");
    }

    /// An element with what `inside` writes in it.
    pub fn element(
        &mut self,
        tag: &'static str,
        attributes: &[(&str, &str)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(tag, attributes);
        self.out.push('>');
        inside(self);
        self.out.push_str("</");
        self.out.push_str(tag);
        self.out.push('>');
        if !matches!(tag, "b" | "bdi" | "code" | "span" | "small") {
            self.out.push('\n');
        }
    }

    /// An element that holds only text.
    pub fn words(&mut self, tag: &'static str, attributes: &[(&str, &str)], text: &str) {
        self.element(tag, attributes, |inside| inside.text(text));
    }

    /// An element without an end: `meta`, `img`.
    pub fn void(&mut self, tag: &'static str, attributes: &[(&str, &str)]) {
        self.open(tag, attributes);
        self.out.push_str(">\n");
    }

    /// A shape of a drawing: an element without anything in it.
    pub fn shape(&mut self, tag: &'static str, attributes: &[(&str, &str)]) {
        self.open(tag, attributes);
        self.out.push_str("/>\n");
    }

    /// Text.
    pub fn text(&mut self, text: &str) {
        push_escaped(&mut self.out, text);
    }

    /// Text of a stranger, which may run from right to left without turning its neighbours round.
    pub fn foreign(&mut self, text: &str) {
        self.words("bdi", &[], text);
    }

    /// Text of a stranger that is code: a path, a tensor's name, a hash.
    pub fn code(&mut self, text: &str) {
        self.element("code", &[], |code| code.foreign(text));
    }

    fn open(&mut self, tag: &'static str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(tag);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            push_escaped(&mut self.out, value);
            self.out.push('"');
        }
    }
}

fn push_escaped(out: &mut String, text: &str) {
    for c in escape(text).to_string().chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        let mut page = Markup::default();
        page.words("td", &[("title", "\" onload='x' <b>")], "</td><script>a && b</script>\u{202e}\u{7}");
        let text = page.finish();
        assert_eq!(
            text.trim_end(),
            "<td title=\"&quot; onload=&#39;x&#39; &lt;b&gt;\">&lt;/td&gt;&lt;script&gt;a &amp;&amp; b&lt;/script&gt;\
             \\u{202e}\\u{7}</td>"
        );
    }

    #[test]
    fn what_is_opened_is_closed() {
        let mut page = Markup::default();
        page.element("p", &[], |p| {
            p.code("a");
            p.shape("path", &[("d", "M0 0")]);
        });
        assert_eq!(page.finish(), "<p><code><bdi>a</bdi></code><path d=\"M0 0\"/>\n</p>\n");
    }
}
