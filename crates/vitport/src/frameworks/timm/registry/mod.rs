//! timm's own registry: every architecture with the arguments that its definition takes, and every pretrained tag with its
//! classes, its preprocessing and the transformers class that could hold it. Weights alone cannot tell the number of heads,
//! the mean that images were normalised with, or what a bare file's name stands for; the registry can.
//!
//! It is `data/timm`, exported from timm 1.0.31 by the script there. A module's rows are inflated, and a row is parsed, when they
//! are first asked for.

mod find;
mod modules;

pub use super::super::Exactness;
pub use super::super::registry::{Architecture, Found, Tag, origin};
pub use find::{find, module_of, released, suggest};

use modules::{module_with, modules};

use crate::facts::Origin;

/// Returns the origin of what all of several architectures or tags that fit the weights have.
pub fn candidates(which: &str) -> Origin {
    Origin::Candidates(format!("timm's registry: all of {which}"))
}

/// Returns every architecture: those of `vision_transformer` and `deit` first, then by module, in timm's order.
pub fn architectures() -> impl Iterator<Item = &'static Architecture> {
    modules().iter().flat_map(|module| module.architectures().all())
}

/// Returns the architectures that one of timm's modules defines ("convnext"), in timm's order; empty for an unknown module.
pub fn architectures_of(module: &str) -> impl Iterator<Item = &'static Architecture> {
    modules().iter().filter(move |known| known.name == module).flat_map(|known| known.architectures().all())
}

/// Returns every pretrained tag, in the order of [`architectures`]; the tags of an architecture stand together, the default
/// first.
pub fn tags() -> impl Iterator<Item = &'static Tag> {
    modules().iter().flat_map(|module| module.tags().all())
}

/// Returns the architecture of exactly that name, without a tag.
pub fn architecture(name: &str) -> Option<&'static Architecture> {
    module_with(name)?.architectures().named(name).next()
}

/// Returns the tags of an architecture, the default first; empty for an unknown name.
pub fn tags_of(architecture: &str) -> impl Iterator<Item = &'static Tag> {
    module_with(architecture).into_iter().flat_map(move |module| module.tags().named(architecture))
}

/// Returns whether timm's constructor of the networks of a module takes an argument of that name.
pub fn takes(module: &str, argument: &str) -> bool {
    modules().iter().any(|known| known.name == module && known.takes(argument))
}

/// Returns the version of timm that the registry was exported from.
pub fn timm_version() -> &'static str {
    "1.0.31"
}
