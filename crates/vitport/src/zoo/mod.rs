//! What timm itself knows about its Vision Transformers: every architecture of `vision_transformer.py` and `deit.py`
//! with its sizes, and every pretrained tag with its classes and its preprocessing. Weights alone cannot tell the
//! number of heads, the mean that pictures were normalised with, or what a bare file's name stands for; this table
//! can. It is `data/timm*`, exported from timm 1.0.31 by the script beside it; a row is read when it is first asked for.

mod find;
mod rows;
mod table;

pub use find::{Found, find, suggest};
pub use table::{Architecture, Level, Structure, Tag};

/// Every architecture, in timm's order.
pub fn architectures() -> impl Iterator<Item = &'static Architecture> {
    table::architectures().all()
}

/// Every pretrained tag, in timm's order; the tags of an architecture stand together, the default first.
pub fn tags() -> impl Iterator<Item = &'static Tag> {
    table::tags().all()
}

/// The architecture of exactly that name, without a tag.
pub fn architecture(name: &str) -> Option<&'static Architecture> {
    table::architectures().named(name).next()
}

/// The tags of an architecture, the default first; empty for an unknown name.
pub fn tags_of(architecture: &str) -> impl Iterator<Item = &'static Tag> {
    table::tags().named(architecture)
}

/// The timm module that defines an architecture outside this table ("eva" for `eva02_base_patch14_224`), for saying
/// what a model without a target is. `name` may carry a tag and `timm/`. `None` if timm has no such model, or if it is
/// one of [`architectures`].
pub fn other_family(name: &str) -> Option<&'static str> {
    let (architecture, _) = find::split_name(name);
    table::others().find(|(other, _)| *other == architecture).map(|(_, family)| family)
}

/// The version of timm that the table was made from.
pub fn timm_version() -> &'static str {
    &table::head().timm
}
