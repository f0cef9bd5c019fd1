//! Microsoft's own repositories of models.

pub mod cvt;
mod gather;
mod published;
mod structure;

pub use published::{PUBLISHED, PUBLISHED_AT, Published, by_name, edge_in_name};
