//! Numbers of a card: thousands set apart, and differences as Python writes them.

use std::fmt::Display;

/// Writes `85,798,656`.
pub(super) fn count(value: impl Display) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes `0`, `3.1e-7`, or that there is none to be had.
pub(super) fn difference(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.is_finite() => format!("{value:.1e}"),
        _ => "not comparable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([count(0), count(999), count(85_798_656)], ["0", "999", "85,798,656"]);
        assert_eq!([difference(0.0), difference(3.14e-7)], ["0", "3.1e-7"]);
        assert_eq!(difference(f64::NAN), "not comparable");
    }
}
