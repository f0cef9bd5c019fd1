//! The sizes of a plain ViT, read off its tensors: everything but the number of heads, the epsilon and the activation,
//! which leave no trace in them.

use crate::identify::{Hints, IdentifyError};
use crate::state_dict::StateDict;

use super::{jax, refusals};

/// The names and axes that the tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// timm's.
    Timm,
    /// That of the original JAX releases, in which an axis tells the number of heads.
    Jax {
        /// Attention heads.
        heads: u64,
    },
}

/// Names of tensors that facts are read off.
pub(super) struct Names {
    pub patches: &'static str,
    pub positions: &'static str,
    pub blocks: &'static str,
    pub mlp: &'static str,
    pub qkv_bias: &'static str,
    pub head: &'static str,
}

impl Layout {
    /// The names of this layout.
    pub fn names(self) -> Names {
        match self {
            Layout::Timm => Names {
                patches: "patch_embed.proj.weight",
                positions: "pos_embed",
                blocks: "blocks",
                mlp: "blocks.0.mlp.fc1.weight",
                qkv_bias: "blocks.0.attn.qkv.bias",
                head: "head.weight",
            },
            Layout::Jax { .. } => Names {
                patches: jax::PATCHES,
                positions: jax::POSITIONS,
                blocks: "Transformer/encoderblock_0 …",
                mlp: jax::MLP,
                qkv_bias: jax::QUERY,
                head: jax::HEAD,
            },
        }
    }
}

/// What the weights say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Structure {
    /// How the tensors are called and lie.
    pub layout: Layout,
    /// Channels of a token.
    pub width: u64,
    /// Number of blocks.
    pub depth: u64,
    /// Channels between the two projections of the MLP.
    pub mlp: u64,
    /// Height and width of a patch in pixels.
    pub patch: [u64; 2],
    /// Height and width of the picture in pixels.
    pub image: [u64; 2],
    /// Whether the position embedding has a row for the class token.
    pub class_position: bool,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Names of the two layer scales behind `blocks.{i}.`, if there are any.
    pub layer_scale: Option<[&'static str; 2]>,
    /// Classes of the head; 0 without one.
    pub classes: u64,
}

/// How the two layer scales of a block are called: in timm, and in DeiT-III's own files.
const LAYER_SCALES: [[&str; 2]; 2] = [["ls1.gamma", "ls2.gamma"], ["gamma_1", "gamma_2"]];

impl Structure {
    /// Reads the sizes. `configured` is the picture's size by a config or an option, needed only where the number of
    /// positions does not tell height from width.
    ///
    /// # Errors
    /// [`IdentifyError::NoTarget`] for another structure, [`IdentifyError::Misshapen`] for one that fits none,
    /// [`IdentifyError::Undecided`] if the picture's size stays open.
    pub fn read(
        state_dict: &StateDict,
        hints: &Hints,
        configured: Option<[u64; 2]>,
    ) -> Result<Self, IdentifyError> {
        if jax::recognises(state_dict) {
            return jax::structure(state_dict, hints, configured);
        }
        refusals::check(state_dict)?;
        let [width, channels, patch_height, patch_width] = axes::<4>(state_dict, "patch_embed.proj.weight")?;
        if channels != 3 {
            return Err(IdentifyError::NoTarget {
                what: format!("a ViT for pictures of {channels} channels"),
                why: "the image processors of transformers make three".to_owned(),
                tensor: Some(format!("patch_embed.proj.weight, whose second axis is {channels}")),
                instead: "no class in transformers prepares such pictures".to_owned(),
            });
        }
        let [_, tokens, position_width] = axes::<3>(state_dict, "pos_embed")?;
        let [mlp, _] = axes::<2>(state_dict, "blocks.0.mlp.fc1.weight")?;
        let [_, mlp_out] = axes::<2>(state_dict, "blocks.0.mlp.fc2.weight")?;
        if mlp_out.checked_mul(2) == Some(mlp) {
            return Err(IdentifyError::NoTarget {
                what: "a ViT with a gated MLP (SwiGLU)".to_owned(),
                why: "transformers' ViT has two projections with an activation between them".to_owned(),
                tensor: Some(format!("blocks.0.mlp.fc1.weight, whose {mlp} rows are twice what fc2 takes")),
                instead: "Dinov2Model could hold it, which vitport does not write yet".to_owned(),
            });
        }
        let depth = state_dict.count_indices("blocks.");
        if width == 0 || mlp == 0 || patch_height == 0 || patch_width == 0 || position_width != width {
            let reason = format!(
                "its shape does not go with {width} channels and patches of {patch_height}×{patch_width}"
            );
            return Err(misshapen("pos_embed", reason));
        }
        let patch = [patch_height, patch_width];
        let wanted = hints.image_size.or(configured);
        let (image, class_position) = picture(tokens, patch, wanted)?;
        let layer_scale =
            LAYER_SCALES.into_iter().find(|[first, _]| state_dict.has(&format!("blocks.0.{first}")));
        let classes = match state_dict.shape("head.weight") {
            Some([classes, _]) => *classes,
            Some(shape) => {
                return Err(misshapen("head.weight", format!("its shape is {shape:?}, not two-dimensional")));
            }
            None => 0,
        };
        Ok(Self {
            layout: Layout::Timm,
            width,
            depth,
            mlp,
            patch,
            image,
            class_position,
            qkv_bias: state_dict.has("blocks.0.attn.qkv.bias"),
            layer_scale,
            classes,
        })
    }

