//! The sizes of a CvT, read off its tensors, and the structures that `CvtForImageClassification` cannot build.

use crate::identify::IdentifyError;
use crate::state_dict::StateDict;

/// What the weights say of one stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stage {
    /// Channels.
    pub width: u64,
    /// Blocks.
    pub depth: u64,
    /// Edge of the patch embedding's kernel.
    pub patch_kernel: u64,
    /// Edge of the depth-wise convolutions' kernels.
    pub qkv_kernel: u64,
    /// Channels between the two projections of the MLP, by those of the stage.
    pub mlp_ratio: f64,
    /// Channels between the two projections of the MLP.
    pub mlp: u64,
}

/// What the weights say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Structure {
    /// The stages, three in all published models.
    pub stages: Vec<Stage>,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Classes of the head.
    pub classes: u64,
}

impl Structure {
    /// Reads the sizes.
    ///
    /// # Errors
    /// [`IdentifyError::NoTarget`] for what transformers cannot build, [`IdentifyError::Misshapen`] for what no CvT is.
    pub fn read(state_dict: &StateDict) -> Result<Self, IdentifyError> {
        let count = state_dict.count_indices("stage");
        let mut stages = Vec::new();
        for stage in 0..count {
            stages.push(read_stage(state_dict, stage)?);
        }
        check(state_dict, &stages)?;
        let classes = match state_dict.shape("head.weight") {
            Some([classes, _]) if *classes > 0 => *classes,
            Some(shape) => return Err(misshapen("head.weight", format!("its shape is {shape:?}"))),
            None => {
                return Err(IdentifyError::NoTarget {
                    what: "a CvT without a classification head".to_owned(),
                    why:
                        "CvtModel ends before the final norm, so no class in transformers gives its features"
                            .to_owned(),
                    tensor: Some("the absence of head.weight".to_owned()),
                    instead: "convert the checkpoint with its head".to_owned(),
                });
            }
        };
        Ok(Self { stages, qkv_bias: state_dict.has("stage0.blocks.0.attn.proj_q.bias"), classes })
    }
}

fn read_stage(state_dict: &StateDict, stage: u64) -> Result<Stage, IdentifyError> {
    let at = |rest: &str| format!("stage{stage}.{rest}");
    let [width, channels, patch_kernel, patch_width] = axes::<4>(state_dict, &at("patch_embed.proj.weight"))?;
    if stage == 0 && channels != 3 {
        return Err(IdentifyError::NoTarget {
            what: format!("a CvT for pictures of {channels} channels"),
            why: "the image processors of transformers make three".to_owned(),
            tensor: Some(at("patch_embed.proj.weight")),
            instead: "no class in transformers prepares such pictures".to_owned(),
        });
    }
    let depth = state_dict.count_indices(&at("blocks."));
    let convolution = at("blocks.0.attn.conv_proj_q.conv.weight");
    if !state_dict.has(&convolution) {
        return Err(IdentifyError::NoTarget {
            what: "a CvT whose queries are not made by a depth-wise convolution".to_owned(),
            why: "transformers can only build qkv_projection_method `dw_bn`".to_owned(),
            tensor: Some(format!("the absence of {convolution}")),
            instead: "no class in transformers holds it".to_owned(),
        });
    }
    let [_, _, qkv_kernel, qkv_width] = axes::<4>(state_dict, &convolution)?;
    let [mlp, _] = axes::<2>(state_dict, &at("blocks.0.mlp.fc1.weight"))?;
    if width == 0
        || patch_kernel == 0
        || patch_kernel != patch_width
        || qkv_kernel == 0
        || qkv_kernel != qkv_width
    {
        return Err(misshapen(&at("patch_embed.proj.weight"), "its kernels are not square".to_owned()));
    }
    let mlp_ratio = mlp as f64 / width as f64;
    Ok(Stage { width, depth, patch_kernel, qkv_kernel, mlp_ratio, mlp })
}

/// What transformers cannot build (both versions).
fn check(state_dict: &StateDict, stages: &[Stage]) -> Result<(), IdentifyError> {
    let refused = |what: String, why: &str, tensor: String| {
        let instead = "no class in transformers holds it".to_owned();
        Err(IdentifyError::NoTarget { what, why: why.to_owned(), tensor: Some(tensor), instead })
    };
    if stages.len() != 3 {
        return refused(
            format!("a CvT of {} stages", stages.len()),
            "all published ones have three, and what the strides of others are leaves no trace in the weights",
            format!("stage{}", stages.len().saturating_sub(1)),
        );
    }
    for (index, stage) in (0_u64..).zip(stages) {
        if stage.depth < index + 1 {
            return refused(
                format!("a CvT with {} blocks in stage {index}", stage.depth),
                "by an indexing slip in its code transformers can only build stages of at least one block more than their number, counted from 0",
                format!("stage{index}.blocks"),
            );
        }
        let is_last = index + 1 == stages.len() as u64;
        let token = format!("stage{index}.cls_token");
        if state_dict.has(&token) != is_last {
            return refused(
                format!("a CvT with{} a class token in stage {index}", if is_last { "out" } else { "" }),
                "transformers can only build CvTs whose class token is in the last stage and nowhere else",
                if is_last { format!("the absence of {token}") } else { token },
            );
        }
    }
    if let Some(name) = state_dict.find(|name| name.ends_with(".pos_embed") || name.contains(".rel_pos")) {
        let what = "a CvT with position embeddings".to_owned();
        return refused(what, "transformers' CvT has none", name.to_owned());
    }
    Ok(())
}

fn misshapen(tensor: &str, reason: String) -> IdentifyError {
    IdentifyError::Misshapen { tensor: tensor.to_owned(), family: "CvT", reason }
}

fn axes<const N: usize>(state_dict: &StateDict, name: &str) -> Result<[u64; N], IdentifyError> {
    let Some(shape) = state_dict.shape(name) else {
        return Err(misshapen(name, "the checkpoint lacks it".to_owned()));
    };
    shape
        .try_into()
        .map_err(|_| misshapen(name, format!("its shape is {shape:?}, where {N} axes are needed")))
}
