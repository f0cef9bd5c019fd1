//! What timm's networks share (timm/layers): activations by timm's names and classes, heads, and the classifier.

use crate::nn::{Activation, ForwardError, Heads, Linear, Scope};

/// Lists activations by the name that timm takes (timm/layers/create_act.py) and by class (timm/layers/activations.py).
const ACTIVATIONS: [(&str, &str, Activation); 6] = [
    ("gelu", "GELU", Activation::Gelu),
    ("gelu_tanh", "GELUTanh", Activation::GeluTanh),
    ("quick_gelu", "QuickGELU", Activation::QuickGelu),
    ("relu", "ReLU", Activation::Relu),
    ("relu6", "ReLU6", Activation::Relu6),
    ("silu", "SiLU", Activation::Silu),
];

/// Returns the activation that timm calls so.
///
/// # Errors
/// Returns [`ForwardError::Config`] for a name that is not one of those that can be run.
pub fn activation(name: &str) -> Result<Activation, ForwardError> {
    let known = ACTIVATIONS.iter().find(|(known, _, _)| *known == name);
    known.map(|(_, _, activation)| *activation).ok_or_else(|| {
        ForwardError::config(format!("act_layer {name:?} is not an activation that can be run"))
    })
}

/// Returns timm's name of an activation, of which a name or the class is given. `swish` is another name of `silu`.
pub fn activation_name(given: &str) -> Option<&'static str> {
    let given = if given.eq_ignore_ascii_case("swish") { "silu" } else { given };
    let is_it = |name: &str, class: &str| given.eq_ignore_ascii_case(name) || given == class;
    ACTIVATIONS.iter().find(|(name, class, _)| is_it(name, class)).map(|(name, _, _)| *name)
}

/// Returns the heads of an attention as wide as a token.
///
/// # Errors
/// Returns [`ForwardError::Config`] unless they share the width.
pub(super) fn heads(embed_dim: usize, num_heads: usize) -> Result<Heads, ForwardError> {
    if num_heads == 0 || !embed_dim.is_multiple_of(num_heads) {
        let detail = format!("embed_dim {embed_dim} is not a multiple of num_heads {num_heads}");
        return Err(ForwardError::config(detail));
    }
    Ok(Heads::of_width(num_heads, embed_dim))
}

/// Builds the last linear layer (timm/layers/classifier.py), which is the identity where there are no classes.
///
/// # Errors
/// Returns what [`Linear::new`] does.
pub(super) fn classifier(
    scope: &Scope,
    name: &str,
    num_features: usize,
    num_classes: usize,
) -> Result<Option<Linear>, ForwardError> {
    let new = || Linear::new(&scope.pp(name), num_features, num_classes, true);
    (num_classes > 0).then(new).transpose()
}
