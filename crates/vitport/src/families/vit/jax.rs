//! The layout of the original JAX releases (google-research/vision_transformer, `.npz`): the same network as timm's ViT, under
//! other names and with other axes. What each array becomes is that of timm's own loader (`_load_weights` in
//! timm/models/vision_transformer.py, 1.0.31); the number of heads, which leaves no trace in timm's layout, is an axis here.
//!
//! The source network is timm's, run from these arrays: [`JaxWeights`] hands them out under timm's names, put into order in
//! memory. The folder's tensors are put into order by `rules_jax.toml` while they are carried, so that the two ways check
//! each other.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::structure::{Layout, Structure, axes, misshapen, picture};
use crate::identify::{Hints, IdentifyError};
use crate::nn::{ForwardError, Weights};
use crate::state_dict::StateDict;

/// Kernel of the patch embedding: `[height, width, channels, width of a token]`.
pub(super) const PATCHES: &str = "embedding/kernel";
/// Positions, the class token's first.
pub(super) const POSITIONS: &str = "Transformer/posembed_input/pos_embedding";
/// Kernel of the queries of the first block: `[width, heads, width of a head]`.
pub(super) const QUERY: &str = "Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel";
/// Kernel of the first layer of the first block's perceptron: `[width, hidden width]`.
pub(super) const MLP: &str = "Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel";
/// Kernel of the classification head: `[width, classes]`.
pub(super) const HEAD: &str = "head/kernel";

/// Structures of this layout that have no target: the beginning of a name that gives one away, what it is and what could be
/// done.
const REFUSALS: [(&str, &str, &str, &str); 4] = [
    (
        "conv_root/",
        "a hybrid of a ResNet stem and a ViT",
        "transformers' ViT takes patches from one convolution",
        "`vit_hybrid` could hold it, but is deprecated in transformers 4 and gone in 5",
    ),
    (
        "MAPHead_0/",
        "a ViT with attention pooling",
        "ViTForImageClassification reads the class token",
        "SiglipVisionModel could hold it, which vitport does not write yet",
    ),
    (
        "Transformer/encoderblock/",
        "a ViT whose blocks are stacked in one array",
        "that is the layout of big_vision and not of the original releases",
        "load it in timm and save its state dict",
    ),
    (
        "pos_embedding",
        "a ViT in the layout of big_vision",
        "its names and axes are not those of the original releases",
        "load it in timm and save its state dict",
    ),
];

/// Whether the names are those of a JAX release, be it one that has no target.
pub(super) fn recognises(state_dict: &StateDict) -> bool {
    state_dict.has(PATCHES) && state_dict.find(|name| name.starts_with("Transformer/encoderblock")).is_some()
}

/// Reads the sizes off the arrays; see [`Structure::read`].
pub(super) fn structure(
    state_dict: &StateDict,
    hints: &Hints,
    configured: Option<[u64; 2]>,
) -> Result<Structure, IdentifyError> {
    check(state_dict, hints)?;
    let [patch_height, patch_width, channels, width] = axes::<4>(state_dict, PATCHES)?;
    let [_, tokens, position_width] = axes::<3>(state_dict, POSITIONS)?;
    let [query_width, heads, head_width] = axes::<3>(state_dict, QUERY)?;
    let [mlp_width, mlp] = axes::<2>(state_dict, MLP)?;
    if channels != 3 {
        return Err(misshapen(
            PATCHES,
            format!("its third axis is {channels}, and pictures have 3 channels"),
        ));
    }
    let fits = width > 0
        && mlp > 0
        && patch_height > 0
        && patch_width > 0
        && heads.checked_mul(head_width) == Some(width)
        && [position_width, query_width, mlp_width].iter().all(|other| *other == width);
    if !fits {
        let reason = format!("its {heads} heads of {head_width} do not go with {width} channels everywhere");
        return Err(misshapen(QUERY, reason));
    }
    let patch = [patch_height, patch_width];
    let (image, class_position) = picture(tokens, patch, hints.image_size.or(configured))?;
    if !class_position {
        return Err(misshapen(POSITIONS, "it has no row for the class token".to_owned()));
    }
    let classes = match state_dict.has(HEAD) {
        true => axes::<2>(state_dict, HEAD)?[1],
        false => 0,
    };
    Ok(Structure {
        layout: Layout::Jax { heads },
        width,
        depth: depth(state_dict),
        mlp,
        patch,
        image,
        class_position,
        qkv_bias: true,
        layer_scale: None,
        classes,
    })
}

