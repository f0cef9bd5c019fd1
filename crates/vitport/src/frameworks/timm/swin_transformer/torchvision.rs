//! The modules of a torchvision `SwinTransformer` that was saved whole, under torchvision's names. What are timm's stages are the
//! entries 1, 3, 5 and 7 of `features`.

use serde_json::{Value, json};

use super::super::super::saved_modules::torch::{CONV, DROPOUT, EXACT_GELU, FLATTEN, LINEAR, SEQUENTIAL};
use super::super::super::saved_modules::torchvision::{MLP, PERMUTE, STOCHASTIC_DEPTH};
use super::super::super::saved_modules::{At, Class, Role, Says};
use super::super::classes::{AVERAGE, CLASSIFIER, NORMS};
use super::super::field::Literal;

const SWIN: Class =
    Class::new(&["torchvision.models.swin_transformer.SwinTransformer"], &[("num_classes", Says::Nothing)])
        .means("always_partition", Literal::NO);
const BLOCK: Class = Class::new(&["torchvision.models.swin_transformer.SwinTransformerBlock"], &[]);
const MERGING: Class =
    Class::new(&["torchvision.models.swin_transformer.PatchMerging"], &[("dim", Says::Nothing)]);

/// Shifts by half a window in every other block, unless one window is as large as the image.
const ATTENTION: Class = Class::new(
    &["torchvision.models.swin_transformer.ShiftedWindowAttention"],
    &[
        ("window_size", Says::Follows(|at| Some(json!([window(at)?, window(at)?])))),
        ("shift_size", Says::Follows(|at| Some(json!([shift(at)?, shift(at)?])))),
        ("num_heads", Says::Follows(heads)),
        ("attention_dropout", Says::Nothing),
        ("dropout", Says::Nothing),
    ],
);

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

/// Lists them.
pub(super) const MODULES: &[Role] = &[
    Role::new(&[""], &[&SWIN]),
    Role::new(&["features", "features.{0,1,3,5,7}"], &[&SEQUENTIAL]),
    Role::new(&["features.0.0"], &[&CONV])
        .says(&[("stride", Says::Follows(|at| at.facts.value("patch_size").cloned()))]),
    Role::new(&["features.0.1"], &[&PERMUTE]).says(&[("dims", Says::Follows(|_| Some(json!([0, 2, 3, 1]))))]),
    Role::new(&["permute"], &[&PERMUTE]).says(&[("dims", Says::Follows(|_| Some(json!([0, 3, 1, 2]))))]),
    Role::new(&["features.0.2", "features.{2,4,6}.norm", "features.*.*.{norm1,norm2}", "norm"], NORMS),
    Role::new(&["features.{2,4,6}"], &[&MERGING]),
    Role::new(
        &["features.{2,4,6}.reduction", "features.*.*.attn.{qkv,proj}", "features.*.*.mlp.{0,3}"],
        &[&LINEAR],
    ),
    Role::new(&["features.*.*"], &[&BLOCK]),
    Role::new(&["features.*.*.attn"], &[&ATTENTION]),
    Role::new(&["features.*.*.mlp"], &[&MLP]),
    Role::new(&["features.*.*.mlp.1"], &[&EXACT_GELU]),
    Role::new(&["features.*.*.mlp.{2,4}"], &[&DROPOUT]),
    Role::new(&["features.*.*.stochastic_depth"], &[&STOCHASTIC_DEPTH]),
    Role::new(&["avgpool"], &[&AVERAGE]),
    Role::new(&["flatten"], &[&FLATTEN]),
    Role::new(&["head"], CLASSIFIER),
];
