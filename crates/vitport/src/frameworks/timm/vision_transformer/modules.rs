//! The modules of a timm `VisionTransformer` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, IDENTITY, LAYER_NORM, LINEAR, SEQUENTIAL};
use super::super::super::saved_modules::{At, Call, Class, Given, Read, Role, Says};
use super::super::classes::{
    ACTIVATIONS, CLASSIFIER, CLASSIFIER_PARTS, LAYER_SCALE, MLP, NOTHING, OF_EVERY_NETWORK, SWIGLU,
    TIMM_LAYER_NORM, TIMM_NORM,
};
use super::super::field::Literal;
use super::super::patch_embed::PATCH_EMBED;

const NULL: Says = Says::Is(&[Literal::Null]);

/// Declares the network. Versions before 0.6 have `num_tokens` and always read the class token. Tokens and heads that are None are attributes; others are
/// weights. At the size that the positions are for, `dynamic_img_size` changes nothing, and in evaluation `distilled_training`.
const VISION_TRANSFORMER: Class = Class::new(
    &["timm.models.vision_transformer.VisionTransformer", "timm.models.deit.VisionTransformerDistilled"],
    &[
        ("global_pool", Says::Fact("global_pool", Read::Text)),
        ("num_tokens", Says::Tells("global_pool", &[(Literal::Number(1), Literal::Text("token"))])),
        ("num_prefix_tokens", Says::Follows(|at| Some(json!(prefix_tokens(at))))),
        ("num_reg_tokens", Says::Follows(|at| Some(json!(at.facts.number("reg_tokens").unwrap_or(0))))),
        ("has_class_token", Says::Fact("class_token", Read::Flag)),
        ("no_embed_class", Says::Fact("no_embed_class", Read::Flag)),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("cls_token", NULL),
        ("reg_token", NULL),
        ("dist_token", NULL),
        ("head_dist", NULL),
        ("attn_pool", NULL),
        ("pool_include_prefix", Says::Fact("pool_include_prefix", Read::Flag)),
        ("dynamic_img_size", Says::Nothing),
        ("distilled_training", Says::Nothing),
    ],
)
.calls(&[
    Call::new("select", "global_pool", Given::Itself(Literal::Text("token"))),
    Call::new("mean", "global_pool", Given::Itself(Literal::Text("avg"))),
    Call::new("amax", "global_pool", Given::Itself(Literal::Text("max"))),
]);

/// Counts the tokens before the patches.
fn prefix_tokens(at: &At<'_>) -> u64 {
    let single = ["class_token", "dist_token"].into_iter().filter(|token| at.facts.flag(token) == Some(true));
    (single.count() as u64).saturating_add(at.facts.number("reg_tokens").unwrap_or(0))
}

/// Says nothing: `fused_attn` (`fast_attn` in 0.8) chooses between two ways to compute the same.
const ATTENTION: Class = Class::new(
    &["timm.layers.attention.Attention", "timm.models.vision_transformer.Attention"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("head_dim", Says::Follows(|at| head_dim(at).map(Value::from))),
        ("attn_dim", Says::Follows(|at| at.facts.value("embed_dim").cloned())),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("gate", NULL),
        ("fused_attn", Says::Nothing),
        ("fast_attn", Says::Nothing),
    ],
)
.calls(&[
    Call::new("reshape", "num_heads", Given::Entry(1, 5, 3)),
    Call::new("scaled_dot_product_attention", "scale", Given::Named("scale")),
]);

/// Reads all tokens with one latent. Its sizes are those of its weights.
const ATTENTION_POOL: Class = Class::new(
    &["timm.layers.attention_pool.AttentionPoolLatent"],
    &[
        ("num_heads", Says::Fact("num_heads", Read::Number)),
        ("head_dim", Says::Follows(|at| head_dim(at).map(Value::from))),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("latent_len", Says::Is(&[Literal::Number(1)])),
        ("pool", Says::Is(&[Literal::Text("token")])),
        ("pos_embed", NULL),
        ("feat_size", Says::Nothing),
        ("latent_dim", Says::Nothing),
        ("out_features", Says::Nothing),
        ("fused_attn", Says::Nothing),
    ],
);

/// Has the gate in the first half of its first layer.
const GATED_MLP: Class = Class::new(
    &["timm.layers.mlp.GluMlp", "timm.models.layers.mlp.GluMlp"],
    &[("chunk_dim", Says::Follows(|_| Some(json!(-1)))), ("gate_last", Says::Is(&[Literal::NO]))],
);

/// Is a norm without a mean. Its weights show that.
const RMS_NORM: Class =
    Class::new(&["timm.layers.norm.RmsNorm", "timm.models.layers.norm.RmsNorm"], TIMM_NORM);

/// Lists the norms, or nothing in the place of one.
const NORMS: &[&Class] = &[&LAYER_NORM, &TIMM_LAYER_NORM, &RMS_NORM, &IDENTITY];

fn head_dim(at: &At<'_>) -> Option<u64> {
    at.facts.number("embed_dim")?.checked_div(at.number("num_heads")?)
}

const BLOCK: Class =
    Class::new(&["timm.models.vision_transformer.Block"], &[]).means("block", Literal::Text("Block"));
const RES_POST_BLOCK: Class = Class::new(&["timm.models.vision_transformer.ResPostBlock"], &[])
    .means("block", Literal::Text("ResPostBlock"));

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&VISION_TRANSFORMER]).says(OF_EVERY_NETWORK),
    Role::new(&["patch_embed"], &[&PATCH_EMBED]),
    Role::new(&["patch_embed.proj"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["blocks"], &[&SEQUENTIAL]),
    Role::new(&["blocks.*"], &[&BLOCK, &RES_POST_BLOCK]),
    Role::new(
        &["norm_pre", "blocks.*.{norm1,norm2}", "norm", "fc_norm", "patch_embed.norm", "attn_pool.norm"],
        NORMS,
    ),
    Role::new(&["blocks.*.attn"], &[&ATTENTION]),
    Role::new(
        &["blocks.*.attn.{qkv,proj}", "blocks.*.mlp.{fc1,fc2,fc1_g,fc1_x}", "attn_pool.{q,kv,proj}"],
        &[&LINEAR],
    ),
    Role::new(&["attn_pool.mlp.{fc1,fc2}"], &[&LINEAR]),
    Role::new(&["attn_pool"], &[&ATTENTION_POOL, &IDENTITY]),
    Role::new(&["blocks.*.mlp"], &[&MLP, &GATED_MLP, &SWIGLU]),
    Role::new(&["attn_pool.mlp"], &[&MLP]),
    Role::new(&["blocks.*.mlp.act", "attn_pool.mlp.act"], ACTIVATIONS),
    Role::new(&["blocks.*.{ls1,ls2}"], &[&LAYER_SCALE, &IDENTITY]),
    Role::new(&["head", "head_dist"], CLASSIFIER),
    Role::new(&["head.*"], CLASSIFIER_PARTS),
    Role::new(
        &[
            "{pos_drop,patch_drop,pre_logits,head_drop}",
            "attn_pool.{q_norm,k_norm,proj_drop}",
            "attn_pool.mlp.{norm,drop1,drop2}",
            "blocks.*.attn.{q_norm,k_norm,norm,attn_drop,proj_drop}",
            "blocks.*.mlp.{norm,drop,drop1,drop2}",
            "blocks.*.{drop_path,drop_path1,drop_path2}",
        ],
        NOTHING,
    ),
];
