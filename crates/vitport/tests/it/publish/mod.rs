//! Tests putting a finished folder under its name.

mod in_one_step;
mod keeps;
mod on_a_bad_disk;
mod refusals;
mod when_killed;

use std::fs;
use std::path::Path;

/// Returns a model's config that says which `generation` it is.
fn config(generation: &str) -> String {
    serde_json::json!({ "model_type": "vit", "generation": generation }).to_string()
}

/// Returns which generation the config of a folder says it is.
fn generation_of(folder: &Path) -> String {
    let config = fs::read(folder.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["generation"].as_str().unwrap().to_owned()
}

/// Returns the names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
