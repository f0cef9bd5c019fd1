//! Turns logits into probabilities as transformers does, and names the most probable classes.

use schemars::JsonSchema;
use serde::Serialize;

/// Describes a class and how probable a network holds it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Guess {
    /// Gives the index of the class.
    pub class: usize,
    /// Gives its name.
    pub label: String,
    /// Gives the softmax of the logits, or sigmoid of one, 0 to 1.
    pub probability: f64,
}

/// Says how logits become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probabilities {
    /// Says that one class is the right one.
    Softmax,
    /// Says that each class is right or not by itself.
    Sigmoid,
}

impl Probabilities {
    /// Returns what transformers' image classification pipeline takes (pipelines/image_classification.py, 4.57.6): the sigmoid
    /// for a single class and for `problem_type` "multi_label_classification", otherwise the softmax.
    pub fn of(problem_type: Option<&str>, classes: usize) -> Self {
        match (problem_type, classes) {
            (Some("multi_label_classification"), _) | (_, 1) => Self::Sigmoid,
            _ => Self::Softmax,
        }
    }

    fn of_logits(self, logits: &[f32]) -> Vec<f64> {
        match self {
            Self::Sigmoid => logits.iter().map(|&logit| 1.0 / (1.0 + (-f64::from(logit)).exp())).collect(),
            Self::Softmax => {
                let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exponentials: Vec<f64> =
                    logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                exponentials.into_iter().map(|value| value / sum).collect()
            }
        }
    }
}

/// Returns the most probable classes by their logits, so many of them at most.
pub fn top(
    count: usize,
    logits: &[f32],
    probabilities: Probabilities,
    label: impl Fn(usize) -> String,
) -> Vec<Guess> {
    let mut order: Vec<(usize, f64)> = probabilities.of_logits(logits).into_iter().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let named = order.into_iter().take(count);
    named.map(|(class, probability)| Guess { class, label: label(class), probability }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_come_first() {
        let logits = [0.0, 2.0, 1.0, f32::NEG_INFINITY];
        let guesses = top(5, &logits, Probabilities::of(None, 4), |class| format!("c{class}"));
        let classes: Vec<usize> = guesses.iter().map(|guess| guess.class).collect();
        assert_eq!(classes, [1, 2, 0, 3]);
        let sum: f64 = guesses.iter().map(|guess| guess.probability).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert_eq!(guesses[0].label, "c1");
    }

    #[test]
    fn a_single_class_and_several_right_ones_have_the_sigmoid() {
        let only = top(5, &[2.0], Probabilities::of(None, 1), |class| class.to_string());
        assert!((only[0].probability - 0.880_797).abs() < 1e-6);
        let both = Probabilities::of(Some("multi_label_classification"), 2);
        assert_eq!(top(5, &[0.0, 0.0], both, |class| class.to_string())[1].probability, 0.5);
    }
}
