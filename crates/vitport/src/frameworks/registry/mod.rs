//! What frameworks' registries are made of: architectures, as fields by name, and the weights that are published of them. A name
//! outside of timm begins with its framework: `torchvision/resnet50`.

mod architecture;
mod known;
mod rows;
mod tag;

pub use architecture::Architecture;
pub use tag::Tag;

pub(super) use known::known_model;
pub(super) use rows::Rows;

use crate::facts::Origin;

/// Says what a name stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Gives the architecture.
    pub architecture: &'static Architecture,
    /// Gives the tag: the one named, or the architecture's default.
    pub tag: &'static Tag,
    /// Says whether the name left the tag open, so that it is the framework's default.
    pub default_tag: bool,
    /// Says whether the name is one that the framework has since replaced.
    pub renamed: bool,
}

/// Returns the origin of what the registry has of an architecture or a tag.
pub fn origin(entry: &str) -> Origin {
    let (framework, entry) = entry.split_once('/').unwrap_or(("timm", entry));
    Origin::Registry(format!("{framework}'s registry: {entry}"))
}
