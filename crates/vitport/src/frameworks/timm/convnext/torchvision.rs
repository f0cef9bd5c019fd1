//! The modules of a torchvision `ConvNeXt` that was saved whole, under torchvision's names. What are timm's stages are the entries
//! 1, 3, 5 and 7 of `features`.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{
    CONV, FLATTEN, IDENTITY, LAYER_NORM, LINEAR, NORM_EPS, SEQUENTIAL,
};
use super::super::super::saved_modules::torchvision::{CONV_NORM, PERMUTE, STOCHASTIC_DEPTH};
use super::super::super::saved_modules::{At, Class, Role, Says};
use super::super::classes::{ACTIVATIONS, AVERAGE, CLASSIFIER};
use super::super::field::Literal;

const CONVNEXT: Class = Class::new(&["torchvision.models.convnext.ConvNeXt"], &[]);
const BLOCK: Class = Class::new(&["torchvision.models.convnext.CNBlock"], &[]);
/// Is a layer norm over the channels of a map.
const MAP_NORM: Class = Class::new(&["torchvision.models.convnext.LayerNorm2d"], NORM_EPS);

/// Returns the entry of the stage in a list.
fn of_stage(at: &At<'_>, fact: &str) -> Option<u64> {
    let stage = usize::try_from(at.numbers.first()?.checked_sub(1)? / 2).ok()?;
    at.facts.numbers(fact)?.get(stage).copied()
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&CONVNEXT]),
    Role::new(&["features", "features.{1,2,3,4,5,6,7}", "features.*.*.block", "classifier"], &[&SEQUENTIAL]),
    Role::new(&["features.0"], &[&CONV_NORM]),
    Role::new(&["features.0.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["features.0.1", "features.{2,4,6}.0"], &[&MAP_NORM]),
    Role::new(&["classifier.0"], &[&MAP_NORM, &IDENTITY]),
    Role::new(&["features.{2,4,6}.1"], &[&CONV])
        .says(&[("stride", Says::Tells("output_stride", &[(Literal::Pair(2, 2), Literal::Number(32))]))]),
    Role::new(&["features.*.*"], &[&BLOCK]),
    Role::new(&["features.*.*.block.0"], &[&CONV]).says(&[
        ("padding", Says::Follows(|at| of_stage(at, "kernel_sizes").map(|size| json!([size / 2, size / 2])))),
        ("groups", Says::Follows(|at| of_stage(at, "dims").map(Value::from))),
    ]),
    Role::new(&["features.*.*.block.1"], &[&PERMUTE])
        .says(&[("dims", Says::Follows(|_| Some(json!([0, 2, 3, 1]))))]),
    Role::new(&["features.*.*.block.2"], &[&LAYER_NORM]),
    Role::new(&["features.*.*.block.{3,5}"], &[&LINEAR]),
    Role::new(&["features.*.*.block.4"], ACTIVATIONS),
    Role::new(&["features.*.*.block.6"], &[&PERMUTE])
        .says(&[("dims", Says::Follows(|_| Some(json!([0, 3, 1, 2]))))]),
    Role::new(&["features.*.*.stochastic_depth"], &[&STOCHASTIC_DEPTH]),
    Role::new(&["avgpool"], &[&AVERAGE]),
    Role::new(&["classifier.1"], &[&FLATTEN]),
    Role::new(&["classifier.2"], CLASSIFIER),
];
