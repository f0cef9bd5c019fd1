//! The modules of a timm `SwinTransformerV2` that was saved whole. They say how large the windows are, which no weight shows.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{FIXED_RELU, LINEAR, SEQUENTIAL};
use super::super::super::saved_modules::{At, Class, Read, Role, Says};
use super::super::classes::{ACTIVATIONS, OF_EVERY_NETWORK};
use super::super::field::Literal;
use super::super::swin_modules::{HEADS, RESOLUTION, resolution};

const NULL: Says = Says::Is(&[Literal::Null]);

/// Shifts no window that spans the map, unless a block says otherwise (`always_partition`). At the size that the windows are for,
/// `dynamic_img_size` changes nothing; `_ref_window_sizes` and `_ref_grid_size` are for those who change that size.
const SWIN: Class = Class::new(
    &["timm.models.swin_transformer_v2.SwinTransformerV2"],
    &[
        ("global_pool", Says::Fact("global_pool", Read::Text)),
        ("embed_dim", Says::Fact("embed_dim", Read::Number)),
        ("output_fmt", Says::Is(&[Literal::Text("NHWC")])),
        ("absolute_pos_embed", NULL),
        ("patch_norm", Says::Is(&[Literal::YES])),
        ("num_layers", Says::Nothing),
        ("dynamic_img_size", Says::Nothing),
        ("_ref_window_sizes", Says::Nothing),
        ("_ref_grid_size", Says::Nothing),
    ],
)
.means("always_partition", Literal::NO);

/// Has nothing that its blocks do not have.
const STAGE: Class = Class::new(
    &["timm.models.swin_transformer_v2.SwinTransformerV2Stage", "timm.models.swin_transformer_v2.BasicLayer"],
    &[
        ("dim", Says::Nothing),
        ("depth", Says::Nothing),
        ("input_resolution", Says::Nothing),
        ("output_resolution", Says::Nothing),
        ("output_nchw", Says::Is(&[Literal::NO])),
        ("grad_checkpointing", Says::Nothing),
    ],
);

/// `dynamic_mask` chooses when the same mask is made, and `target_shift_size` is read where the size is set, which leaves it as it was.
const BLOCK: Class = Class::new(
    &[
        "timm.models.swin_transformer_v2.SwinTransformerV2Block",
        "timm.models.swin_transformer_v2.SwinTransformerBlock",
    ],
    &[
        ("dim", Says::Nothing),
        ("mlp_ratio", Says::Nothing),
        ("num_heads", HEADS),
        ("window_size", Says::First("window_size", Read::Edge, |at| Some(json!(window_in_use(at)?)))),
        ("window_area", AREA),
        ("shift_size", Says::Follows(shift_in_use)),
        ("target_shift_size", Says::Nothing),
        ("input_resolution", RESOLUTION),
        ("always_partition", Says::Is(&[Literal::NO])),
        ("dynamic_mask", Says::Nothing),
    ],
);

/// `qkv_bias_separate` chooses between ways to compute the same.
const ATTENTION: Class = Class::new(
    &["timm.models.swin_transformer_v2.WindowAttention"],
    &[
        ("dim", Says::Nothing),
        ("num_heads", HEADS),
        ("window_size", WINDOW),
        ("pretrained_window_size", Says::Each("pretrained_window_sizes", Read::Edge)),
        ("qkv_bias_separate", Says::Nothing),
        ("q_bias", NULL),
        ("k_bias", NULL),
        ("v_bias", NULL),
    ],
);

const WINDOW: Says = Says::Follows(|at| Some(json!(window_in_use(at)?)));
const AREA: Says = Says::Follows(|at| {
    let [rows, columns] = window_in_use(at)?;
    rows.checked_mul(columns).map(Value::from)
});

/// Returns the rows and columns of a window, which is no larger than the map. The first block, whose map is the largest, has a fact's.
fn window_in_use(at: &At<'_>) -> Option<[u64; 2]> {
    let window = at.modules.pair("layers.0.blocks.0", "window_size")?;
    let [rows, columns] = resolution(at)?;
    Some([rows.min(window[0]), columns.min(window[1])])
}

/// Returns by how many tokens a block shifts its windows: every other one by half of them.
fn shift(at: &At<'_>) -> Option<u64> {
    let [window, _] = at.modules.pair("layers.0.blocks.0", "window_size")?;
    let is_shifted = !at.numbers.get(1)?.is_multiple_of(2);
    Some(if is_shifted { window / 2 } else { 0 })
}

/// Returns the same, and nothing along edges that one window spans.
fn shift_in_use(at: &At<'_>) -> Option<Value> {
    let ([rows, columns], shift) = (at.modules.pair("layers.0.blocks.0", "window_size")?, shift(at)?);
    let [height, width] = resolution(at)?;
    let along = |side: u64, window: u64| if side <= window { 0 } else { shift };
    Some(json!([along(height, rows), along(width, columns)]))
}

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&SWIN]).says(OF_EVERY_NETWORK),
    Role::new(&["layers.*"], &[&STAGE]),
    Role::new(&["layers.*.blocks.*"], &[&BLOCK]),
    Role::new(&["layers.*.blocks.*.attn"], &[&ATTENTION]),
    Role::new(&["layers.*.blocks.*.attn.cpb_mlp"], &[&SEQUENTIAL]),
    Role::new(&["layers.*.blocks.*.attn.cpb_mlp.1"], &[&FIXED_RELU]),
    Role::new(&["layers.*.blocks.*.attn.{cpb_mlp.0,cpb_mlp.2}"], &[&LINEAR]),
    Role::new(&["layers.*.blocks.*.mlp.act"], ACTIVATIONS),
];
