//! What the code of a TorchScript class says in place of attributes. A traced module has none, but its calls have the values:
//! `torch.layer_norm(input, [48], weight, bias, 9.9999999999999995e-07)`.

use serde_json::{Value, json};
use vitport_checkpoint::SavedModule;

use super::super::literal::Literal;

/// Says which attribute the call of a function gives.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Call {
    /// Names the function, without its module: `layer_norm`.
    pub function: &'static str,
    /// Names the attribute.
    pub attribute: &'static str,
    /// Says what its value is.
    pub value: Given,
}

/// Says what of a call is the value of an attribute.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Given {
    /// Is an argument, counted from 0.
    Argument(usize),
    /// Is an argument, counted from 0, or what it is where it is left out: TorchScript leaves out what is as usual.
    Optional(usize, Literal),
    /// Is an argument by name, if it is there.
    Named(&'static str),
    /// Is an argument by name, or what it is where it is left out.
    Keyword(&'static str, Literal),
    /// Is the entry of a list of so many entries, which is this argument: argument, length, entry.
    Entry(usize, usize, usize),
    /// Says that there is such a call.
    Itself(Literal),
}

impl Call {
    /// Declares a call.
    pub const fn new(function: &'static str, attribute: &'static str, value: Given) -> Self {
        Self { function, attribute, value }
    }
}

/// Returns the attributes that a module lacks and that its calls give. What is not a literal in the code is not known.
pub(super) fn attributes(module: &SavedModule, declared: &[Call]) -> Vec<(&'static str, Value)> {
    let mut found = Vec::new();
    for call in declared.iter().filter(|call| module.attribute(call.attribute).is_none()) {
        for text in &module.calls {
            let Some((function, arguments)) = text.split_once('(') else { continue };
            if function.rsplit('.').next() == Some(call.function) {
                let arguments = split(arguments.strip_suffix(')').unwrap_or(arguments));
                found.extend(call.value.of(&arguments).map(|value| (call.attribute, value)));
            }
        }
    }
    found
}

impl Given {
    fn of(self, arguments: &[&str]) -> Option<Value> {
        match self {
            Given::Argument(index) => literal(arguments.get(index)?),
            Given::Optional(index, otherwise) => match arguments.get(index) {
                Some(argument) => literal(argument),
                None => Some(otherwise.into()),
            },
            Given::Named(name) => {
                let named = |argument: &&str| argument.strip_prefix(name)?.strip_prefix('=').map(literal);
                arguments.iter().find_map(named)?
            }
            Given::Keyword(name, otherwise) => {
                let is_left_out = !arguments.iter().any(|argument| argument.starts_with(name));
                if is_left_out { Some(otherwise.into()) } else { Given::Named(name).of(arguments) }
            }
            Given::Entry(argument, length, index) => {
                let list = arguments.get(argument)?.strip_prefix('[')?.strip_suffix(']')?;
                let entries = split(list);
                literal(entries.get(index).filter(|_| entries.len() == length)?)
            }
            Given::Itself(value) => Some(value.into()),
        }
    }
}

/// Returns the value of a literal as TorchScript writes it.
fn literal(text: &str) -> Option<Value> {
    match text {
        "True" => Some(json!(true)),
        "False" => Some(json!(false)),
        text => match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(entries) => split(entries).into_iter().map(literal).collect(),
            None if text.starts_with('"') => serde_json::from_str(text).ok(),
            None => match text.parse::<i64>() {
                Ok(whole) => Some(json!(whole)),
                Err(_) => text.parse::<f64>().ok().map(Value::from),
            },
        },
    }
}

/// Returns the parts of a text between commas that stand in no parentheses, brackets or quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut begin, mut depth, mut is_quoted) = (0, 0_usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(text.get(begin..at).unwrap_or_default().trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    let last = text.get(begin..).unwrap_or_default().trim();
    if !last.is_empty() {
        parts.push(last);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_split_outside_of_brackets() {
        assert_eq!(split("f(a, b), [1, 2], \"x, y\", 1e-06, "), ["f(a, b)", "[1, 2]", "\"x, y\"", "1e-06"]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn literals_are_given_and_names_are_not() {
        let given = |value: Given, text: &str| value.of(&split(text));
        let tanh = Given::Keyword("approximate", Literal::Text("none"));
        assert_eq!(given(tanh, "input, approximate=\"tanh\""), Some(json!("tanh")));
        assert_eq!(given(tanh, "input"), Some(json!("none")));
        let eps = Given::Optional(4, Literal::Real(1e-5));
        assert_eq!(given(eps, "x, [12], w, b, 9.9999999999999995e-07"), Some(json!(1e-6)));
        assert_eq!(given(eps, "x, [12], w, b"), Some(json!(1e-5)));
        assert_eq!(given(Given::Argument(3), "x, weight, bias, [16, 16]"), Some(json!([16, 16])));
        assert_eq!(given(Given::Named("scale"), "q, k, v, scale=0.5"), Some(json!(0.5)));
        assert_eq!(given(Given::Named("scale"), "q, k, v"), None);
        assert_eq!(given(Given::Argument(1), "x, weight"), None);
        assert_eq!(given(Given::Entry(1, 5, 3), "x, [_1, _3, 3, 6, 4]"), Some(json!(6)));
        assert_eq!(given(Given::Entry(1, 5, 3), "x, [_1, _3, 12]"), None);
        assert_eq!(given(Given::Argument(1), "x, False"), Some(json!(false)));
    }
}
