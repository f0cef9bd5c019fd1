//! The reader's tests, in one program: linking one is what most of the time of many would go into.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod dangerous;
mod distributed;
mod evidence;
mod flipped_bits;
mod hostile_pickles;
mod hostile_safetensors;
mod hostile_streams;
mod hostile_zips;
mod modules;
mod named_refusals;
mod properties;
mod random_saves;
mod reading;
mod roots;
mod same_as_torch;
mod shards;
mod support;
mod table_read;
mod table_refused;
