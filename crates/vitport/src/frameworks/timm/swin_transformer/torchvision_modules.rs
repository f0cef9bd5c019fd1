//! The modules of a torchvision `SwinTransformer` of the first version that was saved whole, under torchvision's names, beyond those that
//! both versions have.

use super::super::super::saved_modules::torch::EXACT_GELU;
use super::super::super::saved_modules::{Class, Role, Says};
use super::super::swin_modules::TORCHVISION_ATTENTION;

const BLOCK: Class = Class::new(&["torchvision.models.swin_transformer.SwinTransformerBlock"], &[]);
const MERGING: Class =
    Class::new(&["torchvision.models.swin_transformer.PatchMerging"], &[("dim", Says::Nothing)]);

const ATTENTION: Class =
    Class::new(&["torchvision.models.swin_transformer.ShiftedWindowAttention"], TORCHVISION_ATTENTION);

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&["features.{2,4,6}"], &[&MERGING]),
    Role::new(&["features.*.*"], &[&BLOCK]),
    Role::new(&["features.*.*.attn"], &[&ATTENTION]),
    Role::new(&["features.*.*.mlp.1"], &[&EXACT_GELU]),
];
