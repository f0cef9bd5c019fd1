//! Tests writing the weights: what is written, and what goes wrong on the way.

mod bytes;
mod casts;
mod failures;
mod shards;
mod source;
