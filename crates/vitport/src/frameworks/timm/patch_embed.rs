//! timm's `PatchEmbed` in networks that were saved whole, which several of them have.

use serde_json::json;

use super::super::saved_modules::{At, Class, Read, Says};

/// Says nothing of the size, which the positions show, too; the others follow from it, or are for images of other sizes. With
/// `dynamic_img_size` the patches are laid in a row after the positions are added (`output_fmt` NHWC), else at once (`flatten`).
pub(super) const PATCH_EMBED: Class = Class::new(
    &[
        "timm.layers.patch_embed.PatchEmbed",
        "timm.models.layers.patch_embed.PatchEmbed",
        "timm.models.vision_transformer.PatchEmbed",
    ],
    &[
        ("img_size", Says::Fact("img_size", Read::Pair)),
        ("patch_size", Says::Fact("patch_size", Read::Pair)),
        ("grid_size", Says::Follows(|at| Some(json!(grid(at))))),
        (
            "num_patches",
            Says::Follows(|at| Some(json!(grid(at).map(|[rows, columns]| rows.saturating_mul(columns))))),
        ),
        ("flatten", Says::Follows(|at| Some(json!(format(at).as_deref() != Some("NHWC"))))),
        (
            "output_fmt",
            Says::Follows(|at| {
                ["NCHW", "NHWC"].contains(&format(at)?.as_str()).then(|| at.value("output_fmt"))?
            }),
        ),
        ("strict_img_size", Says::Nothing),
        (
            "dynamic_img_pad",
            Says::Follows(|at| Some(json!(at.value("dynamic_img_pad")? == json!(true) && is_divided(at)?))),
        ),
    ],
);

/// Returns rows and columns of patches; none in a network for images of any size.
fn grid(at: &At<'_>) -> Option<[u64; 2]> {
    let ([height, width], [rows, columns]) = (at.pair("img_size")?, at.pair("patch_size")?);
    Some([height.checked_div(rows)?, width.checked_div(columns)?])
}

/// Returns whether no pixel is left over next to the patches, so that padding adds none.
fn is_divided(at: &At<'_>) -> Option<bool> {
    let ([height, width], [rows, columns]) = (at.pair("img_size")?, at.pair("patch_size")?);
    Some(height.checked_rem(rows)? == 0 && width.checked_rem(columns)? == 0)
}

/// Returns the order of axes that comes out, a member of timm's enum: `NCHW`.
fn format(at: &At<'_>) -> Option<String> {
    Some(at.value("output_fmt")?.get("arguments")?.get(0)?.as_str()?.to_owned())
}
