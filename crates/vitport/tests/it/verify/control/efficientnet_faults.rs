//! Lists the faults that only the folders of an EfficientNet can have.

use serde_json::json;

use super::fault::{Fault, Kind, fault};

/// Returns them.
pub fn list() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("encoder.blocks.4.", "encoder.blocks.5.")
        }),
        fault(weight, "a block's first and second norms exchanged", |f| {
            f.weights.swap_all("blocks.4.expansion.expand_bn", "blocks.4.depthwise_conv.depthwise_norm");
        }),
        fault(weight, "mean and variance exchanged", |f| {
            f.weights.swap_all(
                "blocks.2.projection.project_bn.running_mean",
                "blocks.2.projection.project_bn.running_var",
            );
        }),
        fault(weight, "a running variance of ones", |f| {
            f.weights.fill("embeddings.batchnorm.running_var", 1.0)
        }),
        fault(weight, "a norm of ones", |f| f.weights.fill("encoder.top_bn.weight", 1.0)),
        fault(weight, "rows and columns of the stem's kernels exchanged", |f| {
            f.weights.transpose_kernels("embeddings.convolution.weight");
        }),
        fault(weight, "rows and columns of depth-wise kernels exchanged", |f| {
            f.weights.transpose_kernels("blocks.3.depthwise_conv.depthwise_conv.weight");
        }),
        fault(weight, "depth-wise kernels rolled by one", |f| {
            f.weights.edit("blocks.1.depthwise_conv.depthwise_conv.weight", |v| v.rotate_right(9));
        }),
        fault(weight, "an expansion rolled by one", |f| {
            f.weights.edit("blocks.6.expansion.expand_conv.weight", |v| v.rotate_right(32));
        }),
        fault(weight, "excitations of two blocks exchanged", |f| {
            f.weights.swap_all("blocks.4.squeeze_excite.expand", "blocks.5.squeeze_excite.expand");
        }),
        fault(weight, "the bias of an excitation zeroed", |f| {
            f.weights.fill("blocks.0.squeeze_excite.expand.bias", 0.0);
        }),
        fault(weight, "an excitation that changes nothing", |f| {
            f.weights.fill("blocks.2.squeeze_excite.expand.weight", 0.0);
            f.weights.fill("blocks.2.squeeze_excite.expand.bias", 100.0);
        }),
        fault(config, "no block that pads alike", |f| f.config["depthwise_padding"] = json!([])),
        fault(config, "another block that pads alike", |f| f.config["depthwise_padding"] = json!([1])),
        fault(config, "one block more that pads alike", |f| f.config["depthwise_padding"] = json!([3, 6])),
        fault(config, "another epsilon", |f| f.config["batch_norm_eps"] = json!(1e-5)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "another kernel", |f| f.config["kernel_sizes"] = json!([3, 3, 3, 3])),
        fault(config, "another stride", |f| f.config["strides"] = json!([1, 2, 1, 2])),
        fault(config, "another expansion", |f| f.config["expand_ratios"] = json!([1, 4, 6, 6])),
        fault(config, "another squeeze", |f| f.config["squeeze_expansion_ratio"] = json!(0.5)),
        fault(config, "another width", |f| f.config["width_coefficient"] = json!(1.0)),
        fault(config, "another depth", |f| f.config["depth_coefficient"] = json!(2.0)),
        fault(config, "another width of the classifier", |f| f.config["hidden_dim"] = json!(1280)),
        fault(config, "a block fewer", |f| f.config["num_block_repeats"] = json!([1, 2, 2, 1])),
        fault(config, "the largest value pooled", |f| f.config["pooling_type"] = json!("max")),
        fault(config, "the class's own stages", |f| f.forget("in_channels")),
        fault(config, "a model without its head", |f| {
            f.config["architectures"] = json!(["EfficientNetModel"])
        }),
    ]
}
