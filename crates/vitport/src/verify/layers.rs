//! Compares both networks' hidden states and outputs with each other, while the target network runs.

use super::difference::Arithmetic;
use super::report::Comparison;
use crate::mapping::{ComparedOutput, Pair};
use crate::nn::{Matrix, Observer, Outputs, without_leading};

/// Holds one run of the target network: the hidden states of the places that are compared.
pub(super) struct TargetRun {
    /// Holds one for each place, if the network came by it.
    hidden: Vec<Option<Matrix>>,
    /// Says what came out.
    pub(super) outputs: Outputs,
}

/// Keeps the hidden states of the target network at the places that are compared.
pub(super) struct Keep<'a> {
    places: &'a [Pair],
    hidden: Vec<Option<Matrix>>,
}

impl<'a> Keep<'a> {
    pub(super) fn new(places: &'a [Pair]) -> Self {
        Self { places, hidden: places.iter().map(|_| None).collect() }
    }

    pub(super) fn finish(self, outputs: Outputs) -> TargetRun {
        TargetRun { hidden: self.hidden, outputs }
    }
}

impl Observer for Keep<'_> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        let place = self.places.iter().zip(&mut self.hidden).find(|(place, _)| place.target == name);
        if let Some((place, slot)) = place {
            // Where there is no first token, nothing is kept, and nothing agrees with the source.
            *slot = match place.without_first {
                true => without_leading(hidden, 1).ok(),
                false => Some(hidden.clone()),
            };
        }
    }
}

/// Compares a source's hidden states with the target's while the source network runs, so that they need not be kept: the
/// source may run twice, and those of the target are some megabytes.
pub(super) struct Compare<'a> {
    places: &'a [Pair],
    target: &'a TargetRun,
    comparisons: Vec<Comparison>,
    is_seen: Vec<bool>,
    arithmetic: Arithmetic,
}

impl Observer for Compare<'_> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        let Some(place) = self.places.iter().position(|place| place.source == name) else { return };
        if let Some(seen) = self.is_seen.get_mut(place) {
            *seen = true;
        }
        match self.places.get(place).and_then(|pair| pair.times) {
            None => self.compare(place, hidden.values()),
            Some(times) => {
                let scaled = hidden.values().iter().map(|&value| (f64::from(value) * times) as f32);
                self.compare(place, &scaled.collect::<Vec<f32>>());
            }
        }
    }
}

impl<'a> Compare<'a> {
    /// Compares with this run.
    pub(super) fn new(places: &'a [Pair], target: &'a TargetRun, arithmetic: Arithmetic) -> Self {
        Self { places, target, comparisons: Vec::new(), is_seen: vec![false; places.len()], arithmetic }
    }

    fn compare(&mut self, place: usize, source: &[f32]) {
        let Some(pair) = self.places.get(place) else { return };
        let target = self.target.hidden.get(place).and_then(Option::as_ref).map_or(&[][..], Matrix::values);
        let depth = self.comparisons.len() + 1;
        self.comparisons.push(compare(pair.name.clone(), source, target, 0.0, depth, self.arithmetic));
    }

    /// Adds the places that the source never came by, and the outputs.
    pub(super) fn finish(mut self, outputs: &[&ComparedOutput], source: &Outputs) -> Vec<Comparison> {
        let unseen: Vec<usize> =
            (0..).zip(&self.is_seen).filter(|(_, seen)| !**seen).map(|(p, _)| p).collect();
        for place in unseen {
            self.compare(place, &[]);
        }
        let depth = self.comparisons.len() + 1;
        for output in outputs {
            let found = source.get(&output.source);
            let values = found.map_or(&[][..], |output| output.values.as_slice());
            let terms = found.and_then(|output| output.size_of_terms).unwrap_or(0.0);
            let target = self.target.outputs.values(&output.target).unwrap_or_default();
            let compared = compare(output.name.clone(), values, target, terms, depth, self.arithmetic);
            self.comparisons.push(compared);
        }
        self.comparisons
    }
}

fn compare(
    place: String,
    source: &[f32],
    target: &[f32],
    terms: f64,
    depth: usize,
    arithmetic: Arithmetic,
) -> Comparison {
    let largest = source.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let mut comparison = Comparison::between(place, source, target, terms, |difference| {
        arithmetic.tolerance(depth, difference.count, f64::from(largest) / difference.size)
    });
    // Nothing is not the same as nothing.
    comparison.agrees &= comparison.difference.count > 0;
    comparison
}
