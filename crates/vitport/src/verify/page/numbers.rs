//! Says how the page writes numbers: powers of ten as one writes them by hand, thousands set apart, no false precision.
//! Templates hand them over borrowed.

use std::borrow::Borrow;
use std::fmt::Display;

use super::super::magnitude::everyday;

/// Is a narrow space that does not break.
const THIN: char = '\u{202f}';

/// Writes a difference: `0`, `3.1 × 10⁻⁷`, or that there is none to be had.
pub fn difference(value: impl Borrow<f64>) -> String {
    let value = *value.borrow();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return "not comparable".to_owned();
    }
    if let Some(text) = everyday(value) {
        return text;
    }
    let text = format!("{value:.1e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{digits}{THIN}×{THIN}10{}", superscript(exponent)),
        None => text,
    }
}

/// Writes `10⁻⁷`.
pub fn power_of_ten(exponent: i32) -> String {
    format!("10{}", superscript(&exponent.to_string()))
}

fn superscript(exponent: &str) -> String {
    let raised = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit @ ('0' | '4'..='9') => {
            char::from_u32(0x2070 + digit.to_digit(10).unwrap_or(0)).unwrap_or(digit)
        }
        other => other,
    };
    exponent.chars().map(raised).collect()
}

/// Writes a size that differences are compared with: `2.31`, or with a power of ten where that would be all zeros.
pub fn size(value: impl Borrow<f64>) -> String {
    match *value.borrow() {
        value @ 0.01..1e5 => format!("{value:.2}"),
        value => difference(value),
    }
}

/// Writes `1 234 567`.
pub fn count(value: impl Display) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(THIN);
        }
        out.push(digit);
    }
    out
}

/// Writes `1 234 567 bytes`.
pub fn bytes(value: impl Borrow<u64>) -> String {
    counted(value.borrow(), "byte")
}

/// Writes a size in powers of ten, as disks and the Hub count: `346.4 MB`.
pub fn megabytes(value: impl Borrow<u64>) -> String {
    let bytes = *value.borrow() as f64;
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.2}{THIN}GB", bytes / 1e9),
        bytes => format!("{:.1}{THIN}MB", bytes / 1e6),
    }
}

/// Writes a probability: `12.34 %`.
pub fn percent(probability: impl Borrow<f64>) -> String {
    format!("{:.2}{THIN}%", probability.borrow() * 100.0)
}

/// Writes `1 tensor`, `2 tensors`.
pub fn counted(value: impl Display, noun: &str) -> String {
    let digits = count(value);
    let plural = if digits == "1" { "" } else { "s" };
    format!("{digits}{THIN}{noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_by_hand() {
        assert_eq!(difference(0.0), "0");
        assert_eq!(difference(3.14e-17), "3.1\u{202f}×\u{202f}10⁻¹⁷");
        assert_eq!(difference(f64::INFINITY), "not comparable");
        assert_eq!(difference(f64::NAN), "not comparable");
        assert_eq!(power_of_ten(-460), "10⁻⁴⁶⁰");
        assert_eq!(size(1.0), "1.00");
        assert_eq!(size(1e-9), "1.0\u{202f}×\u{202f}10⁻⁹");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(bytes(1_234_567), "1\u{202f}234\u{202f}567\u{202f}bytes");
        assert_eq!(percent(0.123_45), "12.35\u{202f}%");
        assert_eq!(counted(1, "tensor"), "1\u{202f}tensor");
    }
}
