//! Compares both networks' hidden states and outputs with each other, while the target network runs.

use super::difference::Arithmetic;
use super::report::Comparison;
use crate::mapping::{ComparedOutput, Pair};
use crate::nn::{Matrix, Observer, Outputs};

/// Holds one run of a source network: the hidden states of the places that are compared.
pub(super) struct SourceRun {
    /// Holds one for each place, if the network came by it.
    hidden: Vec<Option<Matrix>>,
    /// Says what came out.
    pub(super) outputs: Outputs,
}

/// Keeps the hidden states of a source network at the places that are compared.
pub(super) struct Keep<'a> {
    places: &'a [Pair],
    hidden: Vec<Option<Matrix>>,
}

impl<'a> Keep<'a> {
    pub(super) fn new(places: &'a [Pair]) -> Self {
        Self { places, hidden: places.iter().map(|_| None).collect() }
    }

    pub(super) fn finish(self, outputs: Outputs) -> SourceRun {
        SourceRun { hidden: self.hidden, outputs }
    }
}

impl Observer for Keep<'_> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        let place = self.places.iter().position(|place| place.source == name);
        if let Some(slot) = place.and_then(|place| self.hidden.get_mut(place)) {
            *slot = Some(hidden.clone());
        }
    }
}

/// Compares the target's hidden states with those of one or two source runs while it runs, so that they need not be kept.
pub(super) struct Compare<'a> {
    places: &'a [Pair],
    runs: Vec<&'a SourceRun>,
    comparisons: Vec<Vec<Comparison>>,
    is_seen: Vec<bool>,
    arithmetic: Arithmetic,
}

impl Observer for Compare<'_> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        let Some(place) = self.places.iter().position(|place| place.target == name) else { return };
        if let Some(seen) = self.is_seen.get_mut(place) {
            *seen = true;
        }
        self.compare(place, hidden.values());
    }
}

impl<'a> Compare<'a> {
    /// Compares with each of these source runs.
    pub(super) fn new(places: &'a [Pair], runs: Vec<&'a SourceRun>, arithmetic: Arithmetic) -> Self {
        let comparisons = runs.iter().map(|_| Vec::new()).collect();
        Self { places, runs, comparisons, is_seen: vec![false; places.len()], arithmetic }
    }

    fn compare(&mut self, place: usize, target: &[f32]) {
        let Some(pair) = self.places.get(place) else { return };
        for (run, comparisons) in self.runs.iter().zip(&mut self.comparisons) {
            let source = run.hidden.get(place).and_then(Option::as_ref).map_or(&[][..], Matrix::values);
            let depth = comparisons.len() + 1;
            comparisons.push(compare(pair.name.clone(), source, target, 0.0, depth, self.arithmetic));
        }
    }

    /// Adds the places that the target never came by, and the outputs.
    pub(super) fn finish(mut self, outputs: &[&ComparedOutput], target: &Outputs) -> Vec<Vec<Comparison>> {
        let unseen: Vec<usize> =
            (0..).zip(&self.is_seen).filter(|(_, seen)| !**seen).map(|(p, _)| p).collect();
        for place in unseen {
            self.compare(place, &[]);
        }
        for (run, comparisons) in self.runs.iter().zip(&mut self.comparisons) {
            let depth = comparisons.len() + 1;
            for output in outputs {
                let found = run.outputs.get(&output.source);
                let source = found.map_or(&[][..], |output| output.values.as_slice());
                let terms = found.and_then(|output| output.size_of_terms).unwrap_or(0.0);
                let target = target.values(&output.target).unwrap_or_default();
                comparisons.push(compare(output.name.clone(), source, target, terms, depth, self.arithmetic));
            }
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
