//! The modules of a timm `Eva` that was saved whole. They say how queries and keys are rotated, which no weight shows.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, IDENTITY, LINEAR, MODULE_LIST};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, CLASSIFIER, CLASSIFIER_PARTS, MLP, NORMS, NOTHING, OF_EVERY_NETWORK, SWIGLU,
};
use super::super::field::Literal;
use super::super::patch_embed::PATCH_EMBED;

const NULL: Says = Says::Is(&[Literal::Null]);

/// Declares the network. Parts that it lacks are None, others are modules or weights. At the size that the positions are for,
/// `dynamic_img_size` changes nothing; `cls_embed` was never read.
const EVA: Class = Class::new(
    &["timm.models.eva.Eva"],
    &[
        (
            "global_pool",
            Says::All(&[
                Says::Fact("global_pool", Read::Text),
                Says::Tells(
                    "averages",
                    &[
                        (Literal::Text("token"), Literal::NO),
                        (Literal::Text("avg"), Literal::YES),
                        (Literal::Text("max"), Literal::YES),
                        (Literal::Text("avgmax"), Literal::YES),
                        (Literal::Text(""), Literal::YES),
                    ],
                ),
            ]),
        ),
        ("rope", Says::Tells("use_rot_pos_emb", &[(Literal::Null, Literal::NO)])),
        ("num_prefix_tokens", Says::Follows(prefix_tokens)),
        ("no_embed_class", Says::Fact("no_embed_class", Read::Flag)),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("pos_embed", NULL),
        ("reg_token", NULL),
        ("attn_pool", NULL),
        ("patch_drop", NULL),
        ("rope_mixed", Says::Is(&[Literal::NO])),
        ("dynamic_img_size", Says::Nothing),
        ("cls_embed", Says::Nothing),
        ("head_init_scale", Says::Nothing),
    ],
);

/// Has None in the place of scales that it lacks.
const BLOCK: Class = Class::new(
    &["timm.models.eva.EvaBlock"],
    &[("gamma_1", NULL), ("gamma_2", NULL), ("init_values", Says::Nothing)],
)
.means("use_post_norm", Literal::NO);

/// Says nothing: `qkv_bias_separate` and `fused_attn` choose between ways to compute the same. The first tokens are not rotated.
const ATTENTION: Class = Class::new(
    &["timm.models.eva.EvaAttention"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("head_dim", Says::Follows(|at| head_dim(at).map(Value::from))),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("num_prefix_tokens", Says::Follows(prefix_tokens)),
        ("rotate_half", Says::Fact("rope_rotate_half", Read::Flag)),
        ("q_proj", NULL),
        ("k_proj", NULL),
        ("v_proj", NULL),
        ("q_bias", NULL),
        ("k_bias", NULL),
        ("v_bias", NULL),
        ("gate", NULL),
        ("qkv_bias_separate", Says::Nothing),
        ("fused_attn", Says::Nothing),
    ],
);

/// Makes the angles of DINOv3. What moves its coordinates does so in training.
const ROPE: Class = Class::new(
    &["timm.layers.pos_embed_sincos.RotaryEmbeddingDinoV3"],
    &[
        (
            "dim",
            Says::Follows(|at| at.modules.attribute("blocks.0.attn", "head_dim")?.as_int().map(Value::from)),
        ),
        ("temperature", Says::Fact("rope_temperature", Read::Real)),
        (
            "normalize_coords",
            Says::Tells("rope_type", &[(Literal::Text("separate"), Literal::Text("dinov3"))]),
        ),
        ("grid_indexing", Says::Fact("rope_grid_indexing", Read::Text)),
        ("grid_offset", Says::Fact("rope_grid_offset", Read::Real)),
        ("rotate_half", Says::Fact("rope_rotate_half", Read::Flag)),
        ("feat_shape", Says::Follows(|at| if_there(at, "feat_shape", json!(grid(at)?)))),
        ("min_period", NULL),
        ("max_period", NULL),
        ("pos_embed_cached", NULL),
        ("shift_coords", Says::Nothing),
        ("jitter_coords", Says::Nothing),
        ("rescale_coords", Says::Nothing),
        ("aug_active", Says::Nothing),
    ],
)
.means("use_rot_pos_emb", Literal::YES);

fn head_dim(at: &At<'_>) -> Option<u64> {
    at.facts.number("embed_dim")?.checked_div(at.number("num_heads")?)
}

/// Counts the tokens before the patches.
fn prefix_tokens(at: &At<'_>) -> Option<Value> {
    let class_token = u64::from(at.facts.flag("class_token")?);
    Some(json!(class_token.saturating_add(at.facts.number("reg_tokens").unwrap_or(0))))
}

/// Returns rows and columns of patches.
fn grid(at: &At<'_>) -> Option<[u64; 2]> {
    at.modules.pair("patch_embed", "grid_size")
}

/// Returns a value, or None where the attribute is None, since nothing is made before it is asked for.
fn if_there(at: &At<'_>, attribute: &str, value: Value) -> Option<Value> {
    Some(if at.value(attribute)?.is_null() { Value::Null } else { value })
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&EVA]).says(OF_EVERY_NETWORK),
    Role::new(&["patch_embed"], &[&PATCH_EMBED]),
    Role::new(&["patch_embed.proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["rope"], &[&ROPE]),
    Role::new(&["blocks"], &[&MODULE_LIST]),
    Role::new(&["blocks.*"], &[&BLOCK]),
    Role::new(&["blocks.*.{norm1,norm2}", "norm", "fc_norm"], NORMS),
    Role::new(&["blocks.*.attn"], &[&ATTENTION]),
    Role::new(&["blocks.*.attn.{qkv,proj}", "blocks.*.mlp.{fc1,fc2,fc1_g,fc1_x}"], &[&LINEAR]),
    Role::new(&["blocks.*.mlp"], &[&MLP, &SWIGLU]),
    Role::new(&["blocks.*.mlp.act"], ACTIVATIONS),
    Role::new(&["head"], CLASSIFIER),
    Role::new(&["head.*"], CLASSIFIER_PARTS),
    Role::new(
        &["patch_embed.norm", "norm_pre", "blocks.*.attn.{q_norm,k_norm,norm}", "blocks.*.mlp.norm"],
        &[&IDENTITY],
    ),
    Role::new(
        &[
            "{pos_drop,head_drop}",
            "blocks.*.attn.{attn_drop,proj_drop}",
            "blocks.*.mlp.{drop,drop1,drop2}",
            "blocks.*.{drop_path1,drop_path2}",
        ],
        NOTHING,
    ),
];
