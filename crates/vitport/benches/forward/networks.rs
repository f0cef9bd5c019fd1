//! Builds the two networks whose forward passes are timed, by this benchmark and by `examples/forward.rs`.

use serde_json::{Map, Value, json};
use vitport::frameworks::transformers::TargetDefinition;
use vitport::frameworks::transformers::cvt::Cvt;

/// Returns the config of timm's `vit_base_patch16_224`.
pub fn vit_b() -> Map<String, Value> {
    let config = json!({
        "img_size": [224, 224],
        "patch_size": [16, 16],
        "in_chans": 3,
        "num_classes": 1000,
        "embed_dim": 768,
        "depth": 12,
        "num_heads": 12,
        "mlp_dim": 3072,
        "qkv_bias": true,
        "layer_scale": false,
        "no_embed_class": false,
        "pre_norm": false,
        "act_layer": "gelu",
        "norm_eps": 1e-6,
    });
    config.as_object().cloned().unwrap_or_default()
}

/// Returns the config of `microsoft/cvt-13`, whose sizes are transformers' defaults.
pub fn cvt_13() -> Map<String, Value> {
    let mut config = Cvt.defaults(&Map::new());
    config.insert("architectures".to_owned(), json!(["CvtForImageClassification"]));
    config.insert("num_labels".to_owned(), json!(1000));
    config
}
