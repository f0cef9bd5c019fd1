//! Writes differences as a person reads them: numbers of everyday size as they are, others with a power of ten, zero as `0`.

/// Returns a number between a thousandth and ten thousand with two digits that count; none for others.
pub(crate) fn everyday(value: f64) -> Option<String> {
    if !(1e-3..1e4).contains(&value.abs()) {
        return None;
    }
    let decimals = (1.0 - value.abs().log10().floor()).clamp(0.0, 4.0) as usize;
    Some(format!("{value:.decimals$}"))
}

/// Writes a difference: `0`, `3.8`, `3.1e-7`, or that nothing can be compared.
#[must_use]
pub fn shown_difference(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value if value.is_finite() => everyday(value).unwrap_or_else(|| format!("{value:.1e}")),
        _ => "not comparable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        let written =
            [0.0, 3.14e-7, 0.0014, 0.0717, 3.84, 42.4, 1234.5, 1e4, -0.5, f64::NAN].map(shown_difference);
        let expected =
            ["0", "3.1e-7", "0.0014", "0.072", "3.8", "42", "1234", "1.0e4", "-0.50", "not comparable"];
        assert_eq!(written, expected);
    }
}
