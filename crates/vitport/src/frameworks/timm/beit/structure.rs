//! What the tensors of a timm `Beit` tell. Its tables of relative positions show the size of the image and the number of heads.

use super::super::super::source::{Inquiry, axes};
use super::super::field::Literal;
use super::super::image_size::SaidSize;
use super::super::structure::{Sign, Structure};
use crate::facts::{Evidence, FactError, Question};

/// Names these networks in errors.
pub(super) const FAMILY: &str = "BEiT";

/// Names the places of a table: in each block, or once for all.
const TABLES: [&str; 2] =
    ["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"];

/// Declares what its tensors show.
pub(super) const STRUCTURE: Structure = Structure {
    recognised_by: &[&["patch_embed.proj.weight"], &["cls_token"], &["blocks.0.attn.qkv.weight"], &TABLES],
    // BEiT has biases of queries and values alone.
    unlike: &[".attn.qkv.bias"],
    signs: &[
        ("swiglu_mlp", Sign::Other(&["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w1."], Literal::YES)),
        ("scale_mlp", Sign::Part(&["blocks.0.mlp.norm."], Literal::YES)),
        ("in_chans", Sign::Axis("patch_embed.proj.weight", 1, 4)),
        ("patch_size", Sign::Edges("patch_embed.proj.weight")),
        ("embed_dim", Sign::Axis("patch_embed.proj.weight", 0, 4)),
        ("depth", Sign::Count("blocks")),
        ("mlp_dim", Sign::Axis("blocks.0.mlp.fc1.weight", 0, 2)),
        ("qkv_bias", Sign::Has("blocks.0.attn.q_bias")),
        ("layer_scale", Sign::Has("blocks.0.gamma_1")),
        ("use_abs_pos_emb", Sign::Has("pos_embed")),
        ("use_rel_pos_bias", Sign::Has("blocks.0.attn.relative_position_bias_table")),
        ("use_shared_rel_pos_bias", Sign::Has("rel_pos_bias.relative_position_bias_table")),
        ("fc_norm", Sign::Has("fc_norm.weight")),
        ("final_norm", Sign::Has("norm.weight")),
        ("num_classes", Sign::Classes("head.weight")),
    ],
    check: Some(check),
};

/// Reads the sizes of image and heads.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let Some(name) = TABLES.into_iter().find(|name| tensors.has(name)) else { return Ok(false) };
    let [rows, heads] = axes::<2>(tensors, name, FAMILY)?;
    let [_, _, height, width] = axes::<4>(tensors, "patch_embed.proj.weight", FAMILY)?;
    evidence.weights("num_heads", heads, name);
    // Three rows belong to the class token.
    let (distances, patch) = (rows.saturating_sub(3), [height, width]);
    let said = SaidSize::of(inquiry)?;
    let fits = |size: &[u64; 2]| distances_of(*size, patch) == Some(distances);
    said.check(fits)?;
    match said.any().filter(fits).or_else(|| square_of_distances(distances, patch)) {
        Some(image) => said.settle(image, (name, "relative positions"), evidence)?,
        None => {
            let what = format!(
                "the size of the image is not known: {distances} distances are not those of a square of patches of {height}×{width}"
            );
            evidence.ask(Question::new("img_size", what, "--image-size", "HEIGHTxWIDTH"));
        }
    }
    Ok(true)
}

/// Returns how many distances the patches of an image have; none if it is not made of whole patches.
pub(in super::super) fn distances_of(
    [height, width]: [u64; 2],
    [patch_height, patch_width]: [u64; 2],
) -> Option<u64> {
    let side = |pixels: u64, patch: u64| {
        let patches = pixels.checked_div(patch).filter(|_| pixels.is_multiple_of(patch))?;
        patches.checked_mul(2)?.checked_sub(1)
    };
    side(height, patch_height)?.checked_mul(side(width, patch_width)?)
}

/// Returns the size of the image whose square grid of patches has so many distances.
pub(in super::super) fn square_of_distances(distances: u64, [height, width]: [u64; 2]) -> Option<[u64; 2]> {
    let patches = distances.isqrt().div_ceil(2);
    let image = [patches.checked_mul(height)?, patches.checked_mul(width)?];
    (distances_of(image, [height, width]) == Some(distances)).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_tell_the_image() {
        assert_eq!(square_of_distances(27 * 27, [16, 16]), Some([224, 224]));
        assert_eq!(square_of_distances(1, [16, 16]), Some([16, 16]));
        assert_eq!(square_of_distances(28 * 28, [16, 16]), None);
        assert_eq!(square_of_distances(3 * 5, [16, 16]), None);
        assert_eq!(square_of_distances(0, [16, 16]), None);
        assert_eq!(distances_of([32, 48], [16, 16]), Some(3 * 5));
        assert_eq!(distances_of([32, 40], [16, 16]), None);
        assert_eq!(distances_of([32, 40], [0, 16]), None);
    }
}
