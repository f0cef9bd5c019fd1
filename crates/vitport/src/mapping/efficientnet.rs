//! The numbers in a config of transformers' EfficientNet that are made of others: `round_filters` and `depthwise_padding`
//! (models/efficientnet/modeling_efficientnet.py, 4.57.6 and 5.23.0).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{learn, missing};
use crate::facts::{FactError, Facts};

/// Is what the channels of the last convolution are divided by.
const CHANNELS_OF_WIDTH_ONE: u64 = 1280;
/// Is what widths are made multiples of.
const DIVISOR: u64 = 8;

/// Holds a value of `[config]` that only EfficientNet's class needs, with the facts that it is of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) enum Named {
    /// Stands for the channels after EfficientNet's last convolution as a share of 1,280, which its class multiplies widths with.
    #[serde(rename = "efficientnet_width")]
    Width(String),
    /// Stands for the widths of which EfficientNet's class makes the first list, for a network whose last convolution has the second
    /// number of channels.
    #[serde(rename = "efficientnet_unrounded")]
    Unrounded(String, String),
    /// Stands for the numbers, counted through all stages, of the blocks that halve an odd edge of the map: of an image of that size,
    /// after a stem that halves it, in stages of these strides and depths.
    #[serde(rename = "efficientnet_odd_halvings")]
    OddHalvings(String, String, String),
}

impl Named {
    /// Adds to `known` what a value says, and returns whether facts can have made it. What depends on the image alone says nothing.
    pub(super) fn unmake(&self, value: &Value, known: &mut Map<String, Value>) -> bool {
        let width =
            |last: &String, known: &Map<String, Value>| known.get(last).and_then(Value::as_u64).map(width);
        match self {
            Self::Width(last) => {
                width(last, known).is_some_and(|width| value.as_f64().is_some_and(|value| value == width))
            }
            Self::Unrounded(widths, last) => {
                let Some(width) = width(last, known) else { return false };
                let rounded = |entry: &Value| Some(rounded(entry.as_u64()?, width));
                let list: Option<Vec<u64>> =
                    value.as_array().and_then(|list| list.iter().map(rounded).collect());
                list.is_some_and(|list| learn(widths, json!(list), known))
            }
            Self::OddHalvings(..) => true,
        }
    }

    /// Returns the value that the facts make.
    ///
    /// # Errors
    /// Returns [`FactError::NoTarget`] for widths that the class does not make, and a description of a fact that is not there.
    pub(super) fn value(&self, key: &str, facts: &Facts, target: &str) -> Result<Value, FactError> {
        let number = |name: &String| facts.number(name).ok_or_else(|| missing(key, name));
        let list = |name: &String| {
            let list = facts.value(name).and_then(Value::as_array).ok_or_else(|| missing(key, name))?;
            Ok::<Vec<u64>, FactError>(list.iter().filter_map(Value::as_u64).collect())
        };
        match self {
            Self::Width(last) => Ok(json!(width(number(last)?))),
            Self::Unrounded(widths, last) => {
                let width = width(number(last)?);
                let unrounded = |&wanted: &u64| {
                    unrounded(wanted, width).ok_or_else(|| FactError::NoTarget {
                        what: format!("a network of {wanted} channels, with {width} as its width"),
                        why: format!("{target} rounds widths to multiples of 8 and cannot have these"),
                        tensor: facts.get(widths).map(|fact| fact.origin.to_string()),
                        instead: "no class that vitport writes holds it".to_owned(),
                    })
                };
                Ok(json!(list(widths)?.iter().map(unrounded).collect::<Result<Vec<_>, _>>()?))
            }
            Self::OddHalvings(size, strides, depths) => {
                let edge = list(size)?.first().copied().unwrap_or(0);
                Ok(json!(odd_halvings(edge, &list(strides)?, &list(depths)?)))
            }
        }
    }
}

/// Returns the factor of all widths of a network whose last convolution has so many channels.
pub(crate) fn width(last: u64) -> f64 {
    last as f64 / CHANNELS_OF_WIDTH_ONE as f64
}

/// Returns what the class makes of a width: a multiple of 8, rounded to the nearest but not by more than a tenth down.
pub(crate) fn rounded(channels: u64, width: f64) -> u64 {
    let scaled = channels as f64 * width;
    let nearest = ((scaled + DIVISOR as f64 / 2.0) as u64 / DIVISOR * DIVISOR).max(DIVISOR);
    nearest + if (nearest as f64) < 0.9 * scaled { DIVISOR } else { 0 }
}

/// Returns the least width of which the class makes this one; none if there is none.
pub(crate) fn unrounded(wanted: u64, width: f64) -> Option<u64> {
    if !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let most = ((wanted as f64 + DIVISOR as f64) / width).ceil() as u64;
    (1..=most.min(1 << 20)).find(|channels| rounded(*channels, width) == wanted)
}

/// Returns the numbers of the blocks, counted through all stages, that halve an odd edge.
pub(super) fn odd_halvings(edge: u64, strides: &[u64], depths: &[u64]) -> Vec<u64> {
    let (mut edge, mut block, mut odd) = (edge.div_ceil(2), 0, Vec::new());
    for (&stride, &depth) in strides.iter().zip(depths) {
        if stride == 2 {
            if !edge.is_multiple_of(2) {
                odd.push(block);
            }
            edge = edge.div_ceil(2);
        }
        block += depth;
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was measured to be exact, for B0's stages and images of these sizes.
    #[test]
    fn blocks_that_halve_an_odd_edge() {
        let (strides, depths) = ([1, 2, 2, 2, 1, 2, 1], [1, 2, 2, 3, 3, 4, 1]);
        let cases: [(u64, &[u64]); 10] = [
            (224, &[]),
            (672, &[]),
            (800, &[]),
            (240, &[11]),
            (528, &[11]),
            (260, &[3, 5, 11]),
            (300, &[3, 11]),
            (380, &[3]),
            (456, &[5, 11]),
            (600, &[5]),
        ];
        for (edge, wanted) in cases {
            assert_eq!(odd_halvings(edge, &strides, &depths), wanted, "{edge}");
        }
        let lite3 = odd_halvings(300, &strides, &[1, 3, 3, 5, 5, 6, 1]);
        assert_eq!(lite3, [4, 17]);
    }

    #[test]
    fn widths_are_rounded_as_the_class_does() {
        assert_eq!(rounded(32, 1.1), 32);
        assert_eq!(rounded(16, 4.3), 72);
        assert_eq!(rounded(18, 1.0), 24, "not by more than a tenth down");
        // The widths of the largest network, and what the class makes them of.
        let widths = [136, 72, 104, 176, 344, 480, 824];
        let found: Vec<_> = widths.iter().map(|wanted| unrounded(*wanted, width(5504)).unwrap()).collect();
        assert_eq!(
            found,
            [31, 16, 24, 40, 80, 111, 191],
            "the published config has 32, of which the same is made"
        );
        assert_eq!(rounded(32, width(5504)), 136);
        assert_eq!(unrounded(67, 1.0), None);
    }
}
