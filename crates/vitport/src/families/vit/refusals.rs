//! Structures of timm's ViT that `ViTForImageClassification` cannot hold, each known by a tensor that only it has.

use crate::identify::IdentifyError;
use crate::state_dict::StateDict;

/// One structure without a target.
struct Refusal {
    /// Beginnings of names that give it away.
    signs: &'static [&'static str],
    what: &'static str,
    why: &'static str,
    instead: &'static str,
}

/// In the order in which they are looked for: what decides most comes first.
const REFUSALS: [Refusal; 16] = [
    Refusal {
        signs: &["patch_embed.backbone."],
        what: "a hybrid of a ResNet stem and a ViT",
        why: "transformers' ViT takes patches from one convolution",
        instead: "`vit_hybrid` could hold it, but is deprecated in transformers 4 and gone in 5",
    },
    Refusal {
        signs: &["dist_token"],
        what: "a distilled DeiT",
        why: "its distillation token and second head have no place in ViTForImageClassification",
        instead: "DeiTForImageClassificationWithTeacher could hold it, which vitport does not write yet",
    },
    Refusal {
        signs: &["reg_token", "register_tokens"],
        what: "a ViT with register tokens",
        why: "ViTForImageClassification has a class token and nothing else before the patches",
        instead: "Dinov2WithRegistersModel could hold it, which vitport does not write yet",
    },
    Refusal {
        signs: &["attn_pool."],
        what: "a ViT with attention pooling (SigLIP)",
        why: "ViTForImageClassification reads the class token",
        instead: "SiglipVisionModel could hold it, which vitport does not write yet",
    },
    Refusal {
        signs: &["blocks.0.attns.", "blocks.0.ffns.", "blocks.0.in_proj.", "blocks.0.in_norm."],
        what: "a ViT with parallel blocks",
        why: "transformers' ViT runs attention and MLP one after another",
        instead: "no class in transformers holds it",
    },
    Refusal {
        signs: &["norm_pre."],
        what: "a CLIP image tower",
        why: "its norm before the first block (norm_pre) has no place in ViTForImageClassification",
        instead: "CLIPVisionModelWithProjection could hold it, which vitport does not write yet",
    },
    Refusal {
        signs: &["blocks.0.attn.lambda_", "blocks.0.attn.sub_norm."],
        what: "a ViT with differential attention",
        why: "transformers' ViT has one softmax a head",
        instead: "no class in transformers holds it",
    },
    Refusal {
        signs: &["blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."],
        what: "a ViT with normalised queries and keys (QK norm)",
        why: "transformers' ViT multiplies them as they are",
        instead: "InternVLVisionModel could hold some of them, which vitport does not write yet",
    },
    Refusal {
        signs: &["blocks.0.attn.norm.", "blocks.0.mlp.norm."],
        what: "a ViT with norms inside attention or MLP (sub-LN, BEiT-3)",
        why: "transformers' ViT has none there",
        instead: "no class in transformers holds it",
    },
    Refusal {
        signs: &["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w12.", "blocks.0.mlp.fc1_x."],
        what: "a ViT with a gated MLP (SwiGLU)",
        why: "transformers' ViT has two projections with an activation between them",
        instead: "Dinov2Model or Aimv2VisionModel could hold some of them, which vitport does not write yet",
    },
    Refusal {
        signs: &["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.", "blocks.0.attn.rel_pos."],
        what: "a BEiT",
        why: "its relative position biases have no place in ViTForImageClassification",
        instead: "BeitForImageClassification could hold it, which vitport does not write yet",
    },
    Refusal {
        signs: &["blocks.0.attn.q_bias", "blocks.0.attn.q_proj.", "rope."],
        what: "an EVA or BEiT",
        why: "its attention is another one than the plain ViT's",
        instead: "BeitForImageClassification could hold some of them, which vitport does not write yet",
    },
    Refusal {
        signs: &["fc_norm."],
        what: "a ViT with average pooling and a norm behind it (fc_norm)",
        why: "ViTForImageClassification reads the class token",
        instead: "BeitForImageClassification could hold it if it has a class token, which vitport does not write yet",
    },
    Refusal {
        signs: &["patch_embed.norm."],
        what: "a ViT with a norm behind the patch embedding",
        why: "transformers' ViT has none there",
        instead: "Aimv2VisionModel could hold some of them, which vitport does not write yet",
    },
    Refusal {
        signs: &["pre_logits."],
        what: "a ViT with a representation layer (pre_logits)",
        why: "ViTForImageClassification has one linear layer behind the class token",
        instead: "timm itself leaves that layer out: load the model in timm and save it again",
    },
    Refusal {
        signs: &["patch_generator.", "decoder_pos_embed"],
        what: "a network with more than a ViT's encoder",
        why: "ViTForImageClassification is an encoder and a head",
        instead: "save the encoder's state dict alone",
    },
];

/// Tensors without which the plain ViT is another network.
const NEEDED: [(&str, &str, &str, &str); 3] = [
    (
        "cls_token",
        "a ViT without a class token",
        "it averages over tokens, but ViTForImageClassification reads the class token",
        "IJepaModel or SiglipVisionModel could hold it, which vitport does not write yet",
    ),
    (
        "pos_embed",
        "a ViT without learned position embeddings",
        "ViTForImageClassification always adds them",
        "no class in transformers holds it",
    ),
    (
        "norm.weight",
        "a ViT without a final norm",
        "ViTForImageClassification always has one",
        "InternVLVisionModel could hold some of them, which vitport does not write yet",
    ),
];

/// Refuses a structure that has no target, naming the tensor that gave it away.
///
/// # Errors
/// [`IdentifyError::NoTarget`].
pub(super) fn check(state_dict: &StateDict) -> Result<(), IdentifyError> {
    // All blocks are alike, and no sign is one of a later block.
    let is_telling = |name: &&str| name.strip_prefix("blocks.").is_none_or(|rest| rest.starts_with("0."));
    let telling: Vec<&str> = state_dict.iter().map(|(name, _)| name).filter(is_telling).collect();
    for refusal in &REFUSALS {
        let is_sign = |name: &&&str| refusal.signs.iter().any(|sign| name.starts_with(sign));
        if let Some(name) = telling.iter().find(is_sign) {
            return Err(IdentifyError::NoTarget {
                what: refusal.what.to_owned(),
                why: refusal.why.to_owned(),
                tensor: Some((*name).to_owned()),
                instead: refusal.instead.to_owned(),
            });
        }
    }
    for (needed, what, why, instead) in NEEDED {
        if !state_dict.has(needed) {
            return Err(IdentifyError::NoTarget {
                what: what.to_owned(),
                why: why.to_owned(),
                tensor: Some(format!("the absence of {needed}")),
                instead: instead.to_owned(),
            });
        }
    }
    Ok(())
}
