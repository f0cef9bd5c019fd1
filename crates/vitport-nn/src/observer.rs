//! Defines what a forward pass lets be seen: hidden states at named places, and what comes out at the end, by name.

use crate::matrix::Matrix;

/// Looks on while a network runs, from one of rayon's threads.
pub trait Observer: Send {
    /// Receives the hidden states, tokens or positions × features, at the place `name` of the network. Places have the
    /// names of the modules that the hidden states come out of, such as `blocks.3`, and come in the order of the network.
    fn observe(&mut self, name: &str, hidden: &Matrix);
}

/// Sees nothing and costs nothing.
impl Observer for () {
    fn observe(&mut self, _: &str, _: &Matrix) {}
}

/// Keeps everything: some tens of megabytes for a large network.
impl Observer for Vec<(String, Matrix)> {
    fn observe(&mut self, name: &str, hidden: &Matrix) {
        self.push((name.to_owned(), hidden.copied_on_all_threads()));
    }
}

/// Holds one output of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Says what its framework calls it: `logits`, `pooler_output`, `last_hidden_state`, `image_embeds` ….
    pub name: &'static str,
    /// Holds its values, row-major, without the batch axis.
    pub values: Vec<f32>,
    /// Says how large the terms are that the values are sums of ([`crate::Linear::size_of_terms`]), where that was asked for:
    /// the values themselves are not a measure of their rounding errors when there are few of them and they may nearly cancel.
    pub size_of_terms: Option<f64>,
}

/// Holds what comes out of a network, in the order in which it is computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outputs(Vec<Output>);

impl Outputs {
    /// Returns no outputs, to be filled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an output.
    pub fn push(&mut self, name: &'static str, values: impl Into<Vec<f32>>) {
        self.0.push(Output { name, values: values.into(), size_of_terms: None });
    }

    /// Adds an output that is a sum of terms of a known size.
    pub fn push_sum(&mut self, name: &'static str, values: impl Into<Vec<f32>>, size_of_terms: f64) {
        self.0.push(Output { name, values: values.into(), size_of_terms: Some(size_of_terms) });
    }

    /// Returns the output of that name.
    pub fn get(&self, name: &str) -> Option<&Output> {
        self.0.iter().find(|output| output.name == name)
    }

    /// Returns the values of the output of that name.
    pub fn values(&self, name: &str) -> Option<&[f32]> {
        self.get(name).map(|output| output.values.as_slice())
    }

    /// Returns all outputs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Output> {
        self.0.iter()
    }
}