/// How many blocks follow one another from 0 on.
fn depth(state_dict: &StateDict) -> u64 {
    let has = |block: &u64| state_dict.has(&format!("Transformer/encoderblock_{block}/LayerNorm_0/scale"));
    (0..state_dict.len() as u64).take_while(has).count() as u64
}

/// Refuses what is no plain ViT. A representation layer between class token and head is one only if the head is wanted.
fn check(state_dict: &StateDict, hints: &Hints) -> Result<(), IdentifyError> {
    let refused = |what: &str, why: &str, tensor: String, instead: &str| {
        Err(IdentifyError::NoTarget {
            what: what.to_owned(),
            why: why.to_owned(),
            tensor: Some(tensor),
            instead: instead.to_owned(),
        })
    };
    for (sign, what, why, instead) in REFUSALS {
        if let Some(name) = state_dict.find(|name| name.starts_with(sign)) {
            return refused(what, why, name.to_owned(), instead);
        }
    }
    if let Some(name) = state_dict.find(|name| name.starts_with("pre_logits/"))
        && !hints.without_head
    {
        return refused(
            "a ViT with a representation layer (pre_logits)",
            "ViTForImageClassification has one linear layer behind the class token",
            name.to_owned(),
            "give --no-head for the network below that layer, which is all that timm takes of it, too",
        );
    }
    if !state_dict.has("cls") {
        return refused(
            "a ViT without a class token",
            "it averages over tokens, but ViTForImageClassification reads the class token",
            "the absence of cls".to_owned(),
            "IJepaModel or SiglipVisionModel could hold it, which vitport does not write yet",
        );
    }
    Ok(())
}

/// Arrays of a JAX release under timm's names and in timm's order of axes.
pub(super) struct JaxWeights<'a> {
    /// The arrays under their own names.
    arrays: &'a dyn Weights,
    /// Attention heads.
    heads: usize,
    /// The tensor that was put into order last, because a product asks for it part by part.
    last: Mutex<Option<Ordered>>,
}

/// A tensor of timm's, put into order.
struct Ordered {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Where a tensor of timm's comes from.
enum Way {
    /// The array as it is.
    Same(String),
    /// A matrix with its axes exchanged.
    Transposed(String),
    /// A kernel `[height, width, in, out]` as `[out, in, height, width]`.
    Convolution(String),
    /// Kernels `[width, heads, head]`, each as `[heads × head, width]`, one below the other.
    StackedKernels([String; 3]),
    /// Biases `[heads, head]`, one behind the other.
    StackedBiases([String; 3]),
    /// A kernel `[heads, head, width]` as `[width, heads × head]`.
    OutKernel(String),
}

impl<'a> JaxWeights<'a> {
    /// The arrays of a network with so many attention heads.
    pub(super) fn new(arrays: &'a dyn Weights, heads: usize) -> Self {
        Self { arrays, heads, last: Mutex::default() }
    }

    fn way(name: &str) -> Option<Way> {
        let top = match name {
            "cls_token" => Way::Same("cls".to_owned()),
            "pos_embed" => Way::Same(POSITIONS.to_owned()),
            "patch_embed.proj.weight" => Way::Convolution(PATCHES.to_owned()),
            "patch_embed.proj.bias" => Way::Same("embedding/bias".to_owned()),
            "norm.weight" => Way::Same("Transformer/encoder_norm/scale".to_owned()),
            "norm.bias" => Way::Same("Transformer/encoder_norm/bias".to_owned()),
            "head.weight" => Way::Transposed(HEAD.to_owned()),
            "head.bias" => Way::Same("head/bias".to_owned()),
            _ => return Self::way_in_block(name),
        };
        Some(top)
    }

