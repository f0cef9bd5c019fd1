//! What a source itself states of its preprocessing, and which of several statements is taken.

use serde_json::{Map, Value};
use vitport_checkpoint::escape;

use crate::facts::{Contradiction, Fact, FactError, Origin, Sourced, is_same};
use crate::image::{CropMode, Filter};

/// Holds what one carrier of statements, such as a `config.json`, says of preprocessing. What it says nothing of is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatedPreprocessing {
    /// Gives the mean of each channel on a 0…1 scale.
    pub mean: Option<Sourced<[f64; 3]>>,
    /// Gives the standard deviation of each channel on a 0…1 scale.
    pub std: Option<Sourced<[f64; 3]>>,
    /// Gives the share of the resized edge that the crop keeps.
    pub crop_pct: Option<Sourced<f64>>,
    /// Says what is cut off.
    pub crop_mode: Option<Sourced<CropMode>>,
    /// Says how pixels are interpolated.
    pub interpolation: Option<Sourced<Filter>>,
}

impl StatedPreprocessing {
    /// Returns what it says of that of which another says nothing.
    #[must_use]
    pub fn without(self, other: &Self) -> Self {
        Self {
            mean: self.mean.filter(|_| other.mean.is_none()),
            std: self.std.filter(|_| other.std.is_none()),
            crop_pct: self.crop_pct.filter(|_| other.crop_pct.is_none()),
            crop_mode: self.crop_mode.filter(|_| other.crop_mode.is_none()),
            interpolation: self.interpolation.filter(|_| other.interpolation.is_none()),
        }
    }

    /// Reads the keys `mean`, `std`, `crop_pct`, `crop_mode` and `interpolation`, as timm's `pretrained_cfg` has them; a key that
    /// is null says nothing. `place` is the object in messages.
    ///
    /// # Errors
    /// Returns [`FactError::Impossible`] for values of another kind.
    pub fn read(values: &Map<String, Value>, place: &str, origin: &Origin) -> Result<Self, FactError> {
        let mut stated = Self::default();
        for (key, value) in values {
            if !stated.set(key, value, origin.clone()) {
                let shown: String = value.to_string().chars().take(60).collect();
                let reason = format!("{} is not a valid {key}", escape(&shown));
                return Err(FactError::Impossible { place: format!("{place}.{key}"), reason });
            }
        }
        Ok(stated)
    }

    /// Takes what one key says; false for a value of another kind. Other keys say nothing.
    pub fn set(&mut self, key: &str, value: &Value, origin: Origin) -> bool {
        fn put<T>(place: &mut Option<Sourced<T>>, value: Option<T>, origin: Origin) -> bool {
            *place = value.map(|value| Sourced::new(value, origin));
            place.is_some()
        }
        match key {
            _ if value.is_null() => true,
            "mean" => put(&mut self.mean, channels(value), origin),
            "std" => put(&mut self.std, channels(value), origin),
            "crop_pct" => put(&mut self.crop_pct, value.as_f64(), origin),
            "crop_mode" => put(&mut self.crop_mode, value.as_str().map(CropMode::from_name), origin),
            "interpolation" => {
                put(&mut self.interpolation, value.as_str().and_then(Filter::from_name), origin)
            }
            _ => true,
        }
    }
}

/// Returns a number for each channel; one number stands for all three.
fn channels(value: &Value) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    match *numbers.as_slice() {
        [one] => Some([one; 3]),
        [red, green, blue] => Some([red, green, blue]),
        _ => None,
    }
}

/// Returns what an option says, else the first statement, else `usual`, with its fact. `origins` are the option's name and
/// the origin of `usual`, and `value` makes the fact's value.
///
/// # Errors
/// Returns [`FactError::Contradiction`] if statements disagree and no option decides.
pub(super) fn choose<'a, T: Copy + 'a>(
    name: &'static str,
    option: Option<T>,
    stated: impl Iterator<Item = &'a Option<Sourced<T>>>,
    usual: T,
    origins: (&'static str, Origin),
    value: fn(&T) -> Value,
) -> Result<(T, Fact), FactError> {
    let stated: Vec<(T, Fact)> = stated
        .flatten()
        .map(|stated| (stated.value, Fact::new(name, value(&stated.value), stated.origin.clone())))
        .collect();
    let (option_name, by_default) = origins;
    let differing = |from: &Value| stated.iter().find(|(_, other)| !is_same(&other.value, from));
    let given = option.as_ref().map(value);
    let known = match (&given, stated.first()) {
        (None, Some((_, first))) => {
            if let Some((_, other)) = differing(&first.value) {
                return Err(Contradiction::between(first, other).into());
            }
            stated.first()
        }
        (Some(given), first) => differing(given).or(first),
        (None, None) => None,
    };
    let (known, sourced) = match known {
        Some((known, fact)) => (*known, Sourced::new(fact.value.clone(), fact.origin.clone())),
        None => (usual, Sourced::new(value(&usual), by_default)),
    };
    Ok((option.unwrap_or(known), Fact::by_option(name, given, option_name, sourced)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mean(value: &Value, name: &str) -> StatedPreprocessing {
        let mut stated = StatedPreprocessing::default();
        assert!(stated.set("mean", value, Origin::Argument(name.to_owned())));
        stated
    }

    fn chosen(option: Option<[f64; 3]>, stated: &[StatedPreprocessing]) -> Result<Fact, FactError> {
        let origins = ("--mean", Origin::Definition("usual"));
        let means = stated.iter().map(|stated| &stated.mean);
        choose("mean", option, means, [0.5; 3], origins, |mean| json!(mean)).map(|(_, fact)| fact)
    }

    #[test]
    fn one_number_stands_for_three_channels() {
        assert_eq!(mean(&json!([0.3]), "args.mean").mean.unwrap().value, [0.3; 3]);
        for wrong in [json!([0.1, 0.2]), json!("0.5"), json!([0.1, 0.2, "x"]), json!([])] {
            assert!(!StatedPreprocessing::default().set("mean", &wrong, Origin::Card("x")), "{wrong}");
        }
    }

    #[test]
    fn statements_come_before_what_is_usual_and_must_agree() {
        let (args, config) = (mean(&json!([0.1, 0.2, 0.3]), "args.mean"), mean(&json!([0.4]), "config"));
        assert_eq!(chosen(None, &[]).unwrap().value, json!([0.5, 0.5, 0.5]));
        assert_eq!(
            chosen(None, &[StatedPreprocessing::default(), config.clone()]).unwrap().shown(),
            "[0.4, 0.4, 0.4]"
        );
        let error = chosen(None, &[args.clone(), config.clone()]).unwrap_err().to_string();
        assert!(error.contains("args.mean") && error.contains("config"), "{error}");
        let fact = chosen(Some([0.6; 3]), &[args, config]).unwrap();
        assert_eq!(
            fact.known_from(),
            "--mean; the source says [0.1, 0.2, 0.3] (the training arguments: args.mean)"
        );
    }
}
