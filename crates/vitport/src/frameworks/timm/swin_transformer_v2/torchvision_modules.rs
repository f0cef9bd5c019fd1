//! The modules of a torchvision `SwinTransformer` with blocks of the second version that was saved whole, under torchvision's names,
//! beyond those that both versions have.

use super::super::super::saved_modules::torch::{FIXED_RELU, LINEAR, SEQUENTIAL};
use super::super::super::saved_modules::{Class, Role, Says};
use super::super::classes::ACTIVATIONS;
use super::super::field::Literal;
use super::super::swin_modules::TORCHVISION_ATTENTION;

/// Keeps the size of its windows on maps that are smaller.
const BLOCK: Class = Class::new(&["torchvision.models.swin_transformer.SwinTransformerBlockV2"], &[])
    .means("fixed_windows", Literal::YES);
const MERGING: Class =
    Class::new(&["torchvision.models.swin_transformer.PatchMergingV2"], &[("dim", Says::Nothing)]);
/// Divides distances by those of its own windows.
const ATTENTION: Class =
    Class::new(&["torchvision.models.swin_transformer.ShiftedWindowAttentionV2"], TORCHVISION_ATTENTION)
        .means("pretrained_window_sizes", Literal::Numbers(&[0, 0, 0, 0]));

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&["features.{2,4,6}"], &[&MERGING]),
    Role::new(&["features.*.*"], &[&BLOCK]),
    Role::new(&["features.*.*.attn"], &[&ATTENTION]),
    Role::new(&["features.*.*.attn.cpb_mlp"], &[&SEQUENTIAL]),
    Role::new(&["features.*.*.attn.cpb_mlp.1"], &[&FIXED_RELU]),
    Role::new(&["features.*.*.attn.{cpb_mlp.0,cpb_mlp.2}"], &[&LINEAR]),
    Role::new(&["features.*.*.mlp.1"], ACTIVATIONS),
];
