//! What the tensors of a timm `VisionTransformer` tell: its sizes, and which of the many variants of the module it is.

use super::super::super::source::{Inquiry, axes};
use super::super::field::Literal;
use super::super::positions::image_size;
use super::super::structure::{Sign, Structure};
use crate::facts::{Evidence, FactError};

/// Names these networks in errors.
pub(super) const FAMILY: &str = "ViT";

/// Declares what its tensors show. All blocks are alike, and no sign is one of a later block.
pub(super) const STRUCTURE: Structure = Structure {
    recognised_by: &[&["patch_embed.proj.weight", "patch_embed.backbone."], &["blocks.0."]],
    unlike: &[],
    signs: &[
        ("resnet_stem", Sign::Other(&["patch_embed.backbone."], Literal::YES)),
        ("dist_token", Sign::Part(&["dist_token"], Literal::YES)),
        ("reg_tokens", Sign::Tokens("reg_token")),
        ("reg_tokens", Sign::Part(&["register_tokens"], Literal::Number(1))),
        ("attn_pool", Sign::Part(&["attn_pool."], Literal::YES)),
        ("global_pool", Sign::Part(&["attn_pool.latent"], Literal::Text("map"))),
        (
            "block",
            Sign::Part(
                &["blocks.0.attns.", "blocks.0.ffns.", "blocks.0.in_proj.", "blocks.0.in_norm."],
                Literal::Text("parallel"),
            ),
        ),
        ("pre_norm", Sign::Part(&["norm_pre."], Literal::YES)),
        (
            "attn",
            Sign::Part(&["blocks.0.attn.lambda_", "blocks.0.attn.sub_norm."], Literal::Text("DiffAttention")),
        ),
        ("qk_norm", Sign::Part(&["blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."], Literal::YES)),
        ("scale_norm", Sign::Part(&["blocks.0.attn.norm.", "blocks.0.mlp.norm."], Literal::YES)),
        (
            "gated_mlp",
            Sign::Part(&["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w12.", "blocks.0.mlp.fc1_x."], Literal::YES),
        ),
        ("mlp_layer", Sign::Part(&["blocks.0.mlp.fc1_g.", "blocks.0.mlp.fc1_x."], Literal::Text("SwiGLU"))),
        (
            "rel_pos_bias",
            Sign::Part(
                &["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.", "blocks.0.attn.rel_pos."],
                Literal::YES,
            ),
        ),
        (
            "separate_qkv",
            Sign::Part(&["blocks.0.attn.q_bias", "blocks.0.attn.q_proj.", "rope."], Literal::YES),
        ),
        ("fc_norm", Sign::Part(&["fc_norm."], Literal::YES)),
        ("patch_norm", Sign::Part(&["patch_embed.norm."], Literal::YES)),
        ("pre_logits", Sign::Part(&["pre_logits."], Literal::YES)),
        ("decoder", Sign::Part(&["patch_generator.", "decoder_pos_embed"], Literal::YES)),
        ("class_token", Sign::Needs("cls_token")),
        ("pos_embed", Sign::Needs("pos_embed")),
        ("final_norm", Sign::NeedsOne(&["norm.weight", "fc_norm.weight"])),
        ("norm", Sign::Without("norm.weight", "norm.bias", Literal::Text("RmsNorm"))),
        ("norm", Sign::Without("fc_norm.weight", "fc_norm.bias", Literal::Text("RmsNorm"))),
        (
            "block_norm",
            Sign::Without("blocks.0.norm1.weight", "blocks.0.norm1.bias", Literal::Text("RmsNorm")),
        ),
        ("patch_bias", Sign::Without("patch_embed.proj.weight", "patch_embed.proj.bias", Literal::NO)),
        ("proj_bias", Sign::Without("blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias", Literal::NO)),
        ("mlp_bias", Sign::Without("blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc2.bias", Literal::NO)),
        ("patch_size", Sign::Edges("patch_embed.proj.weight")),
        ("embed_dim", Sign::Axis("patch_embed.proj.weight", 0, 4)),
        ("depth", Sign::Count("blocks")),
        ("mlp_dim", Sign::Axis("blocks.0.mlp.fc2.weight", 1, 2)),
        ("qkv_bias", Sign::Has("blocks.0.attn.qkv.bias")),
        ("layer_scale", Sign::Has("blocks.0.ls1.gamma")),
        // Some mappings hold no networks without that norm, so its absence is said.
        ("pre_norm", Sign::Lack("norm_pre.weight", Literal::NO, "no")),
        ("num_classes", Sign::Classes("head.weight")),
    ],
    check: Some(check),
};

/// Checks that the sizes go together, and reads those of the image.
fn check(inquiry: &Inquiry<'_>, evidence: &mut Evidence) -> Result<bool, FactError> {
    let tensors = inquiry.tensors;
    if !tensors.has("blocks.0.mlp.fc2.weight") {
        return Ok(false);
    }
    let [width, channels, patch_height, patch_width] = axes::<4>(tensors, "patch_embed.proj.weight", FAMILY)?;
    evidence.weights(
        "in_chans",
        channels,
        if channels == 3 {
            "patch_embed.proj.weight".to_owned()
        } else {
            format!("patch_embed.proj.weight, whose second axis is {channels}")
        },
    );
    let [_, hidden] = axes::<2>(tensors, "blocks.0.mlp.fc2.weight", FAMILY)?;
    if tensors.has("blocks.0.mlp.fc1.weight") {
        let [rows, _] = axes::<2>(tensors, "blocks.0.mlp.fc1.weight", FAMILY)?;
        if hidden.checked_mul(2) == Some(rows) {
            let shown = format!("blocks.0.mlp.fc1.weight, whose {rows} rows are twice what fc2 takes");
            evidence.weights("gated_mlp", true, shown.clone());
            evidence.weights("mlp_layer", "SwiGLUPacked", shown);
        }
    }
    let misshapen = |tensor: &str, reason: String| {
        Err(FactError::Misshapen { tensor: tensor.to_owned(), family: FAMILY, reason })
    };
    let of_patches = format!("{width} channels and patches of {patch_height}×{patch_width}");
    if width == 0 || hidden == 0 || patch_height == 0 || patch_width == 0 {
        return misshapen("patch_embed.proj.weight", format!("its shape does not go with {of_patches}"));
    }
    if !tensors.has("pos_embed") {
        return Ok(true);
    }
    let [_, tokens, position_width] = axes::<3>(tensors, "pos_embed", FAMILY)?;
    if position_width != width {
        return misshapen("pos_embed", format!("its shape does not go with {of_patches}"));
    }
    let facts = evidence.facts();
    let before = |fact: &str| u64::from(facts.flag(fact) == Some(true));
    let prefix = before("class_token")
        .saturating_add(before("dist_token"))
        .saturating_add(facts.number("reg_tokens").unwrap_or(0));
    image_size(inquiry, evidence, (tokens, prefix), [patch_height, patch_width])?;
    Ok(true)
}
