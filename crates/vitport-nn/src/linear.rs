//! The fully connected layer y = act(x Wᵀ + b), with W as it lies in the file. Its rows are read when
//! the product comes to them, and bias and activation are applied to each block of the product while it
//! is in cache.

use std::ops::Range;

use super::activation::Activation;
use super::error::ForwardError;
use super::matrix::Matrix;
use super::product::{Rows, times_transposed_in_blocks};
use super::view::View;
use super::weights::Weights;

/// Rows of a weight that are read at a time where no product asks for them.
const ROWS_AT_A_TIME: usize = 64;

/// A fully connected layer, `torch.nn.Linear`.
pub struct Linear<'a> {
    weights: &'a dyn Weights,
    /// Full name of the weight.
    weight: String,
    /// Outputs, and axes that together are the inputs.
    shape: Vec<usize>,
    /// Zeros where the layer has none.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl<'a> Linear<'a> {
    /// A layer of `{name}.weight` [outputs, inputs] and, if it has one, `{name}.bias` `[outputs]`.
    ///
    /// # Errors
    /// What [`Weights::tensor`] returns.
    pub fn load(
        weights: &'a dyn Weights,
        name: &str,
        inputs: usize,
        outputs: usize,
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        Self::of_shape(weights, name, &[outputs, inputs], has_bias)
    }

    /// The same for a weight of any `shape`: outputs, and axes that together are the inputs.
    pub(super) fn of_shape(
        weights: &'a dyn Weights,
        name: &str,
        shape: &[usize],
        has_bias: bool,
    ) -> Result<Self, ForwardError> {
        let (outputs, axes) = shape.split_first().map_or((0, shape), |(&outputs, axes)| (outputs, axes));
        let inputs = axes.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
        let weight = format!("{name}.weight");
        weights.check(&weight, shape)?;
        let bias =
            if has_bias { weights.tensor(&format!("{name}.bias"), &[outputs])? } else { vec![0.0; outputs] };
        Ok(Self { weights, weight, shape: shape.to_vec(), bias, inputs, outputs })
    }

    /// How large the terms are that the layer adds up for one token `x` of `inputs` features: the root mean square over the outputs
    /// of √(Σ (w x)² + b²). Rounding errors are in proportion to it, also where the terms nearly cancel.
    ///
    /// # Errors
    /// What [`Weights::part`] returns.
    pub fn size_of_terms(&self, x: &[f32]) -> Result<f64, ForwardError> {
        let square = |value: f32| f64::from(value) * f64::from(value);
        let (mut room, mut total) = (Vec::new(), 0.0);
        for first in (0..self.outputs).step_by(ROWS_AT_A_TIME) {
            let rows = first..self.outputs.min(first.saturating_add(ROWS_AT_A_TIME));
            let rows = self.rows(rows, &mut room)?.chunks_exact(self.inputs.max(1));
            let products = rows.flat_map(|row| row.iter().zip(x));
            total += products.map(|(&weight, &x)| square(weight) * square(x)).sum::<f64>();
        }
        total += self.bias.iter().map(|&bias| square(bias)).sum::<f64>();
        Ok((total / self.outputs.max(1) as f64).sqrt())
    }

    /// Fills `out` with act(x Wᵀ + b): x is tokens × inputs, out becomes tokens × outputs.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when x has another width, and what [`Weights::part`] returns.
    pub fn apply(&self, x: &Matrix, activation: Activation, out: &mut Matrix) -> Result<(), ForwardError> {
        let misfit = || {
            ForwardError::operands(
                "a linear layer",
                format!("{} features for {} inputs", x.columns(), self.inputs),
            )
        };
        if x.columns() != self.inputs {
            return Err(misfit());
        }
        out.resize(x.rows(), self.outputs, "the output of a linear layer")?;
        let left = View::new(x.values(), 0, x.rows(), x.columns(), x.columns()).ok_or_else(misfit)?;
        times_transposed_in_blocks(left, self, out.values_mut(), &self.bias, activation, misfit)
    }
}

