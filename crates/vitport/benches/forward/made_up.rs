//! Weights that are made up as a network asks for them, so that no list of its tensors is needed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use vitport::nn::{ForwardError, StateDict, Weights};

/// Has every tensor in whatever shape it is asked for, and remembers which these were.
#[derive(Default)]
pub struct MadeUp {
    asked: Mutex<BTreeMap<String, Vec<usize>>>,
}

impl MadeUp {
    /// All tensors that were asked for, in memory.
    pub fn into_state_dict(self) -> Result<StateDict, ForwardError> {
        let mut weights = StateDict::new();
        for (name, shape) in self.asked.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let values = (0..shape.iter().product()).map(|place| value(&shape, place)).collect();
            weights.insert(name, &shape, values)?;
        }
        Ok(weights)
    }
}

impl Weights for MadeUp {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), shape.to_vec());
        room.clear();
        room.extend(elements.map(|place| value(shape, place)));
        Ok(room)
    }

    fn contains(&self, _: &str) -> bool {
        true
    }
}

/// Ones for vectors, which are also variances; for matrices numbers of both signs, so small that hidden states neither
/// grow nor vanish.
fn value(shape: &[usize], place: usize) -> f32 {
    match shape {
        [_, terms @ ..] if !terms.is_empty() => {
            let spread = ((place * 7919 + 13) % 101) as f32 / 50.0 - 1.0;
            spread / (terms.iter().product::<usize>() as f32).sqrt()
        }
        _ => 1.0,
    }
}
