//! The modules of a CvT that was saved whole (lib/models/cls_cvt.py). Scripts run from different folders, so a class may be in
//! `models.cls_cvt`, `lib.models.cls_cvt` or `__main__`; it is known by its name.

use serde_json::{Value, json};

use super::super::literal::Literal;
use super::super::saved_modules::torch::{
    BATCH_NORM, CONV, DROPOUT, GELU, IDENTITY, LINEAR, MODULE_LIST, NORM_CALLS, QUICK_GELU, SEQUENTIAL,
};
use super::super::saved_modules::{At, Class, Read, Role, Says};

/// Says nothing: whether a class token joins is what the weights of the stage show.
const CLASS_TOKEN: (&str, Says) = ("with_cls_token", Says::Follows(class_token));

fn class_token(at: &At<'_>) -> Option<Value> {
    let stage = usize::try_from(*at.numbers.first()?).ok()?;
    at.facts.value("cls_token")?.as_array()?.get(stage).cloned()
}

const CVT: Class = Class::new(
    &["*.ConvolutionalVisionTransformer"],
    &[
        ("num_classes", Says::Nothing),
        ("num_stages", Says::Follows(|at| Some(json!(at.facts.numbers("embed_dim")?.len())))),
        ("cls_token", Says::Follows(|at| at.facts.value("cls_token")?.as_array()?.last().cloned())),
    ],
);
/// Has a misspelt attribute, which is never used.
const STAGE: Class = Class::new(
    &["*.VisionTransformer"],
    &[
        ("num_features", Says::Nothing),
        ("embed_dim", Says::Nothing),
        ("rearrage", Says::Nothing),
        ("cls_token", Says::Is(&[Literal::Null])),
    ],
);
const EMBEDDING: Class = Class::new(&["*.ConvEmbed"], &[("patch_size", Says::Nothing)]);
const BLOCK: Class = Class::new(&["*.Block"], &[CLASS_TOKEN]);
/// Declares an attention. Strides are those of the convolutions; here they only count operations.
const ATTENTION: Class = Class::new(
    &["*.Attention"],
    &[
        ("num_heads", Says::Each("num_heads", Read::Number)),
        ("scale", Says::Follows(|at| Some(json!((at.of_stage("embed_dim")? as f64).powf(-0.5))))),
        CLASS_TOKEN,
        ("dim", Says::Nothing),
        ("stride_q", Says::Nothing),
        ("stride_kv", Says::Nothing),
    ],
);
const MLP: Class = Class::new(&["*.Mlp"], &[]);
/// Is the epsilon that the definition computes with.
const LAYER_NORM_EPS: Literal = Literal::Real(super::cvt::LAYER_NORM_EPS);

/// Stands for Microsoft's class, or PyTorch's.
const LAYER_NORM: Class = Class::new(
    &["*.LayerNorm"],
    &[
        ("normalized_shape", Says::Nothing),
        ("eps", Says::Tells("norm_eps", &[(LAYER_NORM_EPS, LAYER_NORM_EPS)])),
        ("elementwise_affine", Says::Is(&[Literal::YES])),
    ],
)
.calls(NORM_CALLS);
/// Has one axis of tokens in place of height and width.
const REARRANGE: Class = Class::new(
    &["*.Rearrange"],
    &[
        ("pattern", Says::Is(&[Literal::Text("b c h w -> b (h w) c")])),
        ("axes_lengths", Says::Follows(|_| Some(json!({})))),
    ],
);
const DROP_PATH: Class =
    Class::new(&["*.DropPath"], &[("drop_prob", Says::Nothing), ("scale_by_keep", Says::Nothing)]);

const DEPTHWISE: (&str, Says) = ("groups", Says::Follows(|at| at.of_stage("embed_dim").map(Value::from)));

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&CVT]),
    Role::new(&["stage*"], &[&STAGE]),
    Role::new(&["stage*.patch_embed"], &[&EMBEDDING]),
    Role::new(&["stage*.patch_embed.proj"], &[&CONV]).says(&[
        ("stride", Says::Each("patch_stride", Read::Edge)),
        ("padding", Says::Each("patch_padding", Read::Edge)),
    ]),
    Role::new(&["stage*.patch_embed.norm", "stage*.blocks.*.{norm1,norm2}", "norm"], &[&LAYER_NORM]),
    Role::new(&["stage*.blocks"], &[&MODULE_LIST]),
    Role::new(&["stage*.blocks.*"], &[&BLOCK]),
    Role::new(&["stage*.blocks.*.attn"], &[&ATTENTION]),
    Role::new(&["stage*.blocks.*.attn.{conv_proj_q,conv_proj_k,conv_proj_v}"], &[&SEQUENTIAL]),
    Role::new(&["stage*.blocks.*.attn.conv_proj_q.conv"], &[&CONV]).says(&[
        ("stride", Says::Each("stride_q", Read::Edge)),
        ("padding", Says::Each("padding_q", Read::Edge)),
        DEPTHWISE,
    ]),
    Role::new(&["stage*.blocks.*.attn.{conv_proj_k,conv_proj_v}.conv"], &[&CONV]).says(&[
        ("stride", Says::Each("stride_kv", Read::Edge)),
        ("padding", Says::Each("padding_kv", Read::Edge)),
        DEPTHWISE,
    ]),
    Role::new(&["stage*.blocks.*.attn.{conv_proj_q,conv_proj_k,conv_proj_v}.bn"], &[&BATCH_NORM]),
    Role::new(&["stage*.blocks.*.attn.{conv_proj_q,conv_proj_k,conv_proj_v}.rearrage"], &[&REARRANGE]),
    Role::new(
        &["stage*.blocks.*.attn.{proj_q,proj_k,proj_v,proj}", "stage*.blocks.*.mlp.{fc1,fc2}"],
        &[&LINEAR],
    ),
    Role::new(&["stage*.blocks.*.mlp"], &[&MLP]),
    Role::new(&["stage*.blocks.*.mlp.act"], &[&GELU, &QUICK_GELU]),
    Role::new(&["head"], &[&LINEAR, &IDENTITY]),
    Role::new(
        &["stage*.pos_drop", "stage*.blocks.*.{attn.attn_drop,attn.proj_drop,drop_path,mlp.drop}"],
        &[&IDENTITY, &DROPOUT, &DROP_PATH],
    ),
];
