//! transformers' `Dinov2WithRegistersForImageClassification` and `Dinov2WithRegistersModel`
//! (models/dinov2_with_registers/modeling_dinov2_with_registers.py, 4.57.6 and 5.23.0): DINOv2 with registers between the class
//! token and the patches.

use super::dinov2::{IGNORED_KEYS, build_with};
use super::{Task, TwoClasses, exported_defaults};

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/dinov2_with_registers",
    classes: ["Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersModel"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/dinov2_with_registers.v4.json")),
    // Version 4 and 5 list none for it.
    ignored_keys: IGNORED_KEYS,
    build: |config, has_classifier| build_with("dinov2_with_registers", true, config, has_classifier),
};
