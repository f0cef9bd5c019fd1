//! Numbers of a preprocessing that no network was trained with, and what was probably meant by them.
//!
//! All of timm's tags have means and standard deviations on a 0 to 1 scale, and crop fractions from 0.875 to 1.15.

use std::fmt;

/// Limits the crop fractions that a network may have been trained or tested with.
const CROP_PCT: std::ops::RangeInclusive<f64> = 0.25..=1.25;

/// Describes a number that no network was trained with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Implausible {
    /// Says what such numbers are.
    rule: &'static str,
    /// Says what was probably meant, as the option takes it, and on which scale.
    meant: Option<(String, &'static str)>,
}

impl Implausible {
    /// Returns what was probably meant, as the option takes it: `0.482,0.458,0.408`.
    pub fn meant(&self) -> Option<&str> {
        self.meant.as_ref().map(|(meant, _)| meant.as_str())
    }
}

impl fmt::Display for Implausible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)?;
        match &self.meant {
            Some((meant, scale)) => write!(f, "; {scale}: {meant}"),
            None => Ok(()),
        }
    }
}

/// Checks the mean of each channel.
///
/// # Errors
/// Returns [`Implausible`] unless all are from 0 to 1.
pub fn mean(channels: &[f64]) -> Result<(), Implausible> {
    let is_plausible = channels.iter().all(|mean| (0.0..=1.0).contains(mean));
    verdict(is_plausible, "a mean is from 0 to 1", || of_pixels(channels))
}

/// Checks the standard deviation of each channel.
///
/// # Errors
/// Returns [`Implausible`] unless all are above 0 and at most 1.
pub fn std(channels: &[f64]) -> Result<(), Implausible> {
    let is_plausible = channels.iter().all(|&std| std > 0.0 && std <= 1.0);
    verdict(is_plausible, "a standard deviation is above 0 and at most 1", || {
        of_pixels(channels).filter(|_| channels.iter().all(|&std| std > 0.0))
    })
}

/// Checks the share of the resized edge that a crop keeps.
///
/// # Errors
/// Returns [`Implausible`] unless it is from 0.25 to 1.25.
pub fn crop_pct(fraction: f64) -> Result<(), Implausible> {
    verdict(
        CROP_PCT.contains(&fraction),
        "a crop fraction is from 0.25 to 1.25, most often 0.875 to 1",
        || {
            let share = fraction / 100.0;
            CROP_PCT.contains(&share).then(|| (share.to_string(), "of a whole, not in per cent"))
        },
    )
}

fn verdict(
    is_plausible: bool,
    rule: &'static str,
    meant: impl FnOnce() -> Option<(String, &'static str)>,
) -> Result<(), Implausible> {
    if is_plausible { Ok(()) } else { Err(Implausible { rule, meant: meant() }) }
}

/// Returns numbers on a 0 to 255 scale, some above 1, on a 0 to 1 scale.
fn of_pixels(channels: &[f64]) -> Option<(String, &'static str)> {
    let are_pixels = channels.iter().all(|number| (0.0..=255.0).contains(number));
    let scaled = |number: &f64| ((number / 255.0 * 1e3).round() / 1e3).to_string();
    let meant = channels.iter().map(scaled).collect::<Vec<_>>().join(",");
    (are_pixels && channels.iter().any(|&number| number > 1.0)).then_some((meant, "on a 0 to 1 scale"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_networks_were_trained_with_is_plausible() {
        for channels in [[0.0; 3], [0.485, 0.456, 0.406], [1.0; 3]] {
            assert_eq!(mean(&channels), Ok(()));
        }
        assert_eq!(std(&[0.229, 0.224, 1.0]), Ok(()));
        assert!([0.875, 1.0, 1.15].into_iter().all(|fraction| crop_pct(fraction).is_ok()));
    }

    #[test]
    fn what_was_meant_is_said_where_it_can_be_told() {
        let text = |checked: Result<(), Implausible>| checked.unwrap_err().to_string();
        assert!(text(mean(&[123.0, 117.0, 104.0])).ends_with("on a 0 to 1 scale: 0.482,0.459,0.408"));
        assert!(text(std(&[58.0, 57.0, 57.0])).ends_with("on a 0 to 1 scale: 0.227,0.224,0.224"));
        assert!(text(crop_pct(87.5)).ends_with(": 0.875"));
        assert!(mean(&[-0.1, 0.5, 0.5]).unwrap_err().meant().is_none());
        assert!(mean(&[f64::NAN; 3]).unwrap_err().meant().is_none());
        assert!(std(&[0.0, 58.0, 57.0]).unwrap_err().meant().is_none());
        assert!(std(&[-0.2; 3]).unwrap_err().meant().is_none());
        for fraction in [0.0, -1.0, 3.0, 0.1, f64::NAN, f64::INFINITY] {
            assert!(crop_pct(fraction).unwrap_err().meant().is_none(), "{fraction}");
        }
    }
}
