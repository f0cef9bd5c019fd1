//! Defines a whole network, built from a definition without weights: what it reads, how it computes, and how long its sums are.

use crate::error::ForwardError;
use crate::matrix::Matrix;
use crate::observer::{Observer, Outputs};
use crate::pixels::Pixels;
use crate::scope::{Parameter, Role, Scope};
use crate::threads::on_the_pool;
use crate::weights::Weights;

/// Computes a definition's forward pass over the modules that it is made of.
pub trait Forward: Send + Sync {
    /// Computes the outputs from pixels, batch size one.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or has another shape, or the pixels do not fit.
    fn forward(&self, pixels: &Pixels, cx: &mut Context<'_>) -> Result<Outputs, ForwardError>;
}

/// Holds a network: its forward pass and the list of its tensors.
pub struct Network {
    forward: Box<dyn Forward>,
    parameters: Vec<Parameter>,
}

impl Network {
    /// Builds a network: `define` makes the modules under the scope that it is given.
    ///
    /// # Errors
    /// Returns what `define` does.
    pub fn build<M: Forward + 'static>(
        define: impl FnOnce(&Scope) -> Result<M, ForwardError>,
    ) -> Result<Self, ForwardError> {
        let root = Scope::root();
        let forward = Box::new(define(&root)?);
        Ok(Self { forward, parameters: root.into_parameters() })
    }

    /// Returns its parameters and buffers, in the order in which the definition names them.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Runs the network on one image with these weights.
    ///
    /// # Errors
    /// Returns [`ForwardError`] when a tensor is missing or has another shape, or the pixels do not fit.
    pub fn forward(
        &self,
        pixels: &Pixels,
        weights: &dyn Weights,
        observer: &mut dyn Observer,
    ) -> Result<Outputs, ForwardError> {
        on_the_pool(|| {
            let mut cx = Context { weights, observer, spare: Vec::new() };
            self.forward.forward(pixels, &mut cx)
        })
    }

    /// Returns how many terms its longest sum of products has.
    pub fn longest_sum(&self) -> usize {
        let terms = self.parameters.iter().map(|parameter| match parameter.role() {
            Role::Weight { terms } => terms,
            Role::Elementwise | Role::Buffer => 1,
        });
        terms.max().unwrap_or(1)
    }

    /// Returns how many of its tensors something is multiplied with and summed over.
    pub fn products(&self) -> usize {
        self.parameters.iter().filter(|parameter| matches!(parameter.role(), Role::Weight { .. })).count()
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

/// Holds what modules need while a network runs: weights, an observer, and memory that layers use again.
pub struct Context<'a> {
    weights: &'a dyn Weights,
    observer: &'a mut dyn Observer,
    spare: Vec<Matrix>,
}

impl<'a> Context<'a> {
    /// Returns a context for running modules by themselves, without an observer.
    pub fn new(weights: &'a dyn Weights, observer: &'a mut dyn Observer) -> Self {
        Self { weights, observer, spare: Vec::new() }
    }

    /// Returns the weights.
    pub fn weights(&self) -> &'a dyn Weights {
        self.weights
    }

    /// Shows hidden states to the observer.
    pub fn trace(&mut self, name: &str, hidden: &Matrix) {
        self.observer.observe(name, hidden);
    }

    /// Returns a matrix to be filled with some `elements` values, in memory that was recycled if some is large enough: fresh
    /// memory costs a page fault every four kilobytes. Where none is, the largest is freed.
    pub fn scratch(&mut self, elements: usize) -> Matrix {
        let unfitness = |matrix: &Matrix| match matrix.capacity().checked_sub(elements) {
            Some(excess) => (0, excess),
            None => (1, elements - matrix.capacity()),
        };
        let best = (0..self.spare.len()).min_by_key(|&place| self.spare.get(place).map(unfitness));
        let found = best.map(|place| self.spare.swap_remove(place));
        found.filter(|matrix| matrix.capacity() >= elements).unwrap_or_default()
    }

    /// Takes back the memory of a matrix that is no longer needed.
    pub fn recycle(&mut self, matrix: Matrix) {
        self.spare.push(matrix);
    }
}
