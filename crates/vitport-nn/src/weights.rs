//! Defines how a forward pass gets its tensors: by name and expected shape, whole or a part at a time, from whatever holds
//! them. A network never sees a file, and a missing or misshapen tensor is an error that names it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::ForwardError;

/// Gives tensors by name, as float32.
pub trait Weights: Sync {
    /// Returns the values `elements`, in row-major order, of the tensor `name`, which must have the shape `shape`. Where they
    /// do not lie in memory `buffer` is filled with them, so a thread that comes back with the same `buffer` needs no memory.
    ///
    /// # Errors
    /// [`ForwardError::MissingTensor`], [`ForwardError::WrongShape`], or [`ForwardError::Unreadable`],
    /// also when the shape has another number of values.
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        buffer: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError>;

    /// Returns the values `elements` of the tensor `name` if they lie in memory, so that a kernel can have them fetched into
    /// the cache before it needs them.
    fn in_memory(&self, _name: &str, _elements: Range<usize>) -> Option<&[f32]> {
        None
    }

    /// Returns all values of the tensor `name`, row-major, which must have the shape `shape`.
    ///
    /// # Errors
    /// What [`Weights::part`] returns.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ForwardError> {
        let elements = shape.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
        let mut buffer = Vec::new();
        let part = self.part(name, shape, 0..elements, &mut buffer)?;
        Ok(part.to_vec())
    }

    /// Makes sure that there is a tensor `name` and that it has the shape `shape`.
    ///
    /// # Errors
    /// What [`Weights::part`] returns.
    fn check(&self, name: &str, shape: &[usize]) -> Result<(), ForwardError> {
        self.part(name, shape, 0..0, &mut Vec::new()).map(|_| ())
    }

    /// Says whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;
}

/// Holds a state dict in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryWeights {
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl MemoryWeights {
    /// Makes a state dict without tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a tensor whose `values` lie row-major.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the shape does not hold that many values.
    pub fn insert(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<(), ForwardError> {
        let elements = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if elements != Some(values.len()) {
            return Err(ForwardError::operands(
                "a state dict",
                format!("{} values for the shape {shape:?}", values.len()),
            ));
        }
        self.tensors.insert(name.into(), (shape.to_vec(), values));
        Ok(())
    }
}

impl Weights for MemoryWeights {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        _: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        let Some((found, values)) = self.tensors.get(name) else {
            return Err(ForwardError::MissingTensor { name: name.to_owned() });
        };
        if found != shape {
            return Err(ForwardError::WrongShape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: found.clone(),
            });
        }
        values.get(elements).ok_or_else(|| ForwardError::Unreadable {
            name: name.to_owned(),
            source: "it has fewer values than were asked for".into(),
        })
    }

    fn in_memory(&self, name: &str, elements: Range<usize>) -> Option<&[f32]> {
        self.tensors.get(name)?.1.get(elements)
    }

    fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tensor_and_a_wrong_shape_are_named() {
        let mut weights = MemoryWeights::new();
        weights.insert("head.weight", &[2, 3], vec![0.0; 6]).unwrap();
        assert!(weights.tensor("head.weight", &[2, 3]).is_ok());
        let missing = weights.tensor("head.bias", &[2]).unwrap_err().to_string();
        assert!(missing.contains("head.bias"), "{missing}");
        let wrong = weights.tensor("head.weight", &[3, 2]).unwrap_err().to_string();
        assert!(wrong.contains("head.weight") && wrong.contains("[2, 3]"), "{wrong}");
    }

    #[test]
    fn what_lies_in_memory_is_handed_over_where_it_lies() {
        let mut weights = MemoryWeights::new();
        weights.insert("head.weight", &[2, 3], (0..6).map(|value| value as f32).collect()).unwrap();
        assert_eq!(weights.in_memory("head.weight", 2..4), Some(&[2.0, 3.0][..]));
        assert_eq!(weights.in_memory("head.weight", 4..7), None);
        assert_eq!(weights.in_memory("head.bias", 0..1), None);
    }

    #[test]
    fn text_from_a_file_is_escaped() {
        let hostile = "a\u{202e}\n\u{1b}[31m";
        let message = MemoryWeights::new().tensor(hostile, &[1]).unwrap_err().to_string();
        assert!(!message.contains(['\u{202e}', '\n', '\u{1b}']), "{message}");
    }
}
