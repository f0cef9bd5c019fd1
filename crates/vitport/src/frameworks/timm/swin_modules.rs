//! The modules that both Swins have in the same places when they were saved whole, of timm's classes and of torchvision's.

use serde_json::{Value, json};

use super::super::saved_modules::torch::{
    CONV, DROPOUT, FLATTEN, IDENTITY, LINEAR, MODULE_LIST, SEQUENTIAL, SOFTMAX,
};
use super::super::saved_modules::torchvision_classes::{MLP as TORCHVISION_MLP, PERMUTE, STOCHASTIC_DEPTH};
use super::super::saved_modules::{At, Class, Role, Says};
use super::classes::{
    AVERAGE, CLASSIFIER, CLASSIFIER_PARTS, FAST_AVERAGE, MLP, NORMS, NOTHING, POOL, POOLED_HEAD,
    SEQUENCE_AVERAGE,
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

const TORCHVISION_SWIN: Class =
    Class::new(&["torchvision.models.swin_transformer.SwinTransformer"], &[("num_classes", Says::Nothing)])
        .means("always_partition", Literal::NO);

/// Says what the attributes of torchvision's attention are, which shifts by half a window in every other block, unless one window is as
/// large as the image.
pub(super) const TORCHVISION_ATTENTION: &[(&str, Says)] = &[
    ("window_size", Says::Follows(|at| Some(json!([window(at)?, window(at)?])))),
    ("shift_size", Says::Follows(|at| Some(json!([shift(at)?, shift(at)?])))),
    ("num_heads", Says::Follows(heads)),
    ("attention_dropout", Says::Nothing),
    ("dropout", Says::Nothing),
];

fn window(at: &At<'_>) -> Option<u64> {
    at.facts.number("window_size")
}

fn shift(at: &At<'_>) -> Option<u64> {
    let is_shifted = !at.numbers.get(1)?.is_multiple_of(2);
    Some(if is_shifted { window(at)? / 2 } else { 0 })
}

/// Returns the heads of the stage.
fn heads(at: &At<'_>) -> Option<Value> {
    let stage = usize::try_from(at.numbers.first()?.checked_sub(1)? / 2).ok()?;
    at.facts.numbers("heads")?.get(stage).copied().map(Value::from)
}

/// Lists those of torchvision's, under its names. What are timm's stages are the entries 1, 3, 5 and 7 of `features`.
pub(super) const OF_TORCHVISION: &[Role] = &[
    Role::new(&[""], &[&TORCHVISION_SWIN]),
    Role::new(&["features", "features.{0,1,3,5,7}"], &[&SEQUENTIAL]),
    Role::new(&["features.0.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["features.0.1"], &[&PERMUTE]).says(&[("dims", Says::Follows(|_| Some(json!([0, 2, 3, 1]))))]),
    Role::new(&["permute"], &[&PERMUTE]).says(&[("dims", Says::Follows(|_| Some(json!([0, 3, 1, 2]))))]),
    Role::new(&["features.0.2", "features.{2,4,6}.norm", "features.*.*.{norm1,norm2}", "norm"], NORMS),
    Role::new(
        &["features.{2,4,6}.reduction", "features.*.*.attn.{qkv,proj}", "features.*.*.mlp.{0,3}"],
        &[&LINEAR],
    ),
    Role::new(&["features.*.*.mlp"], &[&TORCHVISION_MLP]),
    Role::new(&["features.*.*.mlp.{2,4}"], &[&DROPOUT]),
    Role::new(&["features.*.*.stochastic_depth"], &[&STOCHASTIC_DEPTH]),
    Role::new(&["avgpool"], &[&AVERAGE]),
    Role::new(&["flatten"], &[&FLATTEN]),
    Role::new(&["head"], CLASSIFIER),
];
