//! What the tensors of a timm `VisionTransformer` tell: its sizes, and which of the many variants of the module it is.

use super::super::source::{Inquiry, axes};
use crate::facts::{Evidence, FactError, Question};
use crate::mapping::Sources;

/// What errors call these networks.
const FAMILY: &str = "ViT";

/// A variant that has tensors which a plain ViT has not: the fact, its value, and beginnings of their names.
type Sign = (&'static str, Value, &'static [&'static str]);

/// The value of a sign's fact.
#[derive(Clone, Copy)]
enum Value {
    Flag(bool),
    Number(u64),
    Text(&'static str),
}

/// The signs by which variants are detected. All blocks are alike, and no sign is one of a later block.
const SIGNS: [Sign; 16] = [
    ("resnet_stem", Value::Flag(true), &["patch_embed.backbone."]),
    ("dist_token", Value::Flag(true), &["dist_token"]),
    ("reg_tokens", Value::Number(1), &["reg_token", "register_tokens"]),
    ("attn_pool", Value::Flag(true), &["attn_pool."]),
    (
        "block",
        Value::Text("parallel"),
        &["blocks.0.attns.", "blocks.0.ffns.", "blocks.0.in_proj.", "blocks.0.in_norm."],
    ),
    ("pre_norm", Value::Flag(true), &["norm_pre."]),
    ("attn", Value::Text("DiffAttention"), &["blocks.0.attn.lambda_", "blocks.0.attn.sub_norm."]),
    ("qk_norm", Value::Flag(true), &["blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."]),
    ("scale_norm", Value::Flag(true), &["blocks.0.attn.norm.", "blocks.0.mlp.norm."]),
    ("gated_mlp", Value::Flag(true), &["blocks.0.mlp.fc1_g.", "blocks.0.mlp.w12.", "blocks.0.mlp.fc1_x."]),
    (
        "rel_pos_bias",
        Value::Flag(true),
        &["blocks.0.attn.relative_position_bias_table", "rel_pos_bias.", "blocks.0.attn.rel_pos."],
    ),
    ("separate_qkv", Value::Flag(true), &["blocks.0.attn.q_bias", "blocks.0.attn.q_proj.", "rope."]),
    ("fc_norm", Value::Flag(true), &["fc_norm."]),
    ("patch_norm", Value::Flag(true), &["patch_embed.norm."]),
    ("pre_logits", Value::Flag(true), &["pre_logits."]),
    ("decoder", Value::Flag(true), &["patch_generator.", "decoder_pos_embed"]),
];

/// Tensors without which the plain ViT is another network, and the fact that is then false.
const NEEDED: [(&str, &str); 3] =
    [("class_token", "cls_token"), ("pos_embed", "pos_embed"), ("final_norm", "norm.weight")];

/// Returns whether these tensors are timm's `VisionTransformer`, be it a variant that has no target.
pub(super) fn recognises(tensors: &Sources) -> bool {
    (tensors.has("patch_embed.proj.weight") || tensors.starting_with(&["patch_embed.backbone."]).is_some())
        && tensors.starting_with(&["blocks.0."]).is_some()
}

/// Reads the variant, and the sizes if the plain ViT's tensors are there.
///
/// # Errors
/// Returns [`FactError::Misshapen`] for tensors that do not go together. A size of the image that stays open is a question of
/// the evidence.
pub(super) fn read(
    inquiry: &Inquiry<'_>,
    configured: Option<[u64; 2]>,
    evidence: &mut Evidence,
) -> Result<(), FactError> {
    let tensors = inquiry.tensors;
    for (fact, value, signs) in SIGNS {
        let Some(name) = tensors.starting_with(signs) else { continue };
        match value {
            Value::Flag(flag) => evidence.weights(fact, flag, name),
            Value::Number(number) => evidence.weights(fact, number, name),
            Value::Text(text) => evidence.weights(fact, text, name),
        }
    }
    let mut is_whole = true;
    for (fact, tensor) in NEEDED {
        let is_there = tensors.has(tensor);
        is_whole &= is_there;
        let shown_by = if is_there { tensor.to_owned() } else { format!("the absence of {tensor}") };
        evidence.weights(fact, is_there, shown_by);
    }
    if is_whole && !evidence.has("resnet_stem") && tensors.has("blocks.0.mlp.fc1.weight") {
        sizes(tensors, inquiry.options.image_size, configured, evidence)?;
    }
    say_pre_norm(evidence);
    Ok(())
}

/// Says that there is no norm before the first block, where there is none: some mappings hold no other networks.
fn say_pre_norm(evidence: &mut Evidence) {
    if !evidence.has("pre_norm") {
        evidence.weights("pre_norm", false, "no norm_pre.weight");
    }
}

fn sizes(
    tensors: &Sources,
    wanted: Option<[u64; 2]>,
    configured: Option<[u64; 2]>,
    evidence: &mut Evidence,
) -> Result<(), FactError> {
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
    let [_, tokens, position_width] = axes::<3>(tensors, "pos_embed", FAMILY)?;
    let [mlp, _] = axes::<2>(tensors, "blocks.0.mlp.fc1.weight", FAMILY)?;
    let [_, mlp_out] = axes::<2>(tensors, "blocks.0.mlp.fc2.weight", FAMILY)?;
    if mlp_out.checked_mul(2) == Some(mlp) {
        let rows = format!("blocks.0.mlp.fc1.weight, whose {mlp} rows are twice what fc2 takes");
        evidence.weights("gated_mlp", true, rows);
        return Ok(());
    }
    let misshapen = |tensor: &str, reason: String| {
        Err(FactError::Misshapen { tensor: tensor.to_owned(), family: FAMILY, reason })
    };
    if width == 0 || mlp == 0 || patch_height == 0 || patch_width == 0 || position_width != width {
        let reason = format!(
            "its shape does not go with {width} channels and patches of {patch_height}×{patch_width}"
        );
        return misshapen("pos_embed", reason);
    }
    let patch = [patch_height, patch_width];
    match image_of(tokens, patch, wanted.or(configured)) {
        // A variant with more tokens before the patches is refused before this is asked.
        Err(question) => evidence.ask(question),
        Ok((image, class_position)) => {
            if let Some([height, width]) = wanted.filter(|wanted| *wanted != image) {
                return Err(FactError::contradiction(
                    format!("--image-size {height}x{width}"),
                    format!(
                        "its positions are those of {}x{} pixels, and vitport does not resample them",
                        image[0], image[1]
                    ),
                ));
            }
            evidence.weights("img_size", image.to_vec(), "pos_embed");
            evidence.weights("no_embed_class", !class_position, "pos_embed");
        }
    }
    let classes = match tensors.shape("head.weight") {
        Some([classes, _]) => *classes,
        Some(shape) => {
            return misshapen("head.weight", format!("its shape is {shape:?}, not two-dimensional"));
        }
        None => 0,
    };
    evidence.weights("patch_size", patch.to_vec(), "patch_embed.proj.weight");
    evidence.weights("embed_dim", width, "patch_embed.proj.weight");
    evidence.weights("depth", tensors.count_indices("blocks."), "blocks");
    evidence.weights("mlp_dim", mlp, "blocks.0.mlp.fc1.weight");
    evidence.weights("qkv_bias", tensors.has("blocks.0.attn.qkv.bias"), "blocks.0.attn.qkv.bias");
    evidence.weights("layer_scale", tensors.has("blocks.0.ls1.gamma"), "blocks.0.ls1.gamma");
    say_pre_norm(evidence);
    let shown_by = if classes > 0 { "head.weight" } else { "no head.weight" };
    evidence.weights("num_classes", classes, shown_by);
    Ok(())
}

/// Returns the image's size, and whether the first of `tokens` positions is the class token's. Without further word the grid
/// of patches must be square.
fn image_of(tokens: u64, patch: [u64; 2], wanted: Option<[u64; 2]>) -> Result<([u64; 2], bool), Question> {
    let [patch_height, patch_width] = patch;
    if let Some([height, width]) = wanted
        && height % patch_height == 0
        && width % patch_width == 0
    {
        let patches = (height / patch_height).saturating_mul(width / patch_width);
        if patches == tokens || patches.checked_add(1) == Some(tokens) {
            return Ok(([height, width], patches != tokens));
        }
    }
    let square = |patches: u64| {
        let side = patches.isqrt();
        (side > 0 && side * side == patches)
            .then(|| [side.saturating_mul(patch_height), side.saturating_mul(patch_width)])
    };
    match (square(tokens), tokens.checked_sub(1).and_then(square)) {
        (Some(image), None) => Ok((image, false)),
        (None, Some(image)) => Ok((image, true)),
        _ => Err(Question {
            fact: "img_size",
            what: format!(
                "the size of the image is not known: {tokens} positions are not a square of patches"
            ),
            candidates: vec![format!(
                "several heights and widths in patches of {patch_height}×{patch_width}"
            )],
            answer: "give --image-size HEIGHTxWIDTH".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_tells_the_image_and_the_class_position() {
        assert_eq!(image_of(197, [16, 16], None).unwrap(), ([224, 224], true));
        assert_eq!(image_of(225, [16, 16], None).unwrap(), ([240, 240], false));
        assert_eq!(image_of(1370, [14, 14], None).unwrap(), ([518, 518], true));
    }

    #[test]
    fn an_oblong_image_has_to_be_said() {
        assert_eq!(image_of(99, [16, 16], None).unwrap_err().fact, "img_size");
        assert_eq!(image_of(99, [16, 16], Some([112, 224])).unwrap(), ([112, 224], true));
        assert_eq!(image_of(98, [16, 16], Some([112, 224])).unwrap(), ([112, 224], false));
    }

    #[test]
    fn two_positions_could_be_either() {
        assert_eq!(image_of(2, [16, 16], None).unwrap(), ([16, 16], true));
        assert_eq!(image_of(1, [16, 16], None).unwrap(), ([16, 16], false));
    }
}
