//! The modules of a timm `VisionTransformerRelPos` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, FIXED_RELU, IDENTITY, LINEAR, MODULE_LIST};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, CLASSIFIER, CLASSIFIER_PARTS, LAYER_SCALE, MLP, NORMS, NOTHING, OF_EVERY_NETWORK,
};
use super::super::field::Literal;
use super::super::patch_embed::PATCH_EMBED;

const NULL: Says = Says::Is(&[Literal::Null]);

/// Declares the network. Parts that it lacks are None.
const RELPOS: Class = Class::new(
    &["timm.models.vision_transformer_relpos.VisionTransformerRelPos"],
    &[
        ("global_pool", Says::Fact("global_pool", Read::Text)),
        ("num_prefix_tokens", PREFIX_TOKENS),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("cls_token", NULL),
        ("shared_rel_pos", NULL),
    ],
);

const BLOCK: Class = Class::new(&["timm.models.vision_transformer_relpos.RelPosBlock"], &[])
    .means("block", Literal::Text("RelPosBlock"));
const POST_BLOCK: Class = Class::new(&["timm.models.vision_transformer_relpos.ResPostRelPosBlock"], &[])
    .means("block", Literal::Text("ResPostRelPosBlock"));

/// Says nothing: `fused_attn` chooses between ways to compute the same. `rel_pos` is None where all blocks share one.
const ATTENTION: Class = Class::new(
    &["timm.models.vision_transformer_relpos.RelPosAttention"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("head_dim", Says::Follows(|at| head_dim(at).map(Value::from))),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("rel_pos", NULL),
        ("fused_attn", Says::Nothing),
    ],
);

/// Makes biases of distances by an MLP. Other modes have a gain, and an activation after it; before timm 0.8 that alone says the mode.
const OF_AN_MLP: Class = Class::new(
    &["timm.layers.pos_embed_rel.RelPosMlp", "timm.models.vision_transformer_relpos.RelPosMlp"],
    &[
        ("mode", Says::Is(&[Literal::Text("cr")])),
        ("bias_gain", NULL),
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("pretrained_window_size", Says::Nothing),
        ("prefix_tokens", PREFIX_TOKENS),
        ("window_size", WINDOW),
        ("window_area", AREA),
        ("bias_shape", SHAPE),
    ],
);

/// Is a learned table.
const TABLE: Class = Class::new(
    &["timm.layers.pos_embed_rel.RelPosBias", "timm.models.vision_transformer_relpos.RelPosBias"],
    &[
        ("prefix_tokens", PREFIX_TOKENS),
        ("window_size", WINDOW),
        ("window_area", AREA),
        ("bias_shape", SHAPE),
    ],
);

const PREFIX_TOKENS: Says = Says::Follows(|at| prefix_tokens(at).map(Value::from));
const WINDOW: Says = Says::Follows(|at| Some(json!(grid(at)?)));
const AREA: Says = Says::Follows(|at| area(at).map(Value::from));
/// Is that of the biases: tokens by tokens by heads. An MLP makes none for the class token, which are added afterwards.
const SHAPE: Says = Says::Follows(|at| {
    let heads = at.modules.attribute("blocks.0.attn", "num_heads")?.as_int()?;
    let is_learned = at.module.class.ends_with("RelPosBias");
    let side = area(at)?.saturating_add(if is_learned { prefix_tokens(at)? } else { 0 });
    Some(json!([side, side, heads]))
});

fn head_dim(at: &At<'_>) -> Option<u64> {
    at.facts.number("embed_dim")?.checked_div(at.number("num_heads")?)
}

fn prefix_tokens(at: &At<'_>) -> Option<u64> {
    at.facts.flag("class_token").map(u64::from)
}

/// Returns rows and columns of patches.
fn grid(at: &At<'_>) -> Option<[u64; 2]> {
    at.modules.pair("patch_embed", "grid_size")
}

fn area(at: &At<'_>) -> Option<u64> {
    grid(at)?.into_iter().try_fold(1_u64, u64::checked_mul)
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&RELPOS]).says(OF_EVERY_NETWORK),
    Role::new(&["patch_embed"], &[&PATCH_EMBED]),
    Role::new(&["patch_embed.proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["shared_rel_pos", "blocks.*.attn.rel_pos"], &[&OF_AN_MLP, &TABLE]),
    Role::new(&["{shared_rel_pos,blocks.*.attn.rel_pos}.mlp"], &[&MLP]),
    Role::new(&["{shared_rel_pos,blocks.*.attn.rel_pos}.mlp.act"], &[&FIXED_RELU]),
    Role::new(&["blocks"], &[&MODULE_LIST]),
    Role::new(&["blocks.*"], &[&BLOCK, &POST_BLOCK]),
    Role::new(&["blocks.*.{norm1,norm2}", "norm", "fc_norm"], NORMS),
    Role::new(&["blocks.*.attn"], &[&ATTENTION]),
    Role::new(
        &[
            "shared_rel_pos.mlp.{fc1,fc2}",
            "blocks.*.attn.rel_pos.mlp.{fc1,fc2}",
            "blocks.*.attn.{qkv,proj}",
            "blocks.*.mlp.{fc1,fc2}",
        ],
        &[&LINEAR],
    ),
    Role::new(&["blocks.*.mlp"], &[&MLP]),
    Role::new(&["blocks.*.mlp.act"], ACTIVATIONS),
    Role::new(&["blocks.*.{ls1,ls2}"], &[&LAYER_SCALE, &IDENTITY]),
    Role::new(&["head"], CLASSIFIER),
    Role::new(&["head.*"], CLASSIFIER_PARTS),
    Role::new(
        &[
            "patch_embed.norm",
            "blocks.*.attn.{q_norm,k_norm}",
            "blocks.*.mlp.norm",
            "{shared_rel_pos,blocks.*.attn.rel_pos}.bias_act",
            "{shared_rel_pos,blocks.*.attn.rel_pos}.mlp.norm",
        ],
        &[&IDENTITY],
    ),
    Role::new(
        &[
            "{pos_drop,head_drop}",
            "blocks.*.attn.{attn_drop,proj_drop}",
            "blocks.*.mlp.{drop,drop1,drop2}",
            "blocks.*.{drop_path,drop_path1,drop_path2}",
            "{shared_rel_pos,blocks.*.attn.rel_pos}.mlp.{drop1,drop2}",
        ],
        NOTHING,
    ),
];
