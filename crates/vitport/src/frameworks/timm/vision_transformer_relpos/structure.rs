//! What the tensors of a timm `VisionTransformerRelPos` tell. An MLP of positions shows the heads and nothing of the image's size, a
//! learned table both.

use super::super::super::source::{Inquiry, axes};
use super::super::beit::{distances_of, square_of_distances};
use super::super::field::Literal;
use super::super::image_size::SaidSize;
use super::super::structure::{Sign, Structure};
use crate::facts::{Evidence, FactError};

/// Names these networks in errors.
pub(super) const FAMILY: &str = "ViT with relative positions";

/// Names the places of a learned table: in each block, or once for all.
const TABLES: [&str; 2] =
    ["blocks.0.attn.rel_pos.relative_position_bias_table", "shared_rel_pos.relative_position_bias_table"];

/// Counts the rows of a table that belong to the class token.
const OF_CLASS_TOKEN: u64 = 3;

/// Declares what its tensors show.
pub(super) const STRUCTURE: Structure = Structure {
    recognised_by: &[
        &["patch_embed.proj.weight"],
        &["blocks.0.attn.qkv.weight"],
        &["blocks.0.attn.rel_pos.", "shared_rel_pos."],
    ],
    // It has no learned positions.
    unlike: &["pos_embed"],
    signs: &[
        ("qk_norm", Sign::Part(&["blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."], Literal::YES)),
        ("block", Sign::Part(&["blocks.0.ls1."], Literal::Text("RelPosBlock"))),
        ("learned_positions", Sign::NeedsOne(&TABLES)),
        ("class_token", Sign::Needs("cls_token")),
        ("in_chans", Sign::Axis("patch_embed.proj.weight", 1, 4)),
        ("patch_size", Sign::Edges("patch_embed.proj.weight")),
        ("embed_dim", Sign::Axis("patch_embed.proj.weight", 0, 4)),
        ("depth", Sign::Count("blocks")),
        ("mlp_dim", Sign::Axis("blocks.0.mlp.fc1.weight", 0, 2)),
        ("qkv_bias", Sign::Has("blocks.0.attn.qkv.bias")),
        ("layer_scale", Sign::Has("blocks.0.ls1.gamma")),
        ("fc_norm", Sign::Has("fc_norm.weight")),
        ("final_norm", Sign::Has("norm.weight")),
        ("num_classes", Sign::Classes("head.weight")),
    ],
    check: Some(check),
};

/// Reads what makes the biases, and what its sizes show.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    let shared = tensors.starting_with(&["shared_rel_pos."]);
    let place = if shared.is_some() { "shared_rel_pos" } else { "blocks.0.attn.rel_pos" };
    evidence.weights("shared_rel_pos", shared.is_some(), place);
    evidence.weights("unscaled", !tensors.has("blocks.0.ls1.gamma"), "blocks.0.ls1.gamma");
    let name = |part: &str| format!("{place}.{part}");
    let table = name("relative_position_bias_table");
    if tensors.has(&table) {
        let [rows, heads] = axes::<2>(tensors, &table, FAMILY)?;
        evidence.weights("rel_pos_type", "bias", table.clone());
        evidence.weights("num_heads", heads, table.clone());
        return image_of_table(inquiry, evidence, (&table, rows)).map(|()| true);
    }
    let (fc1, fc2) = (name("mlp.fc1.weight"), name("mlp.fc2.weight"));
    if !tensors.has(&fc1) || !tensors.has(&fc2) {
        return Ok(false);
    }
    let [hidden, _] = axes::<2>(tensors, &fc1, FAMILY)?;
    let [heads, _] = axes::<2>(tensors, &fc2, FAMILY)?;
    evidence.weights("rel_pos_dim", hidden, fc1);
    evidence.weights("num_heads", heads, fc2);
    // In the mode `swin` a sigmoid follows, and no bias comes before it.
    let bias = name("mlp.fc2.bias");
    match tensors.has(&bias) {
        true => evidence.weights("rel_pos_type", "mlp", bias),
        false => evidence.weights("rel_pos_type", "mlp_swin", format!("the absence of {bias}")),
    }
    Ok(true)
}

/// Reads the size of the image off a learned table of so many rows.
fn image_of_table(
    inquiry: &Inquiry<'_>,
    evidence: &mut Evidence,
    (table, rows): (&str, u64),
) -> Result<(), FactError> {
    let [_, _, height, width] = axes::<4>(inquiry.tensors, "patch_embed.proj.weight", FAMILY)?;
    let of_class_token = if inquiry.tensors.has("cls_token") { OF_CLASS_TOKEN } else { 0 };
    let (distances, patch) = (rows.saturating_sub(of_class_token), [height, width]);
    let said = SaidSize::of(inquiry)?;
    let fits = |size: &[u64; 2]| distances_of(*size, patch) == Some(distances);
    said.check(fits)?;
    match said.any().filter(fits).or_else(|| square_of_distances(distances, patch)) {
        Some(image) => said.settle(image, (table, "relative positions"), evidence),
        // It is asked for.
        None => Ok(()),
    }
}
