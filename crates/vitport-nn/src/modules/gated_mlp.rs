//! Defines the MLP with a gate.

use super::linear::Linear;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::matrix::Matrix;
use crate::network::Context;

/// Says where the gate and what it is multiplied with come from.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Means one layer whose first half of the outputs is the gate, as in timm's `SwiGLUPacked` and DINOv2.
    Packed(Linear),
    /// Means a layer for the gate and one for what it is multiplied with, as in timm's `SwiGLU` and AIMv2.
    Separate([Linear; 2]),
}

/// Computes fc2(activation(gate) · x) (Shazeer 2020, arXiv:2002.05202); SwiGLU where the activation is SiLU.
#[derive(Debug, Clone)]
pub struct GatedMlp {
    gate: Gate,
    activation: Activation,
    fc2: Linear,
}

impl GatedMlp {
    /// Puts the layers together.
    pub fn new(gate: Gate, activation: Activation, fc2: Linear) -> Self {
        Self { gate, activation, fc2 }
    }

    /// Computes tokens × outputs.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or x has another width.
    pub fn forward(&self, x: &Matrix, cx: &mut Context<'_>) -> Result<Matrix, ForwardError> {
        let (mut gate, other) = match &self.gate {
            Gate::Packed(layer) => {
                let half = layer.outputs() / 2;
                let gate = layer.forward_part(x, 0..half, self.activation, cx)?;
                (gate, layer.forward_part(x, half..layer.outputs(), Activation::Identity, cx)?)
            }
            Gate::Separate([gate, other]) => {
                (gate.forward_with(x, self.activation, cx)?, other.forward(x, cx)?)
            }
        };
        gate.multiply(&other)?;
        cx.recycle(other);
        let out = self.fc2.forward(&gate, cx)?;
        cx.recycle(gate);
        Ok(out)
    }
}
