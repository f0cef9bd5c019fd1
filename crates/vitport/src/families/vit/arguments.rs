//! Arguments that a timm model was made with, as the `config.json` of a hub folder records them in `model_args`. Most are
//! visible in the weights too, and then the two must agree; some are visible nowhere else.

use serde_json::{Map, Value};
use vitport_checkpoint::escape;

use super::structure::Structure;
use crate::identify::{IdentifyError, Known, Origin};
use crate::nn::Activation;
use crate::source::TimmConfig;
use crate::zoo::Architecture;

/// Arguments without a say in what the network computes in evaluation.
const WITHOUT_EFFECT: [&str; 20] = [
    "drop_rate",
    "pos_drop_rate",
    "patch_drop_rate",
    "proj_drop_rate",
    "attn_drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "weight_init",
    "fix_init",
    "dynamic_img_size",
    "dynamic_img_pad",
    "strict_img_size",
    "num_classes",
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
    "scriptable",
    "exportable",
    "device",
];

/// Arguments whose effect the weights show; `structure` and `refusals` have read it there.
const SHOWN_BY_WEIGHTS: [&str; 16] = [
    "qkv_bias",
    "qk_norm",
    "scale_attn_norm",
    "scale_mlp_norm",
    "proj_bias",
    "init_values",
    "class_token",
    "pos_embed",
    "no_embed_class",
    "reg_tokens",
    "pre_norm",
    "final_norm",
    "fc_norm",
    "pool_include_prefix",
    "in_chans",
    "embed_norm_layer",
];

/// An activation by all its names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NamedActivation {
    /// timm's name (timm/layers/create_act.py).
    timm: &'static str,
    /// timm's or PyTorch's class.
    class: &'static str,
    /// transformers' name (`ACT2FN`).
    pub transformers: &'static str,
    /// What computes it here.
    pub computed: Activation,
}

/// The activation of a ViT where nothing else is said.
pub(super) const GELU: NamedActivation =
    NamedActivation { timm: "gelu", class: "GELU", transformers: "gelu", computed: Activation::Gelu };

const ACTIVATIONS: [NamedActivation; 4] = [
    GELU,
    NamedActivation {
        timm: "gelu_tanh",
        class: "GELUTanh",
        transformers: "gelu_pytorch_tanh",
        computed: Activation::GeluTanh,
    },
    NamedActivation {
        timm: "quick_gelu",
        class: "QuickGELU",
        transformers: "quick_gelu",
        computed: Activation::QuickGelu,
    },
    NamedActivation { timm: "relu", class: "ReLU", transformers: "relu", computed: Activation::Relu },
];

/// timm's epsilon of a ViT's layer norms where nothing else is said (timm/layers/norm.py, `LayerNorm`).
pub(super) const TIMM_EPS: f64 = 1e-6;

/// What the weights do not show.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hidden {
    /// Attention heads.
    pub heads: Known<u64>,
    /// Epsilon of the layer norms.
    pub eps: Known<f64>,
    /// The activation of the MLP.
    pub activation: Known<NamedActivation>,
}

/// What an architecture says of itself.
pub(super) fn of_architecture(architecture: &Architecture) -> Result<Hidden, IdentifyError> {
    let origin = || Origin::Zoo(architecture.name.clone());
    let class = architecture.structure.act.as_deref().unwrap_or("GELU");
    let Some(activation) = ACTIVATIONS.iter().find(|known| known.class == class) else {
        return Err(no_place(&architecture.name, "activation", class));
    };
    Ok(Hidden {
        heads: Known::new(architecture.heads as u64, origin()),
        eps: Known::new(architecture.structure.eps.unwrap_or(TIMM_EPS), origin()),
        activation: Known::new(*activation, origin()),
    })
}

