//! The modules of a torchvision `RegNet` that was saved whole, under torchvision's names.

use serde_json::json;

use super::super::super::saved_modules::torch::{BATCH_NORM, CONV, SEQUENTIAL, SIGMOID};
use super::super::super::saved_modules::torchvision::{CONV_NORM, SQUEEZE_EXCITE};
use super::super::super::saved_modules::{At, Class, Role, Says};
use super::super::classes::{ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS};
use super::super::field::Literal;
use super::modules::groups;

const REGNET: Class = Class::new(&["torchvision.models.regnet.RegNet"], &[]).means("linear_out", Literal::NO);
const STEM: Class =
    Class::new(&["torchvision.models.regnet.SimpleStemIN"], &[("out_channels", Says::Nothing)]);
const STAGE: Class = Class::new(&["torchvision.models.regnet.AnyStage"], &[]);
/// Has no projection (`proj`) where channels and size stay. Each stage has a stride of 2.
const BLOCK: Class =
    Class::new(&["torchvision.models.regnet.ResBottleneckBlock"], &[("proj", Says::Is(&[Literal::Null]))])
        .means("output_stride", Literal::Number(32));
const TRANSFORM: Class = Class::new(&["torchvision.models.regnet.BottleneckTransform"], &[]);
/// Averages before squeeze and excitation, which is not the network's own pooling.
const SQUEEZE: Class = Class { means: None, ..AVERAGE };

/// Returns the stride of a block, 2 in the first of each stage.
fn stride(at: &At<'_>) -> u64 {
    if at.numbers.get(2) == Some(&0) { 2 } else { 1 }
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&REGNET]),
    Role::new(&["stem"], &[&STEM]),
    Role::new(&["stem.0"], &[&CONV])
        .says(&[("stride", Says::Is(&[Literal::Pair(2, 2)])), ("padding", Says::Is(&[Literal::Pair(1, 1)]))]),
    Role::new(
        &["stem.1", "trunk_output.block*.block*-*.proj.1", "trunk_output.block*.block*-*.f.{a,b,c}.1"],
        &[&BATCH_NORM],
    ),
    Role::new(
        &[
            "stem.2",
            "trunk_output.block*.block*-*.f.{a,b}.2",
            "trunk_output.block*.block*-*.f.se.activation",
            "trunk_output.block*.block*-*.activation",
        ],
        ACTIVATIONS,
    ),
    Role::new(&["trunk_output"], &[&SEQUENTIAL]),
    Role::new(&["trunk_output.block*"], &[&STAGE]),
    Role::new(&["trunk_output.block*.block*-*"], &[&BLOCK]),
    Role::new(&["trunk_output.block*.block*-*.f"], &[&TRANSFORM]),
    Role::new(
        &["trunk_output.block*.block*-*.proj", "trunk_output.block*.block*-*.f.{a,b,c}"],
        &[&CONV_NORM],
    ),
    Role::new(
        &["trunk_output.block*.block*-*.f.{a,c}.0", "trunk_output.block*.block*-*.f.se.{fc1,fc2}"],
        &[&CONV],
    ),
    Role::new(&["trunk_output.block*.block*-*.f.b.0"], &[&CONV]).says(&[
        ("stride", Says::Follows(|at| Some(json!([stride(at), stride(at)])))),
        ("padding", Says::Is(&[Literal::Pair(1, 1)])),
        ("groups", Says::Follows(|at| Some(json!(groups(at)?)))),
    ]),
    Role::new(&["trunk_output.block*.block*-*.proj.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| Some(json!([stride(at), stride(at)]))))]),
    Role::new(&["trunk_output.block*.block*-*.f.se"], &[&SQUEEZE_EXCITE]),
    Role::new(&["trunk_output.block*.block*-*.f.se.avgpool"], &[&SQUEEZE]),
    Role::new(&["trunk_output.block*.block*-*.f.se.scale_activation"], &[&SIGMOID]),
    Role::new(&["avgpool"], &[&AVERAGE]),
    Role::new(&["fc"], CLASSIFIER),
    Role::new(&["fc.*"], CLASSIFIER_PARTS),
];
