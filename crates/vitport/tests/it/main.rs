//! Runs the library's tests, in one program: linking one is what most of the time of many would go into.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod assumptions;
mod beit;
mod card;
mod channels;
mod child;
mod clip;
mod convnext;
mod dependencies;
mod documents;
mod efficientnet;
mod eva;
mod example;
mod field;
mod forward;
mod fuzz_targets;
mod golden;
#[cfg(feature = "hub")]
mod hub;
mod image;
mod jax_refusals;
mod jax_releases;
mod labels;
mod layouts;
mod licenses;
mod mapping_inverse;
mod mapping_language;
mod mapping_lint;
mod networks;
mod pipeline;
mod public_names;
mod publish;
mod refusals;
mod registry;
mod relpos;
mod report_page;
mod residual;
mod round_trip;
mod saved_modules;
mod swin;
mod swinv2;
mod timm_encoders;
mod torchvision;
mod training;
mod verify;
mod write;
