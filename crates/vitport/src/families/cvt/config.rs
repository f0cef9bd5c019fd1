//! What transformers is told of a CvT: `config.json`, the tensors that its network has under it, and what the rule file may
//! use. Keys are those of `CvtConfig` (transformers/models/cvt/configuration_cvt.py, 4.57.6 and 5.23.0).

use serde_json::{Map, Value, json};
use vitport_checkpoint::Dims;

use super::structure::{Stage, Structure};
use crate::rules::{Bindings, Expected};

/// Epsilon of CvT's layer norms in Microsoft's definition (`norm_layer=partial(LayerNorm, eps=1e-5)`), and the one that
/// transformers always uses, whatever its config says.
pub(super) const LAYER_NORM_EPS: f64 = 1e-5;
/// Strides of the patch embeddings (experiments/imagenet/cvt/*.yaml, PATCH_STRIDE): they leave no trace in the weights.
pub(super) const PATCH_STRIDES: [u64; 3] = [4, 2, 2];
/// Paddings of the patch embeddings (PATCH_PADDING).
pub(super) const PATCH_PADDINGS: [u64; 3] = [2, 1, 1];
/// Strides of the convolutions before keys and values (STRIDE_KV) and before queries (STRIDE_Q).
pub(super) const KV_STRIDE: u64 = 2;
/// Paddings of those convolutions (PADDING_KV, PADDING_Q).
pub(super) const QKV_PADDING: u64 = 1;

/// `config.json` without labels and dtype.
pub(super) fn config(structure: &Structure, heads: &[u64]) -> Map<String, Value> {
    let stages = &structure.stages;
    let each = |value: fn(&Stage) -> Value| stages.iter().map(value).collect::<Vec<_>>();
    let same = |value: Value| vec![value; stages.len()];
    let is_last = |index: usize| index + 1 == stages.len();
    let config = json!({
        "architectures": ["CvtForImageClassification"],
        "attention_drop_rate": same(json!(0.0)),
        "cls_token": (0..stages.len()).map(is_last).collect::<Vec<_>>(),
        "depth": each(|stage| json!(stage.depth)),
        "drop_path_rate": same(json!(0.0)),
        "drop_rate": same(json!(0.0)),
        "embed_dim": each(|stage| json!(stage.width)),
        "initializer_range": 0.02,
        "kernel_qkv": each(|stage| json!(stage.qkv_kernel)),
        "layer_norm_eps": LAYER_NORM_EPS,
        "mlp_ratio": each(|stage| json!(stage.mlp_ratio)),
        "model_type": "cvt",
        "num_channels": 3,
        "num_heads": heads,
        "padding_kv": same(json!(QKV_PADDING)),
        "padding_q": same(json!(QKV_PADDING)),
        "patch_padding": PATCH_PADDINGS,
        "patch_sizes": each(|stage| json!(stage.patch_kernel)),
        "patch_stride": PATCH_STRIDES,
        "qkv_bias": same(json!(structure.qkv_bias)),
        "qkv_projection_method": same(json!("dw_bn")),
        "stride_kv": same(json!(KV_STRIDE)),
        "stride_q": same(json!(1)),
    });
    match config {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// `CvtConfig`'s defaults for the keys that decide what is computed.
pub(super) fn defaults() -> Value {
    json!({
        "cls_token": [false, false, true],
        "depth": [1, 2, 10],
        "embed_dim": [64, 192, 384],
        "kernel_qkv": [3, 3, 3],
        "layer_norm_eps": 1e-12,
        "mlp_ratio": [4.0, 4.0, 4.0],
        "num_channels": 3,
        "num_heads": [1, 3, 6],
        "padding_kv": [1, 1, 1],
        "padding_q": [1, 1, 1],
        "patch_padding": [2, 1, 1],
        "patch_sizes": [7, 3, 3],
        "patch_stride": [4, 2, 2],
        "qkv_bias": [true, true, true],
        "qkv_projection_method": ["dw_bn", "dw_bn", "dw_bn"],
        "stride_kv": [2, 2, 2],
        "stride_q": [1, 1, 1],
    })
}

/// What the rule file may use.
pub(super) fn bindings(structure: &Structure) -> Bindings {
    let mut bindings = Bindings::default();
    bindings.counts.insert("stages".to_owned(), structure.stages.len() as u64);
    for (index, stage) in structure.stages.iter().enumerate() {
        bindings.counts.insert(format!("blocks.{index}"), stage.depth);
    }
    bindings.flags.insert("qkv_bias".to_owned(), structure.qkv_bias);
    bindings.texts.insert("last".to_owned(), structure.stages.len().saturating_sub(1).to_string());
    bindings
}

/// The state dict of CvtForImageClassification (transformers/models/cvt/modeling_cvt.py) of these sizes.
pub(super) fn expected(structure: &Structure) -> Expected {
    let mut list = Expected::default();
    let mut below = 3;
    for (index, stage) in structure.stages.iter().enumerate() {
        let name = format!("cvt.encoder.stages.{index}");
        let embedding = format!("{name}.embedding.convolution_embeddings");
        let (width, kernel) = (stage.width, stage.patch_kernel);
        list.push(format!("{embedding}.projection.weight"), [width, below, kernel, kernel]);
        for rest in ["projection.bias", "normalization.weight", "normalization.bias"] {
            list.push(format!("{embedding}.{rest}"), [width]);
        }
        if index + 1 == structure.stages.len() {
            list.push(format!("{name}.cls_token"), [1, 1, width]);
        }
        list.push_layers(format!("{name}.layers."), stage.depth, layer(stage, structure.qkv_bias));
        below = width;
    }
    for norm in ["weight", "bias"] {
        list.push(format!("layernorm.{norm}"), [below]);
    }
    list.push("classifier.weight", [structure.classes, below]);
    list.push("classifier.bias", [structure.classes]);
    list
}

/// The tensors of one layer of a stage.
fn layer(stage: &Stage, qkv_bias: bool) -> Vec<(String, Dims)> {
    let (width, kernel) = (stage.width, stage.qkv_kernel);
    let mut list = Vec::new();
    let mut expect = |name: String, shape: &[u64]| list.push((name, shape.into()));
    for projection in ["query", "key", "value"] {
        let attention = "attention.attention";
        let convolution = format!("{attention}.convolution_projection_{projection}.convolution_projection");
        expect(format!("{convolution}.convolution.weight"), &[width, 1, kernel, kernel]);
        for statistic in ["weight", "bias", "running_mean", "running_var"] {
            expect(format!("{convolution}.normalization.{statistic}"), &[width]);
        }
        expect(format!("{convolution}.normalization.num_batches_tracked"), &[]);
        expect(format!("{attention}.projection_{projection}.weight"), &[width, width]);
        if qkv_bias {
            expect(format!("{attention}.projection_{projection}.bias"), &[width]);
        }
    }
    expect("attention.output.dense.weight".to_owned(), &[width, width]);
    expect("intermediate.dense.weight".to_owned(), &[stage.mlp, width]);
    expect("intermediate.dense.bias".to_owned(), &[stage.mlp]);
    expect("output.dense.weight".to_owned(), &[width, stage.mlp]);
    for name in [
        "attention.output.dense.bias",
        "output.dense.bias",
        "layernorm_before.weight",
        "layernorm_before.bias",
        "layernorm_after.weight",
        "layernorm_after.bias",
    ] {
        expect(name.to_owned(), &[width]);
    }
    list
}
