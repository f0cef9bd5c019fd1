//! Writes JSON as the Python libraries write it, so that a folder made here and one saved by transformers differ in nothing but
//! their facts.
//!
//! transformers 4.57.6 and 5.23.0 write `config.json`, `preprocessor_config.json` and `model.safetensors.index.json`
//! with `json.dumps(document, indent=2, sort_keys=True) + "\n"` (`PretrainedConfig.to_json_string`,
//! `ImageProcessingMixin.to_json_string`, `PreTrainedModel.save_pretrained`): keys sorted by code point, everything
//! outside printable ASCII escaped (`ensure_ascii` is on), floats as `float.__repr__` writes them.

use serde_json::{Map, Number, Value};
use std::fmt::Write as _;

/// Returns the document as `json.dumps(document, indent=2, sort_keys=True) + "\n"` writes it.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value, 0);
    text.push('\n');
    text
}

fn write_value(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => write_number(text, number),
        Value::String(string) => write_string(text, string),
        Value::Array(items) => write_array(text, items, depth),
        Value::Object(members) => write_object(text, members, depth),
    }
}

fn write_array(text: &mut String, items: &[Value], depth: usize) {
    if items.is_empty() {
        text.push_str("[]");
        return;
    }
    for (position, item) in items.iter().enumerate() {
        text.push(if position == 0 { '[' } else { ',' });
        line(text, depth + 1);
        write_value(text, item, depth + 1);
    }
    line(text, depth);
    text.push(']');
}

fn write_object(text: &mut String, members: &Map<String, Value>, depth: usize) {
    if members.is_empty() {
        text.push_str("{}");
        return;
    }
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(key, _)| *key);
    for (position, (key, value)) in members.into_iter().enumerate() {
        text.push(if position == 0 { '{' } else { ',' });
        line(text, depth + 1);
        write_string(text, key);
        text.push_str(": ");
        write_value(text, value, depth + 1);
    }
    line(text, depth);
    text.push('}');
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
}

fn write_number(text: &mut String, number: &Number) {
    match number.as_f64() {
        Some(float) if number.is_f64() => text.push_str(&float_repr(float)),
        _ => text.push_str(&number.to_string()),
    }
}

/// Writes a finite float as Python's `float.__repr__` writes it: the shortest digits that read back as the same float, plain
/// for decimal exponents from -4 to 15 and otherwise with a signed exponent of at least two digits (CPython,
/// `Python/pystrtod.c`, `PyOS_double_to_string` with format code `r`).
fn float_repr(float: f64) -> String {
    let shortest = format!("{float:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else { return shortest };
    let Ok(exponent) = exponent.parse::<i32>() else { return shortest };
    if (-4..16).contains(&exponent) {
        let plain = format!("{float}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expected texts are CPython 3.12's: json.dumps(value) of the same literals.
    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (float, expected) in [
            (1e-6, "1e-06"),
            (0.00392156862745098, "0.00392156862745098"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (9007199254740992.0, "9007199254740992.0"),
            (1e-5, "1e-05"),
            (1e-4, "0.0001"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-0.0, "-0.0"),
            (100.0, "100.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(float_repr(float), expected);
        }
    }

    #[test]
    fn a_document_has_python_s_order_indent_and_escapes() {
        let value: Value = serde_json::from_str(
            r#"{"z": 2, "😀": 3, "ſ": 1, "uffff￿": 4, "d": [[], {}], "a": "é\u2028\u007f\u0000\u001f\b\f\n\r\t\"\\/😀", "i": 18446744073709551615, "n": null, "t": true}"#,
        )
        .unwrap();
        let expected = r#"{
  "a": "\u00e9\u2028\u007f\u0000\u001f\b\f\n\r\t\"\\/\ud83d\ude00",
  "d": [
    [],
    {}
  ],
  "i": 18446744073709551615,
  "n": null,
  "t": true,
  "uffff\uffff": 4,
  "z": 2,
  "\u017f": 1,
  "\ud83d\ude00": 3
}
"#;
        assert_eq!(document(&value), expected);
    }
}
