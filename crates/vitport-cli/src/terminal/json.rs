//! Prints JSON documents that a terminal can show: characters that control one stand as JSON's own `\u` escapes, so a program
//! reads the same.

use std::io;

use serde::Serialize;
use serde_json::Value;
use vitport_checkpoint::is_unsafe_to_show;

/// Returns an indented document.
///
/// # Errors
/// If the value cannot be written as JSON.
pub fn json_text(value: &impl Serialize) -> io::Result<String> {
    Ok(escaped(&serde_json::to_string_pretty(value)?))
}

/// Returns a document of one line, its end included.
pub fn json_line(value: &Value) -> String {
    escaped(&value.to_string()) + "\n"
}

fn escaped(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || !is_unsafe_to_show(c) {
            safe.push(c);
        } else {
            safe.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_document_says_the_same_without_controlling_a_terminal() {
        let names = ["a\u{9b}31m", "b\u{202e}c", "größe", "d\u{e0041}", "e\u{7f}\n\u{1b}"];
        let document = serde_json::to_string_pretty(&names).unwrap();
        let safe = escaped(&document);
        assert!(safe.contains("größe") && safe.contains("\\u009b"), "{safe}");
        assert!(!safe.contains(['\u{9b}', '\u{202e}', '\u{7f}', '\u{1b}', '\u{e0041}']), "{safe}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&safe).unwrap(), names);
    }
}
