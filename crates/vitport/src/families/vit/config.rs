//! What transformers is told of a ViT: `config.json`, the tensors that its network has under it, and what the rule file may
//! use. Keys and defaults are those of `ViTConfig` (transformers/models/vit/configuration_vit.py, 4.57.6 and 5.23.0).

use serde_json::{Map, Value, json};

use super::arguments::Hidden;
use super::structure::Structure;
use crate::rules::{Bindings, Expected};

/// `config.json` without labels and dtype. `with_head` tells ViTForImageClassification from ViTModel.
pub(super) fn config(structure: &Structure, hidden: &Hidden, with_head: bool) -> Map<String, Value> {
    let edge =
        |[height, width]: [u64; 2]| if height == width { json!(height) } else { json!([height, width]) };
    let architecture = if with_head { "ViTForImageClassification" } else { "ViTModel" };
    let config = json!({
        "architectures": [architecture],
        "attention_probs_dropout_prob": 0.0,
        "encoder_stride": structure.patch[0],
        "hidden_act": hidden.activation.value.transformers,
        "hidden_dropout_prob": 0.0,
        "hidden_size": structure.width,
        "image_size": edge(structure.image),
        "initializer_range": 0.02,
        "intermediate_size": structure.mlp,
        "layer_norm_eps": hidden.eps.value,
        "model_type": "vit",
        "num_attention_heads": hidden.heads.value,
        "num_channels": 3,
        "num_hidden_layers": structure.depth,
        "patch_size": edge(structure.patch),
        "pooler_act": if with_head { "tanh" } else { "linear" },
        "pooler_output_size": structure.width,
        "qkv_bias": structure.qkv_bias,
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `ViTConfig`'s defaults for the keys that decide what is computed and that `config` leaves out.
pub(super) fn defaults(config: &Value) -> Value {
    json!({
        "hidden_act": "gelu",
        "hidden_size": 768,
        "image_size": 224,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-12,
        "num_attention_heads": 12,
        "num_channels": 3,
        "num_hidden_layers": 12,
        "patch_size": 16,
        "pooler_act": "tanh",
        "pooler_output_size": config.get("hidden_size").cloned().unwrap_or(json!(768)),
        "qkv_bias": true,
    })
}

/// What the rule file may use.
pub(super) fn bindings(structure: &Structure, with_head: bool) -> Bindings {
    let [ls1, ls2] = structure.layer_scale.unwrap_or(["ls1.gamma", "ls2.gamma"]);
    let texts = [("base", if with_head { "vit." } else { "" }), ("ls1", ls1), ("ls2", ls2)];
    let flags = [
        ("head", with_head),
        ("qkv_bias", structure.qkv_bias),
        ("class_position", structure.class_position),
        ("layer_scale", structure.layer_scale.is_some()),
    ];
    let counts = [("layers", structure.depth), ("width", structure.width)];
    Bindings {
        counts: counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        flags: flags.into_iter().map(|(name, flag)| (name.to_owned(), flag)).collect(),
        texts: texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
    }
}

/// Norms of a block.
const NORMS: [&str; 4] =
    ["layernorm_before.weight", "layernorm_before.bias", "layernorm_after.weight", "layernorm_after.bias"];

/// Weight and bias of the projections of a block's attention.
const PROJECTIONS: [[&str; 2]; 3] = [
    ["attention.attention.query.weight", "attention.attention.query.bias"],
    ["attention.attention.key.weight", "attention.attention.key.bias"],
    ["attention.attention.value.weight", "attention.attention.value.bias"],
];

/// The state dict of ViTForImageClassification or ViTModel (transformers/models/vit/modeling_vit.py) of these sizes.
pub(super) fn expected(structure: &Structure, with_head: bool) -> Expected {
    let (width, mlp) = (structure.width, structure.mlp);
    let [patch_height, patch_width] = structure.patch;
    let base = if with_head { "vit." } else { "" };
    let mut list = Expected::default();
    list.push(format!("{base}embeddings.cls_token"), [1, 1, width]);
    list.push(format!("{base}embeddings.position_embeddings"), [1, structure.patches() + 1, width]);
    let projection = format!("{base}embeddings.patch_embeddings.projection");
    list.push(format!("{projection}.weight"), [width, 3, patch_height, patch_width]);
    list.push(format!("{projection}.bias"), [width]);
    let mut layer = Vec::new();
    let mut expect = |name: &str, shape: &[u64]| layer.push((name.to_owned(), shape.into()));
    for norm in NORMS {
        expect(norm, &[width]);
    }
    for [weight, bias] in PROJECTIONS {
        expect(weight, &[width, width]);
        if structure.qkv_bias {
            expect(bias, &[width]);
        }
    }
    expect("attention.output.dense.weight", &[width, width]);
    expect("attention.output.dense.bias", &[width]);
    expect("intermediate.dense.weight", &[mlp, width]);
    expect("intermediate.dense.bias", &[mlp]);
    expect("output.dense.weight", &[width, mlp]);
    expect("output.dense.bias", &[width]);
    list.push_layers(format!("{base}encoder.layer."), structure.depth, layer);
    list.push(format!("{base}layernorm.weight"), [width]);
    list.push(format!("{base}layernorm.bias"), [width]);
    let (end, rows) = if with_head { ("classifier", structure.classes) } else { ("pooler.dense", width) };
    list.push(format!("{end}.weight"), [rows, width]);
    list.push(format!("{end}.bias"), [rows]);
    list
}
