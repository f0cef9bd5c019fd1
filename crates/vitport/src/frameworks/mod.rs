//! What is known of the frameworks that models come from, one module a framework.

pub mod timm;
