//! The sizes of a CvT, read off its tensors.

use super::super::source::axes;
use crate::facts::{Evidence, FactError};
use crate::mapping::Sources;

/// Says what errors call these networks.
const FAMILY: &str = "CvT";

/// Lists beginnings of names that every CvT has.
pub(super) const ANCHORS: [&[&str]; 2] = [&["stage0.patch_embed.proj.weight"], &["stage0.blocks.0.attn."]];

/// Returns whether these tensors are a CvT, be it one that has no target.
pub(super) fn recognises(tensors: &Sources) -> bool {
    tensors.has("stage0.patch_embed.proj.weight")
        && tensors.starting_with(&["stage0.blocks.0.attn."]).is_some()
}

/// Reads the sizes.
///
/// # Errors
/// Returns [`FactError::Misshapen`] for tensors that no CvT has.
pub(super) fn read(tensors: &Sources, evidence: &mut Evidence) -> Result<(), FactError> {
    let count = tensors.count_indices("stage");
    let last = count.saturating_sub(1);
    evidence.weights("stages", count, format!("stage{last}"));
    let mut stages = Vec::new();
    for stage in 0..count {
        stages.push(Stage::read(tensors, stage, evidence)?);
    }
    let each = |value: fn(&Stage) -> u64| stages.iter().map(value).collect::<Vec<_>>();
    let least = stages.iter().zip(1_u64..).position(|(stage, least)| stage.depth < least);
    let blocks = least.map_or_else(|| "blocks".to_owned(), |stage| format!("stage{stage}.blocks"));
    evidence.weights("depth", each(|stage| stage.depth), blocks);
    evidence.weights("embed_dim", each(|stage| stage.width), "patch_embed.proj.weight");
    evidence.weights("patch_size", each(|stage| stage.patch_kernel), "patch_embed.proj.weight");
    evidence.weights("kernel_qkv", each(|stage| stage.qkv_kernel), "conv_proj_q.conv.weight");
    evidence.weights("mlp_dim", each(|stage| stage.mlp), "mlp.fc1.weight");
    let ratios: Vec<f64> = stages.iter().map(|stage| stage.mlp as f64 / stage.width as f64).collect();
    evidence.weights("mlp_ratio", ratios, "mlp.fc1.weight");
    let biases: Vec<bool> = stages.iter().map(|stage| stage.qkv_bias).collect();
    evidence.weights("qkv_bias", biases, "attn.proj_q.bias");
    let tokens: Vec<bool> = stages.iter().map(|stage| stage.cls_token).collect();
    let wrong = (0..count).find(|stage| tokens.get(*stage as usize) != Some(&(stage + 1 == count)));
    let shown_by = match wrong.map(|stage| (stage, format!("stage{stage}.cls_token"))) {
        Some((stage, token)) if stage == last => format!("the absence of {token}"),
        Some((_, token)) => token,
        None => format!("stage{last}.cls_token"),
    };
    evidence.weights("cls_token", tokens, shown_by);
    let positions =
        tensors.iter().find(|tensor| tensor.name.ends_with(".pos_embed") || tensor.name.contains(".rel_pos"));
    if let Some(tensor) = positions {
        evidence.weights("position_embeddings", true, &*tensor.name);
    }
    match tensors.shape("head.weight") {
        Some([classes, _]) if *classes > 0 => evidence.weights("num_classes", *classes, "head.weight"),
        Some(shape) => return Err(misshapen("head.weight", format!("its shape is {shape:?}"))),
        None => evidence.weights("num_classes", 0, "the absence of head.weight"),
    }
    Ok(())
}

/// Says what the weights tell of one stage.
struct Stage {
    width: u64,
    depth: u64,
    patch_kernel: u64,
    qkv_kernel: u64,
    mlp: u64,
    qkv_bias: bool,
    cls_token: bool,
}

impl Stage {
    fn read(tensors: &Sources, stage: u64, evidence: &mut Evidence) -> Result<Self, FactError> {
        let at = |rest: &str| format!("stage{stage}.{rest}");
        let [width, channels, patch_kernel, patch_width] =
            axes::<4>(tensors, &at("patch_embed.proj.weight"), FAMILY)?;
        if stage == 0 {
            evidence.weights("in_chans", channels, at("patch_embed.proj.weight"));
        }
        let depth = tensors.count_indices(&at("blocks."));
        let convolution = at("blocks.0.attn.conv_proj_q.conv.weight");
        let qkv_kernel = match tensors.has(&convolution) {
            true => {
                let [_, _, high, wide] = axes::<4>(tensors, &convolution, FAMILY)?;
                if high == 0 || high != wide {
                    return Err(misshapen(&convolution, "its kernel is not square".to_owned()));
                }
                high
            }
            false => {
                let absence = format!("the absence of {convolution}");
                evidence.weights("qkv_projection_method", "another", absence);
                0
            }
        };
        let [mlp, _] = axes::<2>(tensors, &at("blocks.0.mlp.fc1.weight"), FAMILY)?;
        if width == 0 || patch_kernel == 0 || patch_kernel != patch_width {
            return Err(misshapen(&at("patch_embed.proj.weight"), "its kernels are not square".to_owned()));
        }
        Ok(Self {
            width,
            depth,
            patch_kernel,
            qkv_kernel,
            mlp,
            qkv_bias: tensors.has(&at("blocks.0.attn.proj_q.bias")),
            cls_token: tensors.has(&at("cls_token")),
        })
    }
}

fn misshapen(tensor: &str, reason: String) -> FactError {
    FactError::Misshapen { tensor: tensor.to_owned(), family: FAMILY, reason }
}
