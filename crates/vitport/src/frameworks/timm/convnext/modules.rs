//! The modules of a timm `ConvNeXt` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, FLATTEN, IDENTITY, SEQUENTIAL};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, HEAD, MLP, MLP_LAYERS, NORMS, NOTHING,
    OF_EVERY_NETWORK, POOL,
};
use super::super::field::Literal;
use super::GRN_EPS;

const CONVNEXT: Class = Class::new(&["timm.models.convnext.ConvNeXt"], &[]);
const STAGE: Class =
    Class::new(&["timm.models.convnext.ConvNeXtStage"], &[("grad_checkpointing", Says::Nothing)]);
const BLOCK: Class = Class::new(
    &["timm.models.convnext.ConvNeXtBlock"],
    &[("use_conv_mlp", Says::Fact("conv_mlp", Read::Flag)), ("gamma", Says::Is(&[Literal::Null]))],
);

/// Normalises channels by their response over all positions. Which axes these are follows from how the MLP's layers are saved.
const RESPONSE_NORM: Class = Class::new(
    &["timm.layers.grn.GlobalResponseNorm"],
    &[
        ("eps", Says::Is(&[Literal::Real(GRN_EPS)])),
        ("spatial_dim", Says::Follows(|at| axes(at, json!([2, 3]), json!([1, 2])))),
        ("channel_dim", Says::Follows(|at| axes(at, json!(1), json!(-1)))),
        ("wb_shape", Says::Follows(|at| axes(at, json!([1, -1, 1, 1]), json!([1, 1, 1, -1])))),
    ],
);
const RESPONSE_MLP: Class = Class::new(&["timm.layers.mlp.GlobalResponseNormMlp"], &[]);

/// Returns what holds for maps with channels first, or with channels last, whichever the MLPs read.
fn axes(at: &At<'_>, first: Value, last: Value) -> Option<Value> {
    Some(if at.facts.flag("conv_mlp")? { first } else { last })
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&CONVNEXT]).says(OF_EVERY_NETWORK),
    Role::new(&["stem", "stages", "stages.*.blocks"], &[&SEQUENTIAL]),
    Role::new(&["stem.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["stem.1", "stages.*.downsample.0", "stages.*.blocks.*.norm", "head.norm"], NORMS),
    Role::new(&["stages.*"], &[&STAGE]),
    Role::new(&["stages.*.downsample"], &[&SEQUENTIAL, &IDENTITY]),
    Role::new(&["stages.*.downsample.1"], &[&CONV])
        .says(&[("stride", Says::Tells("output_stride", &[(Literal::Pair(2, 2), Literal::Number(32))]))]),
    Role::new(&["stages.*.blocks.*"], &[&BLOCK]),
    Role::new(&["stages.*.blocks.*.conv_dw"], &[&CONV]).says(&[
        ("padding", Says::Follows(|at| at.of_stage("kernel_sizes").map(|size| json!([size / 2, size / 2])))),
        ("groups", Says::Follows(|at| at.of_stage("dims").map(Into::into))),
    ]),
    Role::new(&["stages.*.blocks.*.mlp"], &[&MLP, &RESPONSE_MLP]),
    Role::new(&["stages.*.blocks.*.mlp.grn"], &[&RESPONSE_NORM, &IDENTITY]),
    Role::new(&["stages.*.blocks.*.mlp.{fc1,fc2}"], MLP_LAYERS),
    Role::new(&["stages.*.blocks.*.mlp.act"], ACTIVATIONS),
    Role::new(&["head"], &[&HEAD, &SEQUENTIAL]),
    Role::new(&["head.global_pool"], &[&POOL]),
    Role::new(&["head.global_pool.pool"], &[&AVERAGE, &IDENTITY]),
    Role::new(&["head.global_pool.flatten"], &[&FLATTEN, &IDENTITY]),
    Role::new(&["head.flatten"], &[&FLATTEN]),
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
