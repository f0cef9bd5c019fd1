//! The fully connected layer y = act(x Wᵀ + b), with W as it lies in the file. Bias and activation
//! are applied to each block of the product while it is in cache.

use std::borrow::Cow;

use super::activation::Activation;
use super::error::ForwardError;
use super::matrix::Matrix;
use super::product::{View, ViewMut, times_transposed_in_blocks};
use super::weights::Weights;

/// A fully connected layer, `torch.nn.Linear`.
#[derive(Debug)]
pub struct Linear<'a> {
    weight: Cow<'a, [f32]>,
    bias: Option<Cow<'a, [f32]>>,
    inputs: usize,
    outputs: usize,
}

impl<'a> Linear<'a> {
    /// A layer of `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when the lengths are not those.
    pub fn new(
        weight: Cow<'a, [f32]>,
        bias: Option<Cow<'a, [f32]>>,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ForwardError> {
        let wrong_bias = bias.as_ref().is_some_and(|bias| bias.len() != outputs);
        if inputs.checked_mul(outputs) != Some(weight.len()) || wrong_bias {
            return Err(ForwardError::operands(
                "a linear layer",
                format!("{} weights for {inputs} inputs and {outputs} outputs", weight.len()),
            ));
        }
        Ok(Self { weight, bias, inputs, outputs })
    }

    /// Reads `{name}.weight` and, if the layer has one, `{name}.bias`.
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
        let weight = weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = has_bias.then(|| weights.tensor(&format!("{name}.bias"), &[outputs])).transpose()?;
        Self::new(weight, bias, inputs, outputs)
    }

    /// How large the terms are that the layer adds up for one token `x` of `inputs` features: the root mean square over the outputs
    /// of √(Σ (w x)² + b²). Rounding errors are in proportion to it, also where the terms nearly cancel.
    pub fn size_of_terms(&self, x: &[f32]) -> f64 {
        let square = |value: f32| f64::from(value) * f64::from(value);
        let products = self.weight.chunks_exact(self.inputs.max(1)).flat_map(|row| row.iter().zip(x));
        let products: f64 = products.map(|(&weight, &x)| square(weight) * square(x)).sum();
        let biases: f64 = self.bias.iter().flat_map(|bias| bias.iter()).map(|&bias| square(bias)).sum();
        ((products + biases) / self.outputs.max(1) as f64).sqrt()
    }

    /// Fills `out` with act(x Wᵀ + b): x is tokens × inputs, out becomes tokens × outputs.
    ///
    /// # Errors
    /// [`ForwardError::Operands`] when x has another width.
    pub fn apply(&self, x: &Matrix, activation: Activation, out: &mut Matrix) -> Result<(), ForwardError> {
        let misfit = || {
            ForwardError::operands(
                "a linear layer",
                format!("{} features for {} inputs", x.columns(), self.inputs),
            )
        };
        out.resize(x.rows(), self.outputs, "the output of a linear layer")?;
        let left = View::new(x.values(), 0, x.rows(), x.columns(), x.columns()).ok_or_else(misfit)?;
        let right = View::new(&self.weight, 0, self.outputs, self.inputs, self.inputs).ok_or_else(misfit)?;
        let product = ViewMut::new(out.values_mut(), 0, x.rows(), self.outputs, self.outputs);
        let bias = self.bias.as_deref();
        times_transposed_in_blocks(product.ok_or_else(misfit)?, left, right, |first, values| {
            if let Some(addends) = bias.and_then(|bias| bias.get(first..)) {
                for (value, addend) in values.iter_mut().zip(addends) {
                    *value += addend;
                }
            }
            activation.apply(values);
        })
        .ok_or_else(misfit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_bias_and_activation_in_order() {
        let weight = vec![1.0, 2.0, 3.0, -1.0, -2.0, -3.0];
        let layer = Linear::new(weight.into(), Some(vec![0.5, 1.0].into()), 3, 2).unwrap();
        let x = Matrix::from_values(2, 3, vec![1.0, 0.0, 1.0, 0.0, 1.0, 0.0]).unwrap();
        let mut out = Matrix::new();
        layer.apply(&x, Activation::Relu, &mut out).unwrap();
        assert_eq!((out.rows(), out.columns()), (2, 2));
        assert_eq!(out.values(), [4.5, 0.0, 2.5, 0.0]);
    }

    #[test]
    fn terms_have_a_size_where_their_sum_has_none() {
        let layer =
            Linear::new(vec![3.0, -3.0, 0.0, 2.0].into(), Some(vec![0.0, -2.0].into()), 2, 2).unwrap();
        let mut out = Matrix::new();
        layer
            .apply(&Matrix::from_values(1, 2, vec![1.0, 1.0]).unwrap(), Activation::Identity, &mut out)
            .unwrap();
        assert_eq!(out.values(), [0.0, 0.0]);
        assert!((layer.size_of_terms(&[1.0, 1.0]) - 13_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_product_large_enough_for_two_threads_is_the_same() {
        let (tokens, inputs, outputs) = (150, 70, 130);
        let value = |seed: usize| ((seed * 7919 + 13) % 101) as f32 - 50.0;
        let weight: Vec<f32> = (0..inputs * outputs).map(value).collect();
        let bias: Vec<f32> = (0..outputs).map(value).collect();
        let x: Vec<f32> = (0..tokens * inputs).map(|seed| value(seed + 3)).collect();
        let layer =
            Linear::new(weight.as_slice().into(), Some(bias.as_slice().into()), inputs, outputs).unwrap();
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
        assert!(Linear::new(vec![0.0; 5].into(), None, 3, 2).is_err());
        let layer = Linear::new(vec![0.0; 6].into(), None, 3, 2).unwrap();
        let x = Matrix::from_values(1, 4, vec![0.0; 4]).unwrap();
        assert!(layer.apply(&x, Activation::Identity, &mut Matrix::new()).is_err());
    }
}
