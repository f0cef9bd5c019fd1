//! Python's text, which may hold what Rust's may not.
//!
//! Pickle writes text as UTF-8 with lone surrogates let through. They are kept as six visible characters
//! (`\udc80`), so that a name stays one name.

use std::borrow::Cow;

use crate::error::{Fault, Reason, refuse};

/// Decodes UTF-8 with lone surrogates. The text has at most twice as many bytes.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let mut rest = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Cow::Borrowed(text)),
        Err(_) => bytes,
    };
    let mut text = String::with_capacity(rest.len());
    loop {
        let (valid, bad) = match std::str::from_utf8(rest) {
            Ok(tail) => {
                text.push_str(tail);
                return Ok(Cow::Owned(text));
            }
            Err(error) => rest.split_at(error.valid_up_to()),
        };
        text.push_str(&String::from_utf8_lossy(valid));
        // ED A0 80 to ED BF BF are the surrogates U+D800 to U+DFFF.
        let Some(([0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf], tail)) = bad.split_first_chunk::<3>()
        else {
            return refuse(Reason::Malformed, "a text in the pickle is not UTF-8");
        };
        let surrogate = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
        text.push_str(&format!("\\u{surrogate:04x}"));
        rest = tail;
    }
}

/// Decodes the escapes of protocol 0's `UNICODE` line (Python's raw-unicode-escape): `\uXXXX` and
/// `\UXXXXXXXX`, every other byte being the character of that number.
pub(super) fn decode_raw_escapes(line: &[u8]) -> Result<String, Fault> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            text.push(char::from(byte));
            rest = tail;
            continue;
        }
        let number = tail.get(1..=digits).and_then(|hex| std::str::from_utf8(hex).ok());
        let Some(number) = number.and_then(|hex| u32::from_str_radix(hex, 16).ok()) else {
            return refuse(Reason::Malformed, "a text in the pickle has a broken escape");
        };
        match char::from_u32(number) {
            Some(c) => text.push(c),
            None => text.push_str(&format!("\\u{number:04x}")),
        }
        rest = tail.get(digits + 1..).unwrap_or_default();
    }
    Ok(text)
}

/// Returns the bytes of text in which each character stands for one byte (latin-1), as Python 3 writes byte
/// strings with protocol 2. `None` when a character stands for none.
pub(super) fn latin1_bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

/// Undoes the quoting of protocol 0's `STRING` line: quotes around it, and Python's escapes.
pub(super) fn unquote(line: &[u8]) -> Result<Vec<u8>, Fault> {
    let inner = match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return refuse(Reason::Malformed, "a byte string in the pickle has no quotes"),
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let escaped = match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let number =
                    std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                let Some(number) = number else {
                    return refuse(Reason::Malformed, "a byte string in the pickle has a broken escape");
                };
                number
            }
            Some(other @ (b'\\' | b'\'' | b'"')) => other,
            _ => return refuse(Reason::Malformed, "a byte string in the pickle has an unknown escape"),
        };
        bytes.push(escaped);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_visible() {
        assert_eq!(decode(b"a\xed\xb2\x80b").unwrap(), "a\\udc80b");
        assert_eq!(decode("größe".as_bytes()).unwrap(), "größe");
        assert!(decode(b"a\xffb").is_err());
        assert!(decode(b"a\xed\xb2").is_err());
        assert_eq!(decode(&b"\xed\xb2\x80".repeat(2_000_000)).unwrap(), "\\udc80".repeat(2_000_000));
    }

    #[test]
    fn protocol_0_texts() {
        assert_eq!(decode_raw_escapes(b"a\\u00e9\\U0001f600\xe9\\n").unwrap(), "aé😀é\\n");
        assert!(decode_raw_escapes(b"\\u12").is_err());
        assert_eq!(unquote(b"'a\\n\\x00\\'b'").unwrap(), b"a\n\0'b");
        assert!(unquote(b"'a").is_err());
        assert!(unquote(b"'").is_err());
    }
}
