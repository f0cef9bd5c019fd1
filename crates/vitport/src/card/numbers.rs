//! Counts of a card, with thousands set apart.

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

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([count(0), count(999), count(85_798_656)], ["0", "999", "85,798,656"]);
    }
}