/// An architecture with the arguments of a hub folder's config, held against the weights.
///
/// # Errors
/// [`IdentifyError::Misshapen`] where config and weights contradict each other, [`IdentifyError::NoTarget`] for an
/// argument that transformers' ViT cannot express or that is not known here.
pub(super) fn of_config(
    architecture: &Architecture,
    config: &TimmConfig,
    structure: &Structure,
) -> Result<Hidden, IdentifyError> {
    let mut hidden = of_architecture(architecture)?;
    let arguments = &config.model_args;
    let number = |key: &str, default: usize| match arguments.get(key) {
        None | Some(Value::Null) => Ok(default as u64),
        Some(value) => value.as_u64().ok_or_else(|| wrong_kind(key, value)),
    };
    agree(
        "embed_dim",
        number("embed_dim", architecture.embed_dim)?,
        structure.width,
        "patch_embed.proj.weight",
    )?;
    agree("depth", number("depth", architecture.depth)?, structure.depth, "blocks")?;
    let mlp = match arguments.get("mlp_ratio") {
        None | Some(Value::Null) => {
            let ratio = architecture.mlp_dim as f64 / architecture.embed_dim.max(1) as f64;
            (structure.width as f64 * ratio) as u64
        }
        Some(value) => {
            let ratio = value.as_f64().ok_or_else(|| wrong_kind("mlp_ratio", value))?;
            (structure.width as f64 * ratio) as u64
        }
    };
    agree("the MLP's width by mlp_ratio", mlp, structure.mlp, "blocks.0.mlp.fc1.weight")?;
    let patch = pair(arguments, "patch_size")?.unwrap_or(architecture.patch_size.map(|edge| edge as u64));
    if patch != structure.patch {
        let reason =
            format!("config.json says patches of {patch:?} pixels, the weights {:?}", structure.patch);
        return Err(contradiction("patch_embed.proj.weight", reason));
    }
    if let Some(value) = arguments.get("num_heads").filter(|value| !value.is_null()) {
        let heads = value.as_u64().ok_or_else(|| wrong_kind("num_heads", value))?;
        hidden.heads = Known::new(heads, Origin::HubConfig("model_args.num_heads"));
    }
    if let Some(value) = arguments.get("act_layer").filter(|value| !value.is_null()) {
        let name = value.as_str().ok_or_else(|| wrong_kind("act_layer", value))?;
        let Some(activation) = ACTIVATIONS.iter().find(|known| known.timm == name.to_ascii_lowercase())
        else {
            return Err(no_place(&config.architecture, "act_layer", name));
        };
        hidden.activation = Known::new(*activation, Origin::HubConfig("model_args.act_layer"));
    }
    if let Some(value) = arguments.get("norm_layer").filter(|value| !value.is_null()) {
        match value.as_str() {
            Some("layernorm" | "layernormfp32") => {
                hidden.eps = Known::new(TIMM_EPS, Origin::HubConfig("model_args.norm_layer"));
            }
            _ => return Err(no_place(&config.architecture, "norm_layer", &value.to_string())),
        }
    }
    if let Some(pool) = config.global_pool()
        && pool != "token"
    {
        return Err(IdentifyError::NoTarget {
            what: format!("a ViT with global_pool `{}`", escape(pool)),
            why: "ViTForImageClassification reads the class token".to_owned(),
            tensor: Some("global_pool in config.json".to_owned()),
            instead: "a class that pools over tokens could hold it, which vitport does not write yet"
                .to_owned(),
        });
    }
    let read = [
        "embed_dim",
        "depth",
        "mlp_ratio",
        "patch_size",
        "num_heads",
        "act_layer",
        "norm_layer",
        "img_size",
        "global_pool",
    ];
    let is_known =
        |key: &str| read.contains(&key) || WITHOUT_EFFECT.contains(&key) || SHOWN_BY_WEIGHTS.contains(&key);
    match arguments.iter().find(|(key, value)| !value.is_null() && !is_known(key)) {
        Some((key, value)) => Err(no_place(&config.architecture, key, &value.to_string())),
        None => Ok(hidden),
    }
}

/// The picture's size by the config: the model's own argument, or the size it was pretrained at.
pub(super) fn image_size(config: &TimmConfig) -> Result<Option<[u64; 2]>, IdentifyError> {
    if let Some(size) = pair(&config.model_args, "img_size")? {
        return Ok(Some(size));
    }
    Ok(match config.pretrained_cfg.get("input_size").and_then(Value::as_array).map(Vec::as_slice) {
        Some([_, height, width]) => {
            height.as_u64().zip(width.as_u64()).map(|(height, width)| [height, width])
        }
        _ => None,
    })
}

/// One number for both edges, or height and width.
fn pair(arguments: &Map<String, Value>, key: &str) -> Result<Option<[u64; 2]>, IdentifyError> {
    let Some(value) = arguments.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    if let Some(edge) = value.as_u64() {
        return Ok(Some([edge, edge]));
    }
    match value.as_array().map(Vec::as_slice) {
        Some([height, width]) => match (height.as_u64(), width.as_u64()) {
            (Some(height), Some(width)) => Ok(Some([height, width])),
            _ => Err(wrong_kind(key, value)),
        },
        _ => Err(wrong_kind(key, value)),
    }
}

fn agree(what: &str, by_config: u64, by_weights: u64, tensor: &str) -> Result<(), IdentifyError> {
    if by_config == by_weights {
        return Ok(());
    }
    Err(contradiction(
        tensor,
        format!("{what} is {by_config} by config.json, but {by_weights} by the weights"),
    ))
}

fn contradiction(tensor: &str, reason: String) -> IdentifyError {
    IdentifyError::Misshapen { tensor: tensor.to_owned(), family: "ViT", reason }
}

fn wrong_kind(key: &str, value: &Value) -> IdentifyError {
    let shown: String = value.to_string().chars().take(40).collect();
    contradiction("config.json", format!("model_args.{key} is {}, which no ViT has", escape(&shown)))
}

fn no_place(architecture: &str, key: &str, value: &str) -> IdentifyError {
    let value: String = value.chars().take(40).collect();
    IdentifyError::NoTarget {
        what: format!("timm's {} with {} {}", escape(architecture), escape(key), escape(&value)),
        why: "transformers' ViT cannot express it, or it is not known here what it means".to_owned(),
        tensor: Some(format!("model_args.{key} in config.json")),
        instead: "if it does not change what the network computes, remove it from config.json".to_owned(),
    }
}