    /// Number of patches of a picture.
    pub fn patches(&self) -> u64 {
        let [height, width] = self.image;
        let [patch_height, patch_width] = self.patch;
        (height / patch_height.max(1)) * (width / patch_width.max(1))
    }
}

pub(super) fn misshapen(tensor: &str, reason: String) -> IdentifyError {
    IdentifyError::Misshapen { tensor: tensor.to_owned(), family: "ViT", reason }
}

pub(super) fn axes<const N: usize>(state_dict: &StateDict, name: &str) -> Result<[u64; N], IdentifyError> {
    let Some(shape) = state_dict.shape(name) else {
        return Err(misshapen(name, "the checkpoint lacks it".to_owned()));
    };
    shape
        .try_into()
        .map_err(|_| misshapen(name, format!("its shape is {shape:?}, where {N} axes are needed")))
}

/// The picture's size, and whether the first of `tokens` positions is the class token's. Without further word the grid of
/// patches must be square.
pub(super) fn picture(
    tokens: u64,
    patch: [u64; 2],
    wanted: Option<[u64; 2]>,
) -> Result<([u64; 2], bool), IdentifyError> {
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
        _ => Err(IdentifyError::Undecided {
            question: format!(
                "the size of the picture is not known: {tokens} positions are no square of patches"
            ),
            candidates: format!("several heights and widths in patches of {patch_height}×{patch_width}"),
            option: "give --image-size HEIGHTxWIDTH".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_tells_the_picture_and_the_class_position() {
        assert_eq!(picture(197, [16, 16], None).unwrap(), ([224, 224], true));
        assert_eq!(picture(225, [16, 16], None).unwrap(), ([240, 240], false));
        assert_eq!(picture(1370, [14, 14], None).unwrap(), ([518, 518], true));
    }

    #[test]
    fn an_oblong_picture_has_to_be_said() {
        assert!(matches!(picture(99, [16, 16], None), Err(IdentifyError::Undecided { .. })));
        assert_eq!(picture(99, [16, 16], Some([112, 224])).unwrap(), ([112, 224], true));
        assert_eq!(picture(98, [16, 16], Some([112, 224])).unwrap(), ([112, 224], false));
    }

    #[test]
    fn two_positions_could_be_either() {
        assert_eq!(picture(2, [16, 16], None).unwrap(), ([16, 16], true));
        assert_eq!(picture(1, [16, 16], None).unwrap(), ([16, 16], false));
    }
}
