//! Lists the faults that only the folders of a ResNet and a RegNet can have.

use serde_json::json;

use super::fault::{Fault, Kind, fault};

/// Returns those of ResNet.
pub fn resnet() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("stages.2.layers.1.", "stages.2.layers.2.")
        }),
        fault(weight, "two layers' norms exchanged", |f| {
            f.weights.swap_all(
                "stages.2.layers.1.layer.0.normalization",
                "stages.2.layers.1.layer.1.normalization",
            );
        }),
        fault(weight, "mean and variance exchanged", |f| {
            f.weights.swap_all(
                "stages.1.layers.0.layer.2.normalization.running_mean",
                "stages.1.layers.0.layer.2.normalization.running_var",
            );
        }),
        fault(weight, "a running mean zeroed", |f| {
            f.weights.fill("stages.3.layers.0.layer.1.normalization.running_mean", 0.0);
        }),
        fault(weight, "a running variance of ones", |f| {
            f.weights.fill("stages.0.layers.1.layer.0.normalization.running_var", 1.0);
        }),
        fault(weight, "a norm of ones", |f| f.weights.fill("embedder.embedder.normalization.weight", 1.0)),
        fault(weight, "a norm's bias zeroed", |f| {
            f.weights.fill("stages.1.layers.0.shortcut.normalization.bias", 0.0)
        }),
        fault(weight, "rows and columns of the stem's kernels exchanged", |f| {
            f.weights.transpose_kernels("embedder.embedder.convolution.weight");
        }),
        fault(weight, "rows and columns of a block's kernels exchanged", |f| {
            f.weights.transpose_kernels("stages.2.layers.0.layer.1.convolution.weight");
        }),
        fault(weight, "a shortcut rolled by one", |f| {
            f.weights.edit("stages.3.layers.0.shortcut.convolution.weight", |v| v.rotate_right(64));
        }),
        fault(config, "the stride in the first convolution (v1)", |f| {
            f.config["downsample_in_bottleneck"] = json!(true)
        }),
        fault(config, "a first stage that halves", |f| f.config["downsample_in_first_stage"] = json!(true)),
        fault(config, "basic blocks", |f| f.config["layer_type"] = json!("basic")),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("silu")),
        fault(config, "other widths", |f| f.config["hidden_sizes"] = json!([32, 48, 64, 96])),
        fault(config, "another stem", |f| f.config["embedding_size"] = json!(32)),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([2, 1, 2, 1])),
        fault(config, "a stage fewer", |f| f.config["depths"] = json!([2, 1, 3])),
        fault(config, "a RegNet", |f| f.config["model_type"] = json!("regnet")),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["ResNetModel"])),
    ]
}

/// Returns those of RegNet.
pub fn regnet() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("stages.3.layers.1.", "stages.3.layers.2.")
        }),
        fault(weight, "squeezes of two blocks exchanged", |f| {
            f.weights
                .swap_all("stages.3.layers.1.layer.2.attention.0", "stages.3.layers.2.layer.2.attention.0");
        }),
        fault(weight, "the bias of a squeeze zeroed", |f| {
            f.weights.fill("stages.2.layers.0.layer.2.attention.0.bias", 0.0);
        }),
        fault(weight, "the bias of an excitation zeroed", |f| {
            f.weights.fill("stages.1.layers.0.layer.2.attention.2.bias", 0.0);
        }),
        fault(weight, "groups exchanged", |f| {
            f.weights.edit("stages.2.layers.1.layer.1.convolution.weight", |v| v.rotate_right(8 * 8 * 9));
        }),
        fault(weight, "a running variance of ones", |f| {
            f.weights.fill("embedder.embedder.normalization.running_var", 1.0);
        }),
        fault(config, "another width of groups", |f| f.config["groups_width"] = json!(16)),
        fault(config, "a RegNetX", |f| f.config["layer_type"] = json!("x")),
        fault(config, "a first stage that does not halve", |f| {
            f.config["downsample_in_first_stage"] = json!(false)
        }),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("gelu")),
        fault(config, "another stem", |f| f.config["embedding_size"] = json!(16)),
        fault(config, "other widths", |f| f.config["hidden_sizes"] = json!([8, 24, 48, 88])),
        fault(config, "a block more", |f| f.config["depths"] = json!([1, 2, 2, 4])),
        fault(config, "groups left out", |f| f.forget("groups_width")),
    ]
}
