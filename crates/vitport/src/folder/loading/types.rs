//! Checks values against the types of version 5's config classes, as its strict dataclasses do
//! (huggingface_hub/dataclasses.py, `type_validator`): a whole number is not a float, nor a truth value a number, nor a list a tuple.

use serde_json::Value;

/// Returns whether the type `kind`, such as `list[int] | None`, accepts a value that comes from JSON. A type that is not
/// understood accepts nothing.
pub(super) fn accepts(kind: &str, value: &Value) -> bool {
    alternatives(kind, '|').any(|kind| accepts_one(kind.trim(), value))
}

fn accepts_one(kind: &str, value: &Value) -> bool {
    let (name, arguments) = match kind.split_once('[') {
        Some((name, rest)) => (name, rest.strip_suffix(']').unwrap_or(rest)),
        None => (kind, ""),
    };
    match (name, value) {
        ("None", Value::Null) | ("str", Value::String(_)) | ("bool", Value::Bool(_)) => true,
        ("int", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("float", Value::Number(number)) => number.is_f64(),
        ("list", Value::Array(items)) => {
            arguments.is_empty() || items.iter().all(|item| accepts(arguments, item))
        }
        // Keys are compared as the texts that they are in JSON, or as the numbers that the class makes of them.
        ("dict", Value::Object(members)) => {
            let values = alternatives(arguments, ',').nth(1).map(str::trim);
            values.is_none_or(|kind| members.values().all(|value| accepts(kind, value)))
        }
        ("Literal", Value::String(text)) => {
            alternatives(arguments, ',').any(|one| one.trim().trim_matches(['\'', '"']) == text)
        }
        _ => false,
    }
}

/// Splits at a character where no bracket is open.
fn alternatives(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |character| {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && character == at
    })
}

#[cfg(test)]
mod tests {
    use super::accepts;
    use serde_json::json;

    // Each was tried with huggingface_hub's type_validator.
    #[test]
    fn types_accept_what_strict_dataclasses_accept() {
        for (kind, value, accepted) in [
            ("int", json!(3), true),
            ("int", json!(3.0), false),
            ("int", json!(true), false),
            ("float", json!(3), false),
            ("float", json!(0.5), true),
            ("float | int", json!(3), true),
            ("float | int", json!("3"), false),
            ("bool", json!(1), false),
            ("str", json!(null), false),
            ("int | None", json!(null), true),
            ("int | list[int] | tuple[int, int]", json!([16, 16]), true),
            ("int | list[int] | tuple[int, int]", json!([16, 16.0]), false),
            ("list[bool] | tuple[bool, ...]", json!([true, 0]), false),
            ("dict[int, str] | dict[str, str] | None", json!({ "0": "cat" }), true),
            ("dict[int, str] | dict[str, str] | None", json!({ "0": 1 }), false),
            ("Literal['regression', 'single_label_classification'] | None", json!("regression"), true),
            ("Literal['regression', 'single_label_classification'] | None", json!("other"), false),
        ] {
            assert_eq!(accepts(kind, &value), accepted, "{kind}: {value}");
        }
    }
}
