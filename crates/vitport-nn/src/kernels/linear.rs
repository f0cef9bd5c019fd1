//! Computes the fully connected layer y = act(x Wᵀ + b), with W as it lies in the file. Its rows are read when the product
//! comes to them, and bias and activation are applied to each block of the product while it is in cache.

use std::ops::Range;

use super::activation::Activation;
use super::product::{Rows, times_transposed_in_blocks};
use super::view::View;
use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::scope::Parameter;
use crate::weights::Weights;

/// Gives the rows of a weight that are read at a time where no product asks for them.
const ROWS_AT_A_TIME: usize = 64;

/// Holds a weight whose rows are read when they are multiplied with, and its bias.
pub struct LinearKernel<'a> {
    weights: &'a dyn Weights,
    weight: &'a Parameter,
    /// Holds zeros where the layer has none.
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
    /// Gives the number of the first output in the weight.
    first: usize,
}

impl<'a> LinearKernel<'a> {
    /// Reads the bias and checks that the weight is there. The first axis of `weight` is the outputs, the others together
    /// are the inputs; `bias` has the shape `[outputs]`.
    ///
    /// # Errors
    /// Returns what [`Weights::tensor`] does.
    pub fn load(
        weights: &'a dyn Weights,
        weight: &'a Parameter,
        bias: Option<&Parameter>,
    ) -> Result<Self, ForwardError> {
        let (&outputs, axes) = weight.shape().split_first().unwrap_or((&0, &[]));
        let inputs = axes.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
        weights.check(weight.name(), weight.shape())?;
        let bias = match bias {
            Some(bias) => bias.read(weights)?,
            None => zeros(outputs)?,
        };
        Ok(Self { weights, weight, bias, inputs, outputs, first: 0 })
    }

    /// Returns the layer of the outputs `outputs` alone; none when there are fewer.
    pub fn of_outputs(&self, outputs: Range<usize>) -> Option<Self> {
        let bias = self.bias.get(outputs.clone())?.to_vec();
        let first = self.first.checked_add(outputs.start)?;
        Some(Self { bias, outputs: outputs.len(), first, ..*self })
    }

