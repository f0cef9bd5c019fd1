//! Compares every module with PyTorch. `tests/data/cases.json` is the table, a row a case; `tests/data/make.py` reads it too
//! and makes `modules.safetensors`, so that the two sides cannot disagree about what is computed. A row also says which wrong
//! parameters have to be seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Variants have the names of the table.
#![allow(clippy::enum_variant_names)]

mod attention;
mod blocks;
mod case;
mod layers;
mod run;

use case::{Case, cases};
use run::run;
use vitport_nn::{ForwardError, Matrix};

/// Fair for float32 sums of at most some hundred products: errors of rounding, 6e-8 each, add up like √n.
const TOLERANCE: f64 = 1e-6;
/// Attention takes the exponential of its scores, sums themselves, which makes of their absolute errors relative ones.
const TOLERANCE_OF_ATTENTION: f64 = 3e-6;
/// The errors of each layer are amplified by those after it, and add up.
const TOLERANCE_OF_BLOCKS: f64 = 3e-6;
/// Cosines times 100 have absolute errors of some 6e-6, of which the exponential makes relative ones.
const TOLERANCE_OF_COSINES: f64 = 1e-5;
/// Smallest size of an activation's value: the tail of the normal distribution in GELU is exact to 6e-8 of 1, not of itself.
const LEAST_SIZE: f64 = 1e-2;
/// What a wrong parameter has to make a difference of.
const SEEN: f64 = 1e-3;

/// The largest difference of two outputs: of an activation in proportion to each value, otherwise to the root mean square.
fn error(case: &Case, found: &Matrix, expected: &Matrix) -> f64 {
    assert!(!expected.values().is_empty());
    if (found.rows(), found.columns()) != (expected.rows(), expected.columns()) {
        return f64::INFINITY;
    }
    let squares = expected.values().iter().map(|&value| f64::from(value) * f64::from(value));
    let rms = (squares.sum::<f64>() / expected.values().len() as f64).sqrt();
    let pairs = found.values().iter().zip(expected.values());
    let errors = pairs.map(|(&found, &expected)| {
        let size = if case.is_elementwise() { f64::from(expected).abs().max(LEAST_SIZE) } else { rms };
        let error = (f64::from(found) - f64::from(expected)).abs() / size;
        if error.is_nan() { f64::INFINITY } else { error }
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn every_module_is_that_of_pytorch() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = run(&case).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        let error = error(&case, &found, &case.expected());
        let tolerance = match (case.is_attention(), case.is_block()) {
            _ if case.kind() == "window_v2_block" => TOLERANCE_OF_COSINES,
            (true, _) => TOLERANCE_OF_ATTENTION,
            (_, true) => TOLERANCE_OF_BLOCKS,
            _ => TOLERANCE,
        };
        println!("{:44} {error:.1e}", case.name);
        if error > tolerance {
            wrong.push(format!("{}: {error:.1e} of size, {tolerance:.0e} is fair", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_parameter_is_seen() {
    let mut unseen = Vec::new();
    for case in cases() {
        for (change, changed) in case.with_wrong_parameters() {
            let error = match run(&changed) {
                Ok(found) => error(&changed, &found, &case.expected()),
                Err(ForwardError::MissingTensor { .. } | ForwardError::Unreadable { .. }) => 0.0,
                Err(_) => f64::INFINITY,
            };
            if error < SEEN {
                unseen.push(format!("{}: {change} makes a difference of {error:.1e}", case.name));
            }
        }
    }
    assert!(unseen.is_empty(), "{}", unseen.join("\n"));
}