    fn way_in_block(name: &str) -> Option<Way> {
        let (block, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
        let block = format!("Transformer/encoderblock_{block}");
        let attention = format!("{block}/MultiHeadDotProductAttention_1");
        let three = |what: &str| ["query", "key", "value"].map(|x| format!("{attention}/{x}/{what}"));
        Some(match rest {
            "norm1.weight" => Way::Same(format!("{block}/LayerNorm_0/scale")),
            "norm1.bias" => Way::Same(format!("{block}/LayerNorm_0/bias")),
            "norm2.weight" => Way::Same(format!("{block}/LayerNorm_2/scale")),
            "norm2.bias" => Way::Same(format!("{block}/LayerNorm_2/bias")),
            "attn.qkv.weight" => Way::StackedKernels(three("kernel")),
            "attn.qkv.bias" => Way::StackedBiases(three("bias")),
            "attn.proj.weight" => Way::OutKernel(format!("{attention}/out/kernel")),
            "attn.proj.bias" => Way::Same(format!("{attention}/out/bias")),
            "mlp.fc1.weight" => Way::Transposed(format!("{block}/MlpBlock_3/Dense_0/kernel")),
            "mlp.fc1.bias" => Way::Same(format!("{block}/MlpBlock_3/Dense_0/bias")),
            "mlp.fc2.weight" => Way::Transposed(format!("{block}/MlpBlock_3/Dense_1/kernel")),
            "mlp.fc2.bias" => Way::Same(format!("{block}/MlpBlock_3/Dense_1/bias")),
            _ => return None,
        })
    }

    /// The tensor `name` of timm's, put into order.
    fn ordered(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ForwardError> {
        let missing = || ForwardError::MissingTensor { name: name.to_owned() };
        let head_width = |width: usize| width.checked_div(self.heads).unwrap_or(0);
        let values = match (Self::way(name).ok_or_else(missing)?, shape) {
            (Way::Same(array), _) => return self.arrays.tensor(&array, shape),
            (Way::Transposed(array), &[rows, columns]) => {
                transposed(&self.arrays.tensor(&array, &[columns, rows])?, columns, rows)
            }
            (Way::Convolution(array), &[out, channels, height, width]) => {
                let kernel = self.arrays.tensor(&array, &[height, width, channels, out])?;
                // [height × width, channels, out] → [out, channels, height × width]
                let pixels = height.saturating_mul(width);
                let by_out = transposed(&kernel, pixels.saturating_mul(channels), out);
                let plane = pixels.saturating_mul(channels).max(1);
                by_out.chunks_exact(plane).flat_map(|plane| transposed(plane, pixels, channels)).collect()
            }
            (Way::StackedKernels(arrays), &[_, width]) => {
                let mut stacked = Vec::new();
                for array in &arrays {
                    let kernel = self.arrays.tensor(array, &[width, self.heads, head_width(width)])?;
                    stacked.extend(transposed(&kernel, width, width));
                }
                stacked
            }
            (Way::StackedBiases(arrays), &[three_widths]) => {
                let mut stacked = Vec::new();
                for array in &arrays {
                    let bias = self.arrays.tensor(array, &[self.heads, head_width(three_widths / 3)])?;
                    stacked.extend_from_slice(&bias);
                }
                stacked
            }
            (Way::OutKernel(array), &[width, heads_width]) => {
                let kernel = self.arrays.tensor(&array, &[self.heads, head_width(heads_width), width])?;
                transposed(&kernel, heads_width, width)
            }
            _ => return Err(missing()),
        };
        Ok(values)
    }
}

impl Weights for JaxWeights<'_> {
    fn part<'a>(
        &'a self,
        name: &str,
        shape: &[usize],
        elements: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> Result<&'a [f32], ForwardError> {
        if let Some(Way::Same(array)) = Self::way(name) {
            return self.arrays.part(&array, shape, elements, room);
        }
        let too_few = || ForwardError::Unreadable {
            name: name.to_owned(),
            source: "it has fewer values than were asked for".into(),
        };
        // A layer's bias is asked for between its weight's shape and its weight.
        if shape.len() == 1 {
            let values = self.ordered(name, shape)?;
            *room = values.get(elements).ok_or_else(too_few)?.to_vec();
            return Ok(room);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| last.name != name || last.shape != shape) {
            let values = self.ordered(name, shape)?;
            *last = Some(Ordered { name: name.to_owned(), shape: shape.to_vec(), values });
        }
        let part = last.as_ref().and_then(|last| last.values.get(elements));
        room.clear();
        room.extend_from_slice(part.ok_or_else(too_few)?);
        Ok(room)
    }

    fn contains(&self, name: &str) -> bool {
        match Self::way(name) {
            Some(
                Way::Same(array) | Way::Transposed(array) | Way::Convolution(array) | Way::OutKernel(array),
            ) => self.arrays.contains(&array),
            Some(Way::StackedKernels(arrays) | Way::StackedBiases(arrays)) => {
                arrays.iter().all(|array| self.arrays.contains(array))
            }
            None => false,
        }
    }
}

/// The transpose of a row-major matrix of `rows` and `columns`.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for column in 0..columns {
        turned.extend(values.iter().skip(column).step_by(columns).take(rows));
    }
    turned
}