    /// Returns how many outputs there are.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Returns how large the terms are that the layer adds up for one token `x` of `inputs` features: the root mean square over
    /// the outputs of √(Σ (w x)² + b²). Rounding errors are in proportion to it, also where the terms nearly cancel.
    ///
    /// # Errors
    /// What [`Weights::part`] returns.
    pub fn size_of_terms(&self, x: &[f32]) -> Result<f64, ForwardError> {
        let square = |value: f32| f64::from(value) * f64::from(value);
        let (mut buffer, mut total) = (Vec::new(), 0.0);
        for first in (0..self.outputs).step_by(ROWS_AT_A_TIME) {
            let rows = first..self.outputs.min(first.saturating_add(ROWS_AT_A_TIME));
            let rows = self.rows(rows, &mut buffer)?.chunks_exact(self.inputs.max(1));
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
        if x.columns() != self.inputs {
            let detail = format!("{} features for {} inputs", x.columns(), self.inputs);
            return Err(ForwardError::operands("a linear layer", detail));
        }
        self.multiply(x.values(), self, activation, out)
    }

    /// Fills `out` with act(x Wᵀ + b) for rows of `inputs` features that lie one after the other, W being `right`: the
    /// weight itself, or the weight with its inputs in another order.
    ///
    /// # Errors
    /// Returns [`ForwardError::Operands`] when x is not a whole number of rows, and what [`Weights::part`] does.
    pub(super) fn multiply(
        &self,
        x: &[f32],
        right: &dyn Rows,
        activation: Activation,
        out: &mut Matrix,
    ) -> Result<(), ForwardError> {
        let rows = x.len().checked_div(self.inputs).unwrap_or(0);
        let misfit = || {
            let detail = format!("{} values for {} inputs", x.len(), self.inputs);
            ForwardError::operands("a linear layer", detail)
        };
        if rows.checked_mul(self.inputs) != Some(x.len()) {
            return Err(misfit());
        }
        out.resize(rows, self.outputs, "the output of a linear layer")?;
        let left = View::new(x, 0, rows, self.inputs, self.inputs).ok_or_else(misfit)?;
        times_transposed_in_blocks(left, right, out.values_mut(), &self.bias, activation, misfit)
    }

    /// Returns the elements of the weight in which the rows `rows` lie.
    fn elements(&self, rows: Range<usize>) -> Range<usize> {
        let element = |row: usize| row.saturating_add(self.first).saturating_mul(self.inputs);
        element(rows.start)..element(rows.end)
    }
}

/// Returns the bias of a layer that has none. The number of outputs may come from a file.
fn zeros(count: usize) -> Result<Vec<f32>, ForwardError> {
    let mut zeros = Matrix::new();
    zeros.resize(1, count, "a bias")?;
    Ok(zeros.into_values())
}

impl Rows for LinearKernel<'_> {
    fn rows<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<f32>) -> Result<&'a [f32], ForwardError> {
        self.weights.part(self.weight.name(), self.weight.shape(), self.elements(rows), buffer)
    }

    fn in_memory(&self, rows: Range<usize>) -> Option<&[f32]> {
        self.weights.in_memory(self.weight.name(), self.elements(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryWeights, Scope};

    /// Returns the weight and the bias of a layer `fc`.
    fn layer(inputs: usize, outputs: usize) -> (Parameter, Parameter) {
        let scope = Scope::root().pp("fc");
        (scope.weight("weight", &[outputs, inputs]).unwrap(), scope.parameter("bias", &[outputs]).unwrap())
    }

    #[test]
    fn weight_bias_and_activation_in_order() {
        let mut weights = MemoryWeights::new();
        weights.insert("fc.weight", &[2, 3], vec![1.0, 2.0, 3.0, -1.0, -2.0, -3.0]).unwrap();
        weights.insert("fc.bias", &[2], vec![0.5, 1.0]).unwrap();
        let (weight, bias) = layer(3, 2);
        let layer = LinearKernel::load(&weights, &weight, Some(&bias)).unwrap();
        let x = Matrix::from_values(2, 3, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap();
        let mut out = Matrix::new();
        layer.apply(&x, Activation::Relu, &mut out).unwrap();
        assert_eq!((out.rows(), out.columns()), (2, 2));
        assert_eq!(out.values(), [4.5, 0.0, 2.5, 0.0]);
    }

    #[test]
    fn terms_have_a_size_where_their_sum_has_none() {
        let mut weights = MemoryWeights::new();
        weights.insert("fc.weight", &[2, 2], vec![3.0, -3.0, 0.0, 2.0]).unwrap();
        weights.insert("fc.bias", &[2], vec![0.0, -2.0]).unwrap();
        let (weight, bias) = layer(2, 2);
        let layer = LinearKernel::load(&weights, &weight, Some(&bias)).unwrap();
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
        let matrix: Vec<f32> = (0..inputs * outputs).map(value).collect();
        let addends: Vec<f32> = (0..outputs).map(value).collect();
        let x: Vec<f32> = (0..tokens * inputs).map(|seed| value(seed + 3)).collect();
        let mut weights = MemoryWeights::new();
        weights.insert("fc.weight", &[outputs, inputs], matrix.clone()).unwrap();
        weights.insert("fc.bias", &[outputs], addends.clone()).unwrap();
        let (weight, bias) = layer(inputs, outputs);
        let layer = LinearKernel::load(&weights, &weight, Some(&bias)).unwrap();
        let mut out = Matrix::new();
        layer
            .apply(&Matrix::from_values(tokens, inputs, x.clone()).unwrap(), Activation::Identity, &mut out)
            .unwrap();
        for (token, row) in out.values().chunks_exact(outputs).enumerate() {
            for (output, value) in row.iter().enumerate() {
                let sum: f32 = (0..inputs).map(|i| x[token * inputs + i] * matrix[output * inputs + i]).sum();
                assert_eq!(*value, sum + addends[output], "token {token}, output {output}");
            }
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_errors() {
        let mut weights = MemoryWeights::new();
        weights.insert("fc.weight", &[2, 3], vec![0.0; 6]).unwrap();
        assert!(LinearKernel::load(&weights, &layer(2, 3).0, None).is_err());
        let (weight, _) = layer(3, 2);
        let layer = LinearKernel::load(&weights, &weight, None).unwrap();
        let x = Matrix::from_values(1, 4, vec![0.0; 4]).unwrap();
        assert!(layer.apply(&x, Activation::Identity, &mut Matrix::new()).is_err());
    }
}