impl Rows for Linear<'_> {
    fn rows<'a>(&'a self, rows: Range<usize>, room: &'a mut Vec<f32>) -> Result<&'a [f32], ForwardError> {
        let element = |row: usize| row.saturating_mul(self.inputs);
        self.weights.part(&self.weight, &self.shape, element(rows.start)..element(rows.end), room)
    }

    fn in_memory(&self, rows: Range<usize>) -> Option<&[f32]> {
        let element = |row: usize| row.saturating_mul(self.inputs);
        self.weights.in_memory(&self.weight, element(rows.start)..element(rows.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateDict;

    #[test]
    fn weight_bias_and_activation_in_order() {
        let mut weights = StateDict::new();
        weights.insert("fc.weight", &[2, 3], vec![1.0, 2.0, 3.0, -1.0, -2.0, -3.0]).unwrap();
        weights.insert("fc.bias", &[2], vec![0.5, 1.0]).unwrap();
        let layer = Linear::load(&weights, "fc", 3, 2, true).unwrap();
        let x = Matrix::from_values(2, 3, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap();
        let mut out = Matrix::new();
        layer.apply(&x, Activation::Relu, &mut out).unwrap();
        assert_eq!((out.rows(), out.columns()), (2, 2));
        assert_eq!(out.values(), [4.5, 0.0, 2.5, 0.0]);
    }

    #[test]
    fn terms_have_a_size_where_their_sum_has_none() {
        let mut weights = StateDict::new();
        weights.insert("fc.weight", &[2, 2], vec![3.0, -3.0, 0.0, 2.0]).unwrap();
        weights.insert("fc.bias", &[2], vec![0.0, -2.0]).unwrap();
        let layer = Linear::load(&weights, "fc", 2, 2, true).unwrap();
        let mut out = Matrix::new();
        layer
            .apply(&Matrix::from_values(1, 2, vec![1.0, 1.0]).unwrap(), Activation::Identity, &mut out)
            .unwrap();
        assert_eq!(out.values(), [0.0, 0.0]);
        assert!((layer.size_of_terms(&[1.0, 1.0]).unwrap() - 13_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_product_large_enough_for_two_threads_is_the_same() {
        let (tokens, inputs, outputs) = (150, 70, 130);
        let value = |seed: usize| ((seed * 7919 + 13) % 101) as f32 - 50.0;
        let weight: Vec<f32> = (0..inputs * outputs).map(value).collect();
        let bias: Vec<f32> = (0..outputs).map(value).collect();
        let x: Vec<f32> = (0..tokens * inputs).map(|seed| value(seed + 3)).collect();
        let mut weights = StateDict::new();
        weights.insert("fc.weight", &[outputs, inputs], weight.clone()).unwrap();
        weights.insert("fc.bias", &[outputs], bias.clone()).unwrap();
        let layer = Linear::load(&weights, "fc", inputs, outputs, true).unwrap();
        let mut out = Matrix::new();
        layer
            .apply(&Matrix::from_values(tokens, inputs, x.clone()).unwrap(), Activation::Identity, &mut out)
            .unwrap();
        for (token, row) in out.values().chunks_exact(outputs).enumerate() {
            for (output, value) in row.iter().enumerate() {
                let sum: f32 = (0..inputs).map(|i| x[token * inputs + i] * weight[output * inputs + i]).sum();
                assert_eq!(*value, sum + bias[output], "token {token}, output {output}");
            }
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_errors() {
        let mut weights = StateDict::new();
        weights.insert("fc.weight", &[2, 3], vec![0.0; 6]).unwrap();
        assert!(Linear::load(&weights, "fc", 2, 3, false).is_err());
        let layer = Linear::load(&weights, "fc", 3, 2, false).unwrap();
        let x = Matrix::from_values(1, 4, vec![0.0; 4]).unwrap();
        assert!(layer.apply(&x, Activation::Identity, &mut Matrix::new()).is_err());
    }
}
