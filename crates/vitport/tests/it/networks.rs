//! Builds what networks of tests are made of: configs, and networks that are nothing but a list of tensors.

use serde_json::{Map, Value, json};
use vitport::nn::{Context, Forward, ForwardError, Network, Outputs, Pixels};

/// A forward pass without outputs.
struct Nothing;

impl Forward for Nothing {
    fn forward(&self, _: &Pixels, _: &mut Context<'_>) -> Result<Outputs, ForwardError> {
        Ok(Outputs::new())
    }
}

/// Returns a network that reads tensors of these names and shapes.
pub fn listed(tensors: &[(&str, &[u64])]) -> Network {
    Network::build(|scope| {
        for (name, shape) in tensors {
            let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
            scope.parameter(name, &shape)?;
        }
        Ok(Nothing)
    })
    .unwrap()
}

/// Returns a config with some of its keys replaced.
pub fn with(mut config: Map<String, Value>, changes: Value) -> Map<String, Value> {
    config.extend(changes.as_object().unwrap().clone());
    config
}

/// Returns the config that `data/vit/make.py` starts from, with some of its keys replaced.
pub fn timm_vit(changes: Value) -> Map<String, Value> {
    let base = json!({
        "img_size": [16, 16],
        "patch_size": [4, 4],
        "in_chans": 3,
        "num_classes": 7,
        "embed_dim": 16,
        "depth": 2,
        "num_heads": 2,
        "mlp_dim": 64,
        "qkv_bias": true,
        "layer_scale": false,
        "no_embed_class": false,
        "pre_norm": false,
        "act_layer": "gelu",
        "norm_eps": 1e-6,
    });
    with(base.as_object().unwrap().clone(), changes)
}
