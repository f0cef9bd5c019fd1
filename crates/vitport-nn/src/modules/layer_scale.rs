//! Defines layer scale: a residual branch with a learned factor a channel.

use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::network::Context;
use crate::scope::{Parameter, Scope};

/// Computes x ← x + γ · branch (Touvron et al. 2021, "Going deeper with Image Transformers", eq. 4); timm's `LayerScale`.
#[derive(Debug, Clone)]
pub struct LayerScale {
    gamma: Parameter,
}

impl LayerScale {
    /// Registers the factors as `name`, `[features]`.
    ///
    /// # Errors
    /// Returns what [`Scope::parameter`] does.
    pub fn new(scope: &Scope, name: &str, features: usize) -> Result<Self, ForwardError> {
        Ok(Self { gamma: scope.parameter(name, &[features])? })
    }

    /// Adds the scaled branch to `x`, or the branch as it is where there is no scale.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when the factors are missing or the sizes differ.
    pub fn add(
        scale: Option<&Self>,
        x: &mut Matrix,
        branch: Matrix,
        cx: &mut Context<'_>,
    ) -> Result<(), ForwardError> {
        match scale {
            Some(scale) => x.add_scaled(&branch, &scale.gamma.read(cx.weights())?)?,
            None => x.add(&branch)?,
        }
        cx.recycle(branch);
        Ok(())
    }
}
