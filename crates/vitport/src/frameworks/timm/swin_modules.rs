//! The modules that both Swins of timm have in the same places when they were saved whole.

use serde_json::{Value, json};

use super::super::saved_modules::torch::{CONV, IDENTITY, LINEAR, MODULE_LIST, SEQUENTIAL, SOFTMAX};
use super::super::saved_modules::{At, Class, Role, Says};
use super::classes::{
    CLASSIFIER_PARTS, FAST_AVERAGE, MLP, NORMS, NOTHING, POOL, POOLED_HEAD, SEQUENCE_AVERAGE,
};
use super::field::Literal;
use super::patch_embed::PATCH_EMBED;

const MERGING: Class = Class::new(
    &["timm.models.swin_transformer.PatchMerging", "timm.models.swin_transformer_v2.PatchMerging"],
    &[("dim", Says::Nothing), ("out_dim", Says::Nothing), ("input_resolution", RESOLUTION)],
);

/// Is a classifier alone, after `avgpool`, before timm 0.9.
const HEAD: &[&Class] = &[&POOLED_HEAD, &LINEAR, &IDENTITY];

/// Counts the heads of a stage.
pub(super) const HEADS: Says = Says::Follows(|at| at.of_stage("heads").map(Value::from));
/// Counts the tokens along the edges of a stage's map.
pub(super) const RESOLUTION: Says = Says::Follows(|at| Some(json!(resolution(at)?)));

/// Returns rows and columns of tokens in a stage.
pub(super) fn resolution(at: &At<'_>) -> Option<[u64; 2]> {
    let stage = u32::try_from(*at.numbers.first()?).ok()?;
    let merged = 2_u64.checked_pow(stage)?;
    let [rows, columns] = at.modules.pair("patch_embed", "grid_size")?;
    Some([rows.checked_div(merged)?, columns.checked_div(merged)?])
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&["patch_embed"], &[&PATCH_EMBED]),
    Role::new(&["patch_embed.proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(
        &["patch_embed.norm", "layers.*.blocks.*.{norm1,norm2}", "layers.*.downsample.norm", "norm"],
        NORMS,
    ),
    Role::new(&["layers", "layers.*.blocks"], &[&SEQUENTIAL, &MODULE_LIST]),
    Role::new(&["layers.*.downsample"], &[&MERGING, &IDENTITY]),
    Role::new(&["layers.*.blocks.*.attn.softmax"], &[&SOFTMAX]),
    Role::new(
        &[
            "layers.*.downsample.reduction",
            "layers.*.blocks.*.attn.{qkv,proj}",
            "layers.*.blocks.*.mlp.{fc1,fc2}",
        ],
        &[&LINEAR],
    ),
    Role::new(&["layers.*.blocks.*.mlp"], &[&MLP]),
    Role::new(&["avgpool"], &[&SEQUENCE_AVERAGE]),
    Role::new(&["head"], HEAD).says(&[("input_fmt", Says::Is(&[Literal::Text("NHWC")]))]),
    Role::new(&["head.global_pool"], &[&POOL]),
    Role::new(&["head.global_pool.pool"], &[&FAST_AVERAGE]),
    Role::new(&["head.fc"], CLASSIFIER_PARTS),
    Role::new(&["head.global_pool.flatten", "head.flatten"], &[&IDENTITY]),
    Role::new(
        &[
            "pos_drop",
            "head.drop",
            "layers.*.blocks.*.attn.{attn_drop,proj_drop}",
            "layers.*.blocks.*.mlp.{norm,drop,drop1,drop2}",
            "layers.*.blocks.*.{drop_path,drop_path1,drop_path2}",
        ],
        NOTHING,
    ),
];
