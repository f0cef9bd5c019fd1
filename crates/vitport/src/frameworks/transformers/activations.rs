//! transformers' activations by the names of its configs (`ACT2FN` in activations.py).

use crate::nn::{Activation, ForwardError};

/// Returns the activation that a key of `ACT2FN` names; `field` is the config's key, for the message.
///
/// # Errors
/// Returns [`ForwardError::Config`] for a name that is not one of those that can be run.
pub fn activation(field: &str, name: &str) -> Result<Activation, ForwardError> {
    Ok(match name {
        "gelu" | "gelu_python" => Activation::Gelu,
        "quick_gelu" => Activation::QuickGelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => {
            Activation::GeluTanh
        }
        "silu" | "swish" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "relu" => Activation::Relu,
        "relu6" => Activation::Relu6,
        "tanh" => Activation::Tanh,
        "linear" => Activation::Identity,
        _ => {
            let detail = format!("{field} {name:?} is not an activation that can be run");
            return Err(ForwardError::config(detail));
        }
    })
}
