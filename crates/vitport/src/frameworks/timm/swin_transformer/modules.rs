//! The modules of a timm `SwinTransformer` that was saved whole.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::EXACT_GELU;
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::OF_EVERY_NETWORK;
use super::super::field::Literal;
use super::super::swin_modules::{HEADS, RESOLUTION, resolution};

const NULL: Says = Says::Is(&[Literal::Null]);

/// Shifts no window that spans the image, unless a block says otherwise (`always_partition`). Before timm 0.9 it can have position embeddings (`ape`). At the size that the windows are for, `dynamic_img_size` changes nothing;
/// `_ref_window_sizes` and `_ref_grid_size` are for those who change that size.
const SWIN: Class = Class::new(
    &["timm.models.swin_transformer.SwinTransformer"],
    &[
        ("global_pool", Says::Fact("global_pool", Read::Text)),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("output_fmt", Says::Is(&[Literal::Text("NHWC")])),
        ("ape", Says::Is(&[Literal::NO])),
        ("absolute_pos_embed", NULL),
        ("patch_norm", Says::Is(&[Literal::YES])),
        ("patch_grid", Says::Nothing),
        ("num_layers", Says::Nothing),
        ("mlp_ratio", Says::Nothing),
        ("dynamic_img_size", Says::Nothing),
        ("_ref_window_sizes", Says::Nothing),
        ("_ref_grid_size", Says::Nothing),
    ],
)
.means("always_partition", Literal::NO);

/// Has nothing that its blocks do not have.
const STAGE: Class = Class::new(
    &["timm.models.swin_transformer.SwinTransformerStage", "timm.models.swin_transformer.BasicLayer"],
    &[
        ("dim", Says::Nothing),
        ("depth", Says::Nothing),
        ("input_resolution", Says::Nothing),
        ("output_resolution", Says::Nothing),
        ("downsample", NULL),
        ("grad_checkpointing", Says::Nothing),
        ("use_checkpoint", Says::Nothing),
    ],
);

/// Has windows and shifts as one number before timm 0.9, as two since. `dynamic_mask` chooses when the same mask is made, and
/// `target_shift_size` is read where the size is set, which leaves it as it was.
const BLOCK: Class = Class::new(
    &["timm.models.swin_transformer.SwinTransformerBlock"],
    &[
        ("dim", Says::Nothing),
        ("mlp_ratio", Says::Nothing),
        ("num_heads", HEADS),
        ("window_size", WINDOW),
        ("window_area", AREA),
        ("shift_size", Says::Follows(shift_in_use)),
        ("target_shift_size", Says::Nothing),
        ("input_resolution", RESOLUTION),
        ("always_partition", Says::Is(&[Literal::NO])),
        ("dynamic_mask", Says::Nothing),
    ],
);

const ATTENTION: Class = Class::new(
    &["timm.models.swin_transformer.WindowAttention"],
    &[
        ("dim", Says::Nothing),
        ("num_heads", HEADS),
        ("window_size", WINDOW),
        ("window_area", AREA),
        ("scale", Says::Follows(|at| Some(json!((head_dim(at)? as f64).powf(-0.5))))),
        ("fused_attn", Says::Nothing),
    ],
);

const WINDOW: Says = Says::Follows(|at| Some(alike(at, "window_size", [at.facts.number("window_size")?; 2])));
const AREA: Says = Says::Follows(|at| at.facts.number("window_size")?.checked_pow(2).map(Value::from));

/// Returns the channels of a head.
fn head_dim(at: &At<'_>) -> Option<u64> {
    let stage = u32::try_from(*at.numbers.first()?).ok()?;
    let channels = at.facts.number("embed_dim")?.checked_mul(2_u64.checked_pow(stage)?)?;
    channels.checked_div(at.of_stage("heads")?)
}

/// Returns by how many tokens a block shifts its windows: every other one by half of them.
fn shift(at: &At<'_>) -> Option<u64> {
    let is_shifted = !at.numbers.get(1)?.is_multiple_of(2);
    Some(if is_shifted { at.facts.number("window_size")? / 2 } else { 0 })
}

/// Returns the same, and nothing along edges that one window spans.
fn shift_in_use(at: &At<'_>) -> Option<Value> {
    let (window, shift) = (at.facts.number("window_size")?, shift(at)?);
    let sides = resolution(at)?.map(|side| if side <= window { 0 } else { shift });
    Some(alike(at, "shift_size", sides))
}

/// Returns two numbers, or one where the attribute is one.
fn alike(at: &At<'_>, attribute: &str, [first, second]: [u64; 2]) -> Value {
    match at.value(attribute) {
        Some(Value::Number(_)) => json!(first.min(second)),
        _ => json!([first, second]),
    }
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&SWIN]).says(OF_EVERY_NETWORK),
    Role::new(&["layers.*"], &[&STAGE]),
    Role::new(&["layers.*.blocks.*"], &[&BLOCK]),
    Role::new(&["layers.*.blocks.*.attn"], &[&ATTENTION]),
    Role::new(&["layers.*.blocks.*.mlp.act"], &[&EXACT_GELU]),
];
