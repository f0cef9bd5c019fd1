//! The modules of a timm `RegNet` that was saved whole.

use serde_json::json;

use super::super::super::saved_modules::torch::{BATCH_NORM, CONV, FLATTEN, IDENTITY, SEQUENTIAL, SIGMOID};
use super::super::super::saved_modules::{At, Class, Role, Says};
use super::super::classes::{
    ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, CONV_NORM, NOTHING, OF_EVERY_NETWORK, POOL,
    POOLED_HEAD, SQUEEZE_EXCITE, TIMM_BATCH_NORM, TIMM_SIGMOID,
};
use super::super::field::Literal;

/// Has an activation at the end of each block, which stands in the table.
const REGNET: Class = Class::new(&["timm.models.regnet.RegNet"], &[]).means("linear_out", Literal::NO);
const STAGE: Class = Class::new(&["timm.models.regnet.RegStage"], &[("grad_checkpointing", Says::Nothing)]);
/// Lists the parts that are None before timm 0.8 where a block lacks them.
const WITHOUT: &[(&str, Says)] = &[
    ("se", Says::Is(&[Literal::Null])),
    ("downsample", Says::Is(&[Literal::Null])),
    ("drop_path", Says::Is(&[Literal::Null])),
];
/// Declares a block. Each stage has a stride of 2.
const BLOCK: Class =
    Class::new(&["timm.models.regnet.Bottleneck"], WITHOUT).means("output_stride", Literal::Number(32));
const NORMS: &[&Class] = &[&TIMM_BATCH_NORM, &BATCH_NORM];

/// Returns the stride of a block, 2 in the first of each stage.
fn stride(at: &At<'_>) -> u64 {
    if at.numbers.get(1) == Some(&1) { 2 } else { 1 }
}

/// Returns the groups of the stage's 3×3 convolutions. Stages are counted from 1, after the stem.
pub(super) fn groups(at: &At<'_>) -> Option<u64> {
    let (channels, size) = (at.of_stage("num_chs")?, at.facts.number("group_size")?);
    channels.checked_div(size.min(channels))
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&REGNET]).says(OF_EVERY_NETWORK),
    Role::new(&["stem", "s*.b*.{conv1,conv2,conv3}"], &[&CONV_NORM]),
    Role::new(&["s*.b*.downsample"], &[&CONV_NORM, &IDENTITY]),
    Role::new(&["stem.conv"], &[&CONV])
        .says(&[("stride", Says::Is(&[Literal::Pair(2, 2)])), ("padding", Says::Is(&[Literal::Pair(1, 1)]))]),
    Role::new(&["stem.bn", "s*.b*.{conv1,conv2,conv3,downsample}.bn"], NORMS),
    Role::new(&["stem.bn.act", "s*.b*.{conv1,conv2}.bn.act", "s*.b*.act3", "s*.b*.se.act"], ACTIVATIONS),
    Role::new(&["s*"], &[&STAGE, &SEQUENTIAL]),
    Role::new(&["s*.b*"], &[&BLOCK]),
    Role::new(&["s*.b*.{conv1,conv3}.conv", "s*.b*.se.{fc1,fc2}"], &[&CONV]),
    Role::new(&["s*.b*.conv2.conv"], &[&CONV]).says(&[
        ("stride", Says::Follows(|at| Some(json!([stride(at), stride(at)])))),
        ("padding", Says::Is(&[Literal::Pair(1, 1)])),
        ("groups", Says::Follows(|at| Some(json!(groups(at)?)))),
    ]),
    Role::new(&["s*.b*.downsample.conv"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| Some(json!([stride(at), stride(at)]))))]),
    Role::new(&["s*.b*.se"], &[&SQUEEZE_EXCITE, &IDENTITY]),
    Role::new(&["s*.b*.se.gate"], &[&TIMM_SIGMOID, &SIGMOID]),
    Role::new(&["head"], &[&POOLED_HEAD]),
    Role::new(&["head.global_pool"], &[&POOL]),
    Role::new(&["head.global_pool.pool"], &[&AVERAGE, &IDENTITY]),
    Role::new(&["head.global_pool.flatten", "head.flatten"], &[&FLATTEN, &IDENTITY]),
    Role::new(&["head.fc"], CLASSIFIER),
    Role::new(&["head.fc.*"], CLASSIFIER_PARTS),
    Role::new(&["s*.b*.{conv3,downsample}.bn.act", "s*.b*.se.bn", "final_conv"], &[&IDENTITY]),
    Role::new(
        &["stem.bn.drop", "s*.b*.{conv1,conv2,conv3,downsample}.bn.drop", "s*.b*.drop_path", "head.drop"],
        NOTHING,
    ),
];
