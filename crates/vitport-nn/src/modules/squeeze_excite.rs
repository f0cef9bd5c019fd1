//! Defines squeeze and excitation.

use super::conv2d::Conv2d;
use super::feature_map::FeatureMap;
use super::tokens::mean_of_rows;
use crate::error::ForwardError;
use crate::kernels::activation::Activation;
use crate::kernels::affine::affine;
use crate::kernels::convolution::Window;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::Scope;

/// Computes x · gate(expand(act(reduce(mean of x over positions)))), a factor a channel (Hu, Shen and Sun 2017,
/// arXiv:1709.01507, section 3); timm's `SEModule` and `SqueezeExcite`, torchvision's `SqueezeExcitation`, whose layers have
/// other names.
#[derive(Debug, Clone)]
pub struct SqueezeExcite {
    reduce: Conv2d,
    activation: Activation,
    expand: Conv2d,
    gate: Activation,
}

impl SqueezeExcite {
    /// Makes the two 1 × 1 convolutions under these names, from `channels` to `reduced` and back, each with its activation.
    ///
    /// # Errors
    /// Returns what [`Conv2d::new`] does.
    pub fn named(
        scope: &Scope,
        [reduce, expand]: [&str; 2],
        [channels, reduced]: [usize; 2],
        [activation, gate]: [Activation; 2],
    ) -> Result<Self, ForwardError> {
        let pointwise =
            |name: &str, from, to| Conv2d::new(&scope.pp(name), from, to, Window::centered(1, 1), true);
        let (reduce, expand) = (pointwise(reduce, channels, reduced)?, pointwise(expand, reduced, channels)?);
        Ok(Self { reduce, activation, expand, gate })
    }

    /// Scales a map in place.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or the map has other channels.
    pub fn forward(&self, mut map: FeatureMap, cx: &mut Context<'_>) -> Result<FeatureMap, ForwardError> {
        let channels = map.tokens.columns();
        let mean = Matrix::from_values(1, channels, mean_of_rows(&map.tokens))?;
        let squeezed = FeatureMap { tokens: mean, height: 1, width: 1 };
        let mut hidden = self.reduce.forward(squeezed.grid()?, cx)?;
        self.activation.apply(&mut hidden.tokens);
        let mut gates = self.expand.forward(hidden.grid()?, cx)?;
        self.gate.apply(&mut gates.tokens);
        affine(&mut map.tokens, gates.tokens.values(), &vec![0.0; channels], Activation::Identity)?;
        [hidden, gates].into_iter().for_each(|map| cx.recycle(map.tokens));
        Ok(map)
    }
}
