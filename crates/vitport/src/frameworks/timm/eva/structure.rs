//! What the tensors of a timm `Eva` tell. Biases of queries and values under names of their own, or scales under BEiT's names without
//! its tables of relative positions, tell it from timm's ViT.

use super::super::super::source::{Inquiry, axes};
use super::super::field::Literal;
use super::super::positions::image_size;
use super::super::structure::{Sign, Structure};
use crate::facts::{Evidence, FactError};

/// Names these networks in errors.
pub(super) const FAMILY: &str = "DINOv3 or EVA";

/// Declares what its tensors show.
pub(super) const STRUCTURE: Structure = Structure {
    recognised_by: &[
        &["patch_embed.proj.weight"],
        &["blocks.0.attn.qkv.weight", "blocks.0.attn.q_proj.weight"],
        &["blocks.0.attn.q_bias", "blocks.0.attn.q_proj.weight", "blocks.0.gamma_1"],
    ],
    // Biases of keys are ViT's and DeiT-III's, tables those of BEiT and of ViTs with relative positions.
    unlike: &[".attn.qkv.bias", "relative_position_bias_table", ".rel_pos.", ".conv_dw."],
    signs: &[
        ("scale_mlp", Sign::Part(&["blocks.0.mlp.norm."], Literal::YES)),
        ("scale_attn_inner", Sign::Part(&["blocks.0.attn.norm."], Literal::YES)),
        ("qk_norm", Sign::Part(&["blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."], Literal::YES)),
        ("qkv_fused", Sign::Part(&["blocks.0.attn.q_proj."], Literal::NO)),
        ("swiglu_mlp", Sign::Part(&["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w1."], Literal::YES)),
        // Whatever activation an architecture has in its MLPs, a gate has this one.
        ("act_layer", Sign::Part(&["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w1."], Literal::Text("silu"))),
        ("attn_pool", Sign::Part(&["attn_pool."], Literal::YES)),
        ("global_pool", Sign::Part(&["attn_pool.latent"], Literal::Text("map"))),
        ("pre_norm", Sign::Part(&["norm_pre."], Literal::YES)),
        ("rope_type", Sign::Part(&["rope.freqs"], Literal::Text("mixed"))),
        ("attn_only_layer_scale", Sign::Without("blocks.0.gamma_1", "blocks.0.gamma_2", Literal::YES)),
        (
            "block_norm",
            Sign::Without("blocks.0.norm1.weight", "blocks.0.norm1.bias", Literal::Text("RmsNorm")),
        ),
        ("class_token", Sign::Needs("cls_token")),
        ("reg_tokens", Sign::Tokens("reg_token")),
        ("pos_embed", Sign::Needs("pos_embed")),
        ("in_chans", Sign::Axis("patch_embed.proj.weight", 1, 4)),
        ("patch_size", Sign::Edges("patch_embed.proj.weight")),
        ("embed_dim", Sign::Axis("patch_embed.proj.weight", 0, 4)),
        ("depth", Sign::Count("blocks")),
        ("mlp_dim", Sign::Axis("blocks.0.mlp.fc2.weight", 1, 2)),
        ("qkv_bias", Sign::Has("blocks.0.attn.q_bias")),
        ("layer_scale", Sign::Has("blocks.0.gamma_1")),
        ("fc_norm", Sign::Has("fc_norm.weight")),
        ("final_norm", Sign::Has("norm.weight")),
        ("num_classes", Sign::Classes("head.weight")),
    ],
    check: Some(check),
};

/// Reads whether the gate lies in one layer with the rest, and the size of the image off the positions, if there are some.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    if !tensors.has("blocks.0.mlp.fc2.weight") {
        return Ok(false);
    }
    let [_, hidden] = axes::<2>(tensors, "blocks.0.mlp.fc2.weight", FAMILY)?;
    if tensors.has("blocks.0.mlp.fc1.weight") {
        let [rows, _] = axes::<2>(tensors, "blocks.0.mlp.fc1.weight", FAMILY)?;
        if hidden.checked_mul(2) == Some(rows) {
            let shown = format!("blocks.0.mlp.fc1.weight, whose {rows} rows are twice what fc2 takes");
            evidence.weights("swiglu_mlp", true, shown.clone());
            evidence.weights("act_layer", "silu", shown.clone());
            evidence.weights("mlp_packed", true, shown);
        }
    }
    if !tensors.has("pos_embed") {
        return Ok(true);
    }
    let [_, _, height, width] = axes::<4>(tensors, "patch_embed.proj.weight", FAMILY)?;
    let [_, tokens, _] = axes::<3>(tensors, "pos_embed", FAMILY)?;
    let of_registers = evidence.facts().number("reg_tokens").unwrap_or(0);
    let prefix = of_registers.saturating_add(u64::from(tensors.has("cls_token")));
    if height > 0 && width > 0 {
        image_size(inquiry, evidence, (tokens, prefix), [height, width])?;
    }
    Ok(true)
}
