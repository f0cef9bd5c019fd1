//! The names that the code of networks reads of their modules. What a person sets on a module under any other name
//! (`model.class_names = […]`) is read by no forward pass.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Lists the names in the code of PyTorch, timm, torchvision and Microsoft's CvT (`data/saved_modules/export_names.py`).
static NAMES: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("../../../data/saved_modules/names.txt").lines().collect());

/// Returns whether code of any of these reads the name, or has a method of that name.
pub(super) fn is_read(name: &str) -> bool {
    NAMES.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forward_passes_read_is_in_the_list() {
        for name in
            ["forward", "_call_impl", "_forward_impl", "_conv_forward", "num_heads", "flatten", "act1"]
        {
            assert!(is_read(name), "{name}");
        }
        for name in ["my_note", "class_names", "label2id", "epoch", ""] {
            assert!(!is_read(name), "{name}");
        }
    }
}
