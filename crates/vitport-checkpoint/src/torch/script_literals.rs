//! The literals in the code of a TorchScript archive: numbers, strings, lists and tuples of them.

use crate::plain_value::PlainValue;

/// Lists inside each other that are read.
const DEPTH: usize = 8;

/// Reads a literal; `None` for any other expression.
pub(super) fn literal(text: &str) -> Option<PlainValue> {
    let mut rest = text.trim();
    let value = value(&mut rest, DEPTH)?;
    rest.trim().is_empty().then_some(value)
}

fn value(rest: &mut &str, depth: usize) -> Option<PlainValue> {
    *rest = rest.trim_start();
    match rest.chars().next()? {
        '"' => string(rest).map(PlainValue::Str),
        '[' => list(rest, ']', depth.checked_sub(1)?),
        '(' => list(rest, ')', depth.checked_sub(1)?),
        _ => word(rest),
    }
}

fn list(rest: &mut &str, end: char, depth: usize) -> Option<PlainValue> {
    let mut chars = rest.chars();
    chars.next();
    *rest = chars.as_str();
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(end) {
            *rest = after;
            return Some(PlainValue::List(items));
        }
        items.push(value(rest, depth)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None if rest.starts_with(end) => {}
            None => return None,
        }
    }
}

/// Returns a string in double quotes. Of the escapes, those for quotes and backslashes are decoded and all others kept.
fn string(rest: &mut &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = rest.chars();
    chars.next();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => match chars.next()? {
                quoted @ ('"' | '\'' | '\\') => out.push(quoted),
                other => out.extend(['\\', other]),
            },
            other => out.push(other),
        }
    }
    *rest = chars.as_str();
    Some(out)
}

fn word(rest: &mut &str) -> Option<PlainValue> {
    let end = rest.find([',', ']', ')', ' ']).unwrap_or(rest.len());
    let (word, after) = rest.split_at_checked(end)?;
    *rest = after;
    Some(match word {
        "None" => PlainValue::None,
        "True" => PlainValue::Bool(true),
        "False" => PlainValue::Bool(false),
        _ => match word.parse() {
            Ok(number) => PlainValue::Int(number),
            Err(_) if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') => {
                PlainValue::Float(word.parse().ok()?)
            }
            Err(_) => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_nothing_else() {
        let read = |text: &str| literal(text).map(|value| value.to_string());
        assert_eq!(read("-3").as_deref(), Some("-3"));
        assert_eq!(read("9.9999999999999995e-07").as_deref(), Some("1e-6"));
        assert_eq!(read("0.").as_deref(), Some("0.0"));
        assert_eq!(read("(48,)").as_deref(), Some("[48]"));
        assert_eq!(read(r#"[["a\"b", True, None, ], ]"#).as_deref(), Some(r#"[['a"b', True, None]]"#));
        for other in ["", "x", "[1", "[1 2]", "torch.gelu(x)", "\"open", "(1,) + (2,)"] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(read(&"[".repeat(10_000)), None);
    }
}
