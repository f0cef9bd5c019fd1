//! The modules of a timm `Beit` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, IDENTITY, LINEAR, MODULE_LIST};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, CLASSIFIER, CLASSIFIER_PARTS, MLP, NORMS, NOTHING, OF_EVERY_NETWORK,
};
use super::super::field::Literal;
use super::super::patch_embed::PATCH_EMBED;

const NULL: Says = Says::Is(&[Literal::Null]);

/// Before timm 0.6 it has no `global_pool`, and takes the mean where it has a norm for it (`fc_norm`), which is None elsewhere.
const BEIT: Class = Class::new(
    &["timm.models.beit.Beit"],
    &[
        ("global_pool", Says::Fact("global_pool", Read::Text)),
        ("fc_norm", Says::Tells("global_pool", &[(Literal::Null, Literal::Text("token"))])),
        ("num_prefix_tokens", Says::Is(&[Literal::Number(1)])),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("pos_embed", NULL),
        ("rel_pos_bias", NULL),
        ("use_rel_pos_bias", Says::Nothing),
        ("head_init_scale", Says::Nothing),
    ],
)
.means("global_pool", Literal::Text("avg"));

/// Has None in the place of weights that it lacks.
const BLOCK: Class = Class::new(
    &["timm.models.beit.Block"],
    &[("gamma_1", NULL), ("gamma_2", NULL), ("init_values", Says::Nothing)],
);

/// Says nothing: `qkv_bias_separate` and `fused_attn` choose between ways to compute the same.
const ATTENTION: Class = Class::new(
    &["timm.models.beit.Attention"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("window_size", Says::Follows(|at| if_there(at, "window_size", json!(grid(at)?)))),
        ("num_relative_distance", Says::Follows(|at| Some(json!(distances(grid(at)?)?)))),
        ("relative_position_bias_table", NULL),
        ("relative_position_index", NULL),
        ("q_bias", NULL),
        ("k_bias", NULL),
        ("v_bias", NULL),
        ("qkv_bias_separate", Says::Nothing),
        ("fused_attn", Says::Nothing),
    ],
);

/// Is the table that all blocks share.
const SHARED_TABLE: Class = Class::new(
    &["timm.models.beit.RelativePositionBias"],
    &[
        ("window_size", Says::Follows(|at| Some(json!(grid(at)?)))),
        (
            "window_area",
            Says::Follows(|at| grid(at)?.into_iter().try_fold(1_u64, u64::checked_mul).map(Value::from)),
        ),
    ],
);

fn head_dim(at: &At<'_>) -> Option<u64> {
    at.facts.number("embed_dim")?.checked_div(at.number("num_heads")?)
}

/// Returns rows and columns of patches.
fn grid(at: &At<'_>) -> Option<[u64; 2]> {
    at.modules.pair("patch_embed", "grid_size")
}

/// Returns how many distances there are between patches, with three that the class token has.
fn distances(grid: [u64; 2]) -> Option<u64> {
    let [rows, columns] = grid.map(|side| side.checked_mul(2)?.checked_sub(1));
    rows?.checked_mul(columns?)?.checked_add(3)
}

/// Returns a value, or None where the attribute is None, since the part is not there.
fn if_there(at: &At<'_>, attribute: &str, value: Value) -> Option<Value> {
    Some(if at.value(attribute)?.is_null() { Value::Null } else { value })
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&BEIT]).says(OF_EVERY_NETWORK),
    Role::new(&["patch_embed"], &[&PATCH_EMBED]),
    Role::new(&["patch_embed.proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["rel_pos_bias"], &[&SHARED_TABLE]),
    Role::new(&["blocks"], &[&MODULE_LIST]),
    Role::new(&["blocks.*"], &[&BLOCK]),
    Role::new(&["blocks.*.{norm1,norm2}", "norm", "fc_norm"], NORMS),
    Role::new(&["blocks.*.attn"], &[&ATTENTION]),
    Role::new(&["blocks.*.attn.{qkv,proj}", "blocks.*.mlp.{fc1,fc2}"], &[&LINEAR]),
    Role::new(&["blocks.*.mlp"], &[&MLP]),
    Role::new(&["blocks.*.mlp.act"], ACTIVATIONS),
    Role::new(&["head"], CLASSIFIER),
    Role::new(&["head.*"], CLASSIFIER_PARTS),
    Role::new(&["patch_embed.norm"], &[&IDENTITY]),
    Role::new(
        &[
            "{pos_drop,head_drop}",
            "blocks.*.attn.{attn_drop,proj_drop}",
            "blocks.*.mlp.{norm,drop,drop1,drop2}",
            "blocks.*.{drop_path,drop_path1,drop_path2}",
        ],
        NOTHING,
    ),
];
