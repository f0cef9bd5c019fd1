//! transformers' `ConvNextV2ForImageClassification` and `ConvNextV2Model` (models/convnextv2/modeling_convnextv2.py, 4.57.6 and
//! 5.23.0): ConvNext's classes, copied, with a global response normalisation within each MLP and without layer scale.

use super::convnext::{Version, network};
use super::{Task, TwoClasses, exported_defaults};
use crate::frameworks::build;

/// Declares the definition.
pub const DEFINITION: TwoClasses = TwoClasses {
    id: "transformers/convnextv2",
    classes: ["ConvNextV2ForImageClassification", "ConvNextV2Model"],
    tasks: [Task::Classification, Task::POOLED],
    stage_lists: &[],
    defaults: |_| exported_defaults(include_str!("../../../data/transformers/convnextv2.v4.json")),
    ignored_keys: &["image_size"],
    build: |config, has_classifier| {
        build("ConvNextV2Config", config, |root, config| network(root, config, has_classifier, Version::Two))
    },
};
