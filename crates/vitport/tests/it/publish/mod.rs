//! Tests putting a finished folder under its name.

mod in_one_step;
mod keeps;
mod on_a_bad_disk;
mod refusals;
mod when_killed;

use std::fs;
use std::path::Path;

/// Returns the names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
