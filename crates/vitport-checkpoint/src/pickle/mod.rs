//! A machine for Python's pickles that builds plain data and can do nothing else.
//!
//! A pickle is a program for a small stack machine, and Python's own machine can call any function that
//! the program names. This one has no such instruction: a global is a pair of strings ([`globals`]), the
//! few that build tensors and plain containers have a meaning that is written out here ([`builders`]),
//! and a call of anything else makes an opaque object that remembers what was to be called
//! ([`objects`]), and whether that is dangerous ([`judge`]). Values live in one [`arena`] and refer to each other by number, so that nothing is
//! copied, nothing recurses, and all memory is counted.
//!
//! Large byte strings are not read either: a value remembers where in the file they lie.

pub(crate) mod arena;
pub(crate) mod builders;
mod dangerous;
mod dangerous_names;
pub(crate) mod globals;
mod judge;
mod literals;
pub(crate) mod machine;
mod memo;
pub(crate) mod nodes;
mod numpy;
mod objects;
mod opcode;
pub(crate) mod persistent;
mod render;
pub(crate) mod text;

pub(crate) use arena::{Arena, Value};
pub(crate) use machine::load;
pub(crate) use nodes::{Node, NodeId};
pub(crate) use persistent::PersistentIds;
