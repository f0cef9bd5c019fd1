//! Defines batch normalisation at inference.

use super::feature_map::FeatureMap;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::affine::affine;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes (x − running mean) / √(running variance + eps) · weight + bias for each channel; `torch.nn.BatchNorm2d` in
/// evaluation (Ioffe and Szegedy 2015, arXiv:1502.03167, section 3.1).
#[derive(Debug, Clone)]
pub struct BatchNorm2d {
    weight: Parameter,
    bias: Parameter,
    running_mean: Parameter,
    running_var: Parameter,
    eps: f64,
}

/// Holds a batch normalisation as one factor and one addend a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// Holds weight / √(running variance + eps).
    pub factors: Vec<f64>,
    /// Holds bias − running mean · factor.
    pub addend: Vec<f32>,
}

impl BatchNorm2d {
    /// Registers `weight`, `bias`, `running_mean`, `running_var`, each `[channels]`, and `num_batches_tracked`, a scalar that
    /// is saved and has no part in evaluation.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, channels: usize, eps: f64) -> Result<Self, ForwardError> {
        let norm = Self {
            weight: scope.parameter("weight", &[channels])?,
            bias: scope.parameter("bias", &[channels])?,
            running_mean: scope.buffer("running_mean", &[channels])?,
            running_var: scope.buffer("running_var", &[channels])?,
            eps,
        };
        scope.buffer("num_batches_tracked", &[])?;
        Ok(norm)
    }

    /// Normalises a map in place, with an activation after it; [`Activation::Identity`] leaves it as it is.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(
        &self,
        mut map: FeatureMap,
        activation: Activation,
        cx: &mut Context<'_>,
    ) -> Result<FeatureMap, ForwardError> {
        let Folded { factors, addend } = self.folded(cx)?;
        let factors: Vec<f32> = factors.into_iter().map(|factor| factor as f32).collect();
        affine(&mut map.tokens, &factors, &addend, activation)?;
        Ok(map)
    }

    /// Reads the statistics as a factor and an addend a channel, for the layer before it to take in.
    ///
    /// # Errors
    /// Returns what [`crate::Weights::tensor`] does.
    pub fn folded(&self, cx: &Context<'_>) -> Result<Folded, ForwardError> {
        let (weight, bias) = (self.weight.read(cx.weights())?, self.bias.read(cx.weights())?);
        let (mean, variance) = (self.running_mean.read(cx.weights())?, self.running_var.read(cx.weights())?);
        // torch adds in float32, where a variance of -eps is exactly 0 with it (aten/src/ATen/native/Normalization.cpp).
        let is_positive = |variance: f32| variance + self.eps as f32 > 0.0;
        let factor = |(&weight, &variance): (&f32, &f32)| match is_positive(variance) {
            true => f64::from(weight) / (f64::from(variance) + self.eps).sqrt(),
            false => f64::NAN,
        };
        let factors: Vec<f64> = weight.iter().zip(&variance).map(factor).collect();
        let shifts = bias.iter().zip(&mean).zip(&factors);
        let addend =
            shifts.map(|((&bias, &mean), factor)| (f64::from(bias) - f64::from(mean) * factor) as f32);
        Ok(Folded { addend: addend.collect(), factors })
    }
}
