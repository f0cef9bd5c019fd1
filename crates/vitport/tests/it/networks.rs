//! Builds networks that are nothing but a list of tensors.

use vitport::nn::{Context, Forward, ForwardError, Network, Outputs, Pixels};

/// A forward pass without outputs.
struct Nothing;

impl Forward for Nothing {
    fn forward(&self, _: &Pixels, _: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        Ok(Outputs::new())
    }
}

/// Returns a network that reads tensors of these names and shapes.
pub fn listed(tensors: &[(&str, &[u64])]) -> Network {
    Network::build(|scope| {
        for (name, shape) in tensors {
            let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
            scope.parameter(name, &shape)?;
        }
        Ok(Nothing)
    })
    .unwrap()
}
