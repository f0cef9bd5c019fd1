//! Gives a network's tensors their names: a [`Scope`] is a prefix, `blocks.3.attn.`, that modules ask for the tensors they
//! read. A definition that is built without weights thereby says what it would read, each name and shape once.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use crate::error::ForwardError;
use crate::weights::Weights;

/// Limits the most tensors that a network may have: some fifty times what the largest vision model has, so that a config which
/// lies about its number of layers is refused before it costs memory.
const MOST_TENSORS: usize = 100_000;

/// Says what a tensor is to its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Means that something is multiplied with it and summed over so many terms: the weight of a linear layer or a convolution.
    Weight {
        /// Counts the products in each sum.
        terms: usize,
    },
    /// Means that it is added, or multiplied with element by element: a bias, a scale, a token, a position embedding.
    Elementwise,
    /// Means that it is not a parameter, but saved with them: the statistics of a batch normalisation.
    Buffer,
}

/// Describes a parameter or buffer of a network: its name in the state dict, its shape, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    name: Arc<str>,
    shape: Arc<[usize]>,
    role: Role,
}

impl Parameter {
    /// Returns its full name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns what it is for.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Reads all its values, row-major.
    ///
    /// # Errors
    /// Returns what [`Weights::tensor`] does.
    pub fn read(&self, weights: &dyn Weights) -> Result<Vec<f32>, ForwardError> {
        weights.tensor(&self.name, &self.shape)
    }
}

/// Describes a place in a network under which tensors are named, as in PyTorch's `state_dict`.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    prefix: String,
    tensors: Rc<RefCell<Vec<Parameter>>>,
}

impl Scope {
    /// Returns the root of a network, whose names have no prefix.
    pub fn root() -> Self {
        Self::default()
    }

    /// Returns the scope `name` below this one. `name` may have dots in it.
    #[must_use]
    pub fn pp(&self, name: impl Display) -> Self {
        let prefix = format!("{}{name}.", self.prefix);
        Self { prefix, tensors: Rc::clone(&self.tensors) }
    }

    /// Returns `count` modules, each made in a scope of its number below `name`: `torch.nn.ModuleList`.
    ///
    /// # Errors
    /// Returns what `new` does, which is given the scope and the number.
    pub fn list<M>(
        &self,
        name: &str,
        count: usize,
        new: impl Fn(&Self, usize) -> Result<M, ForwardError>,
    ) -> Result<Vec<M>, ForwardError> {
        let scope = self.pp(name);
        (0..count).map(|number| new(&scope.pp(number), number)).collect()
    }

    /// Registers a weight: the first axis is what comes out, the others are summed over.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when the network has too many tensors.
    pub fn weight(&self, name: &str, shape: &[usize]) -> Result<Parameter, ForwardError> {
        let inputs = shape.get(1..).unwrap_or_default();
        let terms = inputs.iter().fold(1_usize, |product, &size| product.saturating_mul(size));
        self.register(name, shape, Role::Weight { terms })
    }

    /// Registers a parameter that is used element by element.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when the network has too many tensors.
    pub fn parameter(&self, name: &str, shape: &[usize]) -> Result<Parameter, ForwardError> {
        self.register(name, shape, Role::Elementwise)
    }

    /// Registers a buffer.
    ///
    /// # Errors
    /// Returns [`ForwardError::Config`] when the network has too many tensors.
    pub fn buffer(&self, name: &str, shape: &[usize]) -> Result<Parameter, ForwardError> {
        self.register(name, shape, Role::Buffer)
    }

    fn register(&self, name: &str, shape: &[usize], role: Role) -> Result<Parameter, ForwardError> {
        let mut tensors = self.tensors.borrow_mut();
        if tensors.len() >= MOST_TENSORS {
            return Err(ForwardError::config(format!("the network has more than {MOST_TENSORS} tensors")));
        }
        let parameter =
            Parameter { name: format!("{}{name}", self.prefix).into(), shape: shape.into(), role };
        tensors.push(parameter.clone());
        Ok(parameter)
    }

    /// Returns all that was registered below the root, in order.
    pub(crate) fn into_parameters(self) -> Vec<Parameter> {
        self.tensors.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_a_state_dict() {
        let root = Scope::root();
        let attn = root.pp("blocks").pp(3).pp("attn");
        let qkv = attn.pp("qkv").weight("weight", &[12, 4]).unwrap();
        assert_eq!((qkv.name(), qkv.role()), ("blocks.3.attn.qkv.weight", Role::Weight { terms: 4 }));
        root.parameter("cls_token", &[1, 1, 4]).unwrap();
        let names: Vec<String> = root.into_parameters().iter().map(|p| p.name().to_owned()).collect();
        assert_eq!(names, ["blocks.3.attn.qkv.weight", "cls_token"]);
    }

    #[test]
    fn modules_of_a_list_have_their_numbers() {
        let root = Scope::root();
        let biases = root.list("blocks", 2, |scope, number| scope.parameter("bias", &[number + 1])).unwrap();
        let named: Vec<_> = biases.iter().map(|bias| (bias.name(), bias.shape())).collect();
        assert_eq!(named, [("blocks.0.bias", &[1][..]), ("blocks.1.bias", &[2][..])]);
    }

    #[test]
    fn a_lying_number_of_layers_is_an_error() {
        let root = Scope::root();
        let first = (0..usize::MAX).find_map(|layer| root.pp(layer).parameter("bias", &[1]).err());
        assert!(matches!(first, Some(ForwardError::Config { .. })));
    }
}
