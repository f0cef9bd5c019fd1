//! torchvision's modules that its networks share (torchvision/ops/misc.py), and what their attributes are to a network in evaluation.

use super::table::{Class, Says};

/// Is a convolution with a norm and an activation after it, each a module of its own in it. Before 0.13 it had another name.
pub const CONV_NORM: Class = Class::new(
    &["torchvision.ops.misc.Conv2dNormActivation", "torchvision.ops.misc.ConvNormActivation"],
    &[("out_channels", Says::Nothing)],
);

/// Is two linear layers with an activation between them.
pub const MLP: Class = Class::new(&["torchvision.ops.misc.MLP"], &[]);

/// Exchanges axes. A place where it stands says which.
pub const PERMUTE: Class = Class::new(&["torchvision.ops.misc.Permute"], &[]);

/// Multiplies channels by what two convolutions make of their means.
pub const SQUEEZE_EXCITE: Class = Class::new(&["torchvision.ops.misc.SqueezeExcitation"], &[]);

/// Drops whole branches in training.
pub const STOCHASTIC_DEPTH: Class = Class::new(
    &["torchvision.ops.stochastic_depth.StochasticDepth"],
    &[("p", Says::Nothing), ("mode", Says::Nothing)],
);
