//! Both networks' hidden states and outputs against each other, compared while the target network runs.

use super::difference::Arithmetic;
use super::report::Comparison;
use crate::nn::{Matrix, Observer, Output, Stage};

/// One run of a source network.
pub(super) struct Side {
    /// Its hidden states in order.
    pub(super) stages: Vec<(Stage, Matrix)>,
    /// What came out.
    pub(super) output: Output,
}

/// Compares the target's stages with those of one or two source runs while it runs, so that they need not be kept.
pub(super) struct Against<'a> {
    sides: Vec<&'a Side>,
    comparisons: Vec<Vec<Comparison>>,
    arithmetic: Arithmetic,
}

impl Observer for Against<'_> {
    fn observe(&mut self, stage: Stage, hidden: &Matrix) {
        for (side, comparisons) in self.sides.iter().zip(&mut self.comparisons) {
            let place = comparisons.len();
            let matching = side.stages.get(place).filter(|(theirs, _)| *theirs == stage);
            let values = matching.map_or(&[][..], |(_, matrix)| matrix.values());
            comparisons.push(compare(
                stage.to_string(),
                values,
                hidden.values(),
                0.0,
                place + 1,
                self.arithmetic,
            ));
        }
    }
}

impl<'a> Against<'a> {
    /// Compares with each of these source runs.
    pub(super) fn new(sides: Vec<&'a Side>, arithmetic: Arithmetic) -> Self {
        let comparisons = sides.iter().map(|_| Vec::new()).collect();
        Self { sides, comparisons, arithmetic }
    }

    /// Adds what comes out at the end, and stages that only the source has.
    pub(super) fn finish(mut self, target: &Output) -> Vec<Vec<Comparison>> {
        for (side, comparisons) in self.sides.iter().zip(&mut self.comparisons) {
            let seen = comparisons.len();
            for (stage, matrix) in side.stages.iter().skip(seen) {
                comparisons.push(compare(
                    stage.to_string(),
                    matrix.values(),
                    &[],
                    0.0,
                    seen + 1,
                    self.arithmetic,
                ));
            }
            let layers = comparisons.len() + 1;
            let ends = [
                ("pooled", Some(&side.output.pooled), Some(&target.pooled)),
                (
                    "pooler output",
                    target.pooler_output.as_ref().map(|_| &side.output.pooled),
                    target.pooler_output.as_ref(),
                ),
                ("logits", side.output.logits.as_ref(), target.logits.as_ref()),
            ];
            for (place, source, target) in ends {
                if source.is_none() && target.is_none() {
                    continue;
                }
                let values = |side: Option<&'_ Vec<f32>>| side.cloned().unwrap_or_default();
                let (source, target) = (values(source), values(target));
                let terms = if place == "logits" { side.output.size_of_terms } else { 0.0 };
                comparisons.push(compare(place.to_owned(), &source, &target, terms, layers, self.arithmetic));
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
    layers: usize,
    arithmetic: Arithmetic,
) -> Comparison {
    let largest = source.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    Comparison::between(place, source, target, terms, |difference| {
        arithmetic.tolerance(layers, difference.count, f64::from(largest) / difference.size)
    })
}
