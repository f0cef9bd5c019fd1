//! The modules of a timm `ConvNeXt` that was saved whole.

use serde_json::json;

use super::super::super::saved_modules::torch::{CONV, FLATTEN, IDENTITY, SEQUENTIAL};
use super::super::super::saved_modules::{Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, HEAD, MLP, MLP_LAYERS, NORMS, NOTHING,
    OF_EVERY_NETWORK, POOL,
};
use super::super::field::Literal;

const CONVNEXT: Class = Class::new(&["timm.models.convnext.ConvNeXt"], &[]);
const STAGE: Class =
    Class::new(&["timm.models.convnext.ConvNeXtStage"], &[("grad_checkpointing", Says::Nothing)]);
const BLOCK: Class = Class::new(
    &["timm.models.convnext.ConvNeXtBlock"],
    &[("use_conv_mlp", Says::Fact("conv_mlp", Read::Flag))],
);

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&CONVNEXT]).says(OF_EVERY_NETWORK),
    Role::new(&["stem", "stages", "stages.*.blocks"], &[&SEQUENTIAL]),
    Role::new(&["stem.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["stem.1", "stages.*.downsample.0", "stages.*.blocks.*.norm", "head.norm"], NORMS),
    Role::new(&["stages.*"], &[&STAGE]),
    Role::new(&["stages.*.downsample"], &[&SEQUENTIAL, &IDENTITY]),
    Role::new(&["stages.*.downsample.1"], &[&CONV]).says(&[("stride", Says::Is(&[Literal::Pair(2, 2)]))]),
    Role::new(&["stages.*.blocks.*"], &[&BLOCK]),
    Role::new(&["stages.*.blocks.*.conv_dw"], &[&CONV]).says(&[
        ("padding", Says::Follows(|at| at.of_stage("kernel_sizes").map(|size| json!([size / 2, size / 2])))),
        ("groups", Says::Follows(|at| at.of_stage("dims").map(Into::into))),
    ]),
    Role::new(&["stages.*.blocks.*.mlp"], &[&MLP]),
    Role::new(&["stages.*.blocks.*.mlp.{fc1,fc2}"], MLP_LAYERS),
    Role::new(&["stages.*.blocks.*.mlp.act"], ACTIVATIONS),
    Role::new(&["head"], &[&HEAD, &SEQUENTIAL]),
    Role::new(&["head.global_pool"], &[&POOL]),
    Role::new(&["head.global_pool.pool"], &[&AVERAGE, &IDENTITY]),
    Role::new(&["head.global_pool.flatten", "head.flatten"], &[&FLATTEN, &IDENTITY]),
    Role::new(&["head.fc"], CLASSIFIER),
    Role::new(&["head.fc.*"], CLASSIFIER_PARTS),
    Role::new(
        &[
            "stages.*.blocks.*.mlp.{norm,drop,drop1,drop2}",
            "stages.*.blocks.*.{shortcut,drop_path}",
            "norm_pre",
            "head.{pre_logits,drop}",
        ],
        NOTHING,
    ),
];
