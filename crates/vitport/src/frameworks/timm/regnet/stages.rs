//! The stages that timm makes of a RegNet's four numbers (timm/models/regnet.py, `generate_regnet` and
//! `adjust_widths_groups_comp`, 1.0.31), in float32 as timm computes them.

use serde::Deserialize;

/// Lists the arguments that say how the stages are.
pub(super) const TELLING: [&str; 4] = ["depth", "w0", "wa", "wm"];

/// Lists these, the arguments that fit groups into the widths, and the width of the stem before them.
pub(super) const DECIDING: [&str; 8] =
    ["depth", "w0", "wa", "wm", "group_size", "bottle_ratio", "group_min_ratio", "stem_width"];

/// Divides all widths before the groups are fitted into them.
const QUANTUM: f32 = 8.0;

/// Holds the numbers of which the stages are made, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub(super) struct Numbers {
    /// Counts all blocks.
    depth: Option<usize>,
    /// Gives the first width.
    w0: Option<f32>,
    /// Says what each block adds to it.
    wa: Option<f32>,
    /// Gives the ratio of the widths of stages.
    wm: Option<f32>,
    /// Counts the channels in a group.
    group_size: usize,
    /// Gives the inner channels by outer ones.
    bottle_ratio: Option<f64>,
    /// Says how far a width may shrink to hold whole groups; 0 for rounding to the nearest.
    group_min_ratio: Option<f64>,
}

impl Numbers {
    /// Returns the blocks and the channels of each stage. None if a number is not known or timm refuses them.
    pub(super) fn stages(&self) -> Option<(Vec<usize>, Vec<usize>)> {
        let (depth, first, slope, ratio) = (self.depth?, self.w0?, self.wa?, self.wm?);
        if slope < 0.0 || first <= 0.0 || ratio <= 1.0 || first % QUANTUM != 0.0 || depth > 10_000 {
            return None;
        }
        let mut stages: Vec<(f32, usize)> = Vec::new();
        for block in 0..depth {
            let exponent = ((block as f32 * slope + first) / first).ln() / ratio.ln();
            let width =
                (first * ratio.powf(exponent.round_ties_even()) / QUANTUM).round_ties_even() * QUANTUM;
            // They grow from block to block.
            match stages.last_mut().filter(|(last, _)| *last == width) {
                Some((_, count)) => *count += 1,
                None => stages.push((width, 1)),
            }
        }
        Some(stages.into_iter().map(|(width, count)| (count, self.fitted(width))).unzip())
    }

    /// Returns a width that holds whole groups.
    fn fitted(&self, width: f32) -> usize {
        let ratio = self.bottle_ratio.unwrap_or(1.0);
        let inner = (f64::from(width) * ratio) as usize;
        let group = self.group_size.min(inner).max(1);
        let fitted = match self.group_min_ratio.filter(|ratio| *ratio > 0.0) {
            None => (inner as f64 / group as f64).round_ties_even() as usize * group,
            Some(least) => {
                let nearest = ((inner + group / 2) / group * group).max(group);
                nearest + if (nearest as f64) < least * inner as f64 { group } else { 0 }
            }
        };
        (fitted as f64 / ratio) as usize
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value};

    use super::super::super::registry;
    use super::*;

    #[test]
    fn every_regnet_of_timm_has_the_stages_that_its_numbers_make() {
        let mut compared = 0;
        for architecture in registry::architectures_of("regnet") {
            let said =
                DECIDING.iter().filter_map(|key| Some(((*key).to_owned(), architecture.get(key)?.clone())));
            let Ok(numbers) = serde_json::from_value::<Numbers>(Value::Object(Map::from_iter(said))) else {
                continue;
            };
            let Some((blocks, widths)) = numbers.stages() else { continue };
            let list =
                |key| serde_json::from_value::<Vec<usize>>(architecture.get(key).unwrap().clone()).unwrap();
            assert_eq!(
                (blocks, widths),
                (list("depths"), list("num_chs")[1..].to_vec()),
                "{}",
                architecture.name
            );
            compared += 1;
        }
        assert!(compared > 30, "{compared}");
    }
}
