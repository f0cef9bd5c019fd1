//! Lists the faults that only the folders of a ConvNeXt, one with scaled weights, a ConvNeXt V2 and a DINOv3 ConvNeXt can have.

use serde_json::json;

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const LESS_THAN_ROUNDING: &str = "on this network the outputs move by less than rounding";

/// Returns those of ConvNeXt.
pub fn first() -> Vec<Fault> {
    let (weight, config, processor) = (Kind::Weights, Kind::Config, Kind::Processor);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.", "stages.2.layers.1.")
        }),
        fault(weight, "two blocks' scales exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.layer_scale", "stages.2.layers.2.layer_scale");
        }),
        fault(weight, "two blocks' kernels exchanged", |f| {
            f.weights.swap_all("stages.0.layers.0.dwconv.weight", "stages.0.layers.1.dwconv.weight");
        }),
        fault(weight, "rows and columns of depth-wise kernels exchanged", |f| {
            f.weights.transpose_kernels("stages.1.layers.0.dwconv.weight");
        }),
        fault(weight, "rows and columns of the stem's kernels exchanged", |f| {
            f.weights.transpose_kernels("patch_embeddings.weight");
        }),
        fault(weight, "rows and columns of a downsampling exchanged", |f| {
            f.weights.transpose_kernels("stages.2.downsampling_layer.1.weight");
        }),
        fault(weight, "red and blue of the stem exchanged", |f| {
            f.weights.swap_red_and_blue("patch_embeddings.weight")
        }),
        fault(weight, "a layer scale of ones", |f| {
            f.weights.fill("stages.3.layers.0.layer_scale_parameter", 1.0)
        }),
        fault(weight, "a layer scale of the initial value", |f| {
            f.weights.fill("stages.0.layers.1.layer_scale_parameter", 1e-6);
        }),
        fault(weight, "a layer scale rolled by one", |f| {
            f.weights.edit("stages.1.layers.0.layer_scale_parameter", |v| v.rotate_right(1));
        }),
        fault(weight, "depth-wise kernels rolled by one channel", |f| {
            f.weights.edit("stages.2.layers.1.dwconv.weight", |v| v.rotate_right(49));
        }),
        fault(weight, "a depth-wise bias zeroed", |f| f.weights.fill("stages.2.layers.1.dwconv.bias", 0.0)),
        fault(weight, "an MLP's bias zeroed", |f| f.weights.fill("stages.3.layers.0.pwconv1.bias", 0.0)),
        fault(weight, "the stem's norm of ones", |f| f.weights.fill("embeddings.layernorm.weight", 1.0)),
        fault(weight, "a block's norm of ones", |f| {
            f.weights.fill("stages.1.layers.0.layernorm.weight", 1.0)
        }),
        fault(weight, "a downsampling's norm without bias", |f| {
            f.weights.fill("stages.3.downsampling_layer.0.bias", 0.0);
        }),
        fault(weight, "the last norm of ones", |f| f.weights.fill("convnext.layernorm.weight", 1.0)),
        fault(config, "no layer scale in the config", |f| f.config["layer_scale_init_value"] = json!(0.0)),
        fault(config, "the default epsilon of the last norm", |f| f.forget("layer_norm_eps"))
            .unseen(LESS_THAN_ROUNDING),
        fault(config, "an epsilon of 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "GELU by tanh", |f| f.config["hidden_act"] = json!("gelu_new")),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([2, 1, 2, 1])),
        fault(config, "a block more", |f| f.config["depths"] = json!([2, 1, 4, 1])),
        fault(config, "depths left out", |f| f.forget("depths")),
        fault(config, "a stage fewer", |f| f.config["num_stages"] = json!(3)),
        fault(config, "a stage more", |f| f.config["num_stages"] = json!(5)),
        fault(config, "another patch", |f| f.config["patch_size"] = json!(2)),
        fault(config, "other widths", |f| f.config["hidden_sizes"] = json!([16, 32, 64, 64])),
        fault(config, "ConvNeXt V2", |f| f.config["model_type"] = json!("convnextv2")),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["ConvNextModel"])),
        fault(processor, "ConvNextImageProcessor, which adds the crop's margin itself", |f| {
            f.processor["image_processor_type"] = json!("ConvNextImageProcessor");
        }),
    ]
}

/// Takes the factor of scaled weights out of a tensor again.
fn unscale(f: &mut FolderFiles, ending: &str) {
    f.weights.edit(ending, |values| values.iter_mut().for_each(|value| *value *= 10_f32.sqrt()));
}

/// Returns those of a ConvNeXt whose weights are scaled.
pub fn scaled() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "the stem's convolution not scaled", |f| {
            unscale(f, "patch_embeddings.weight");
            unscale(f, "patch_embeddings.bias");
        }),
        fault(weight, "the stem's norm not scaled", |f| {
            unscale(f, "embeddings.layernorm.weight");
            unscale(f, "embeddings.layernorm.bias");
        }),
        fault(weight, "the bias of the stem's norm not scaled", |f| unscale(f, "embeddings.layernorm.bias")),
        fault(weight, "a downsampling not scaled", |f| {
            unscale(f, "stages.2.downsampling_layer.1.weight");
            unscale(f, "stages.2.downsampling_layer.1.bias");
        }),
        fault(weight, "a downsampling's bias not scaled", |f| {
            unscale(f, "stages.3.downsampling_layer.1.bias");
        }),
        fault(weight, "a depth-wise bias not scaled", |f| unscale(f, "stages.1.layers.1.dwconv.bias")),
        fault(weight, "a depth-wise kernel scaled", |f| {
            f.weights.edit("stages.1.layers.0.dwconv.weight", |values| {
                values.iter_mut().for_each(|value| *value *= 0.1_f32.sqrt());
            });
        }),
        fault(weight, "a layer scale not scaled", |f| unscale(f, "stages.2.layers.0.layer_scale_parameter")),
        fault(weight, "a norm scaled", |f| {
            f.weights.edit("stages.2.layers.1.layernorm.weight", |values| {
                values.iter_mut().for_each(|value| *value *= 0.1_f32.sqrt());
            });
        }),
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.", "stages.2.layers.1.")
        }),
        fault(config, "no layer scale in the config", |f| f.config["layer_scale_init_value"] = json!(0.0)),
        fault(config, "timm's epsilon", |f| f.config["layer_norm_eps"] = json!(1e-5)),
        fault(config, "an epsilon of 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([1, 2, 1, 1])),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["ConvNextModel"])),
    ]
}

/// Returns those of ConvNeXt V2.
pub fn second() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "a global response norm zeroed", |f| {
            f.weights.fill("stages.1.layers.0.grn.weight", 0.0)
        }),
        fault(weight, "the bias of one zeroed", |f| f.weights.fill("stages.2.layers.1.grn.bias", 0.0)),
        fault(weight, "one rolled by one", |f| {
            f.weights.edit("stages.0.layers.0.grn.weight", |v| v.rotate_right(1))
        }),
        fault(weight, "two blocks' norms exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.grn.", "stages.2.layers.1.grn.");
        }),
        fault(weight, "weights and biases of one exchanged", |f| {
            f.weights.swap_all("stages.3.layers.0.grn.weight", "stages.3.layers.0.grn.bias");
        }),
        fault(config, "the first version", |f| f.config["model_type"] = json!("convnext")),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "the default epsilon of the last norm", |f| f.forget("layer_norm_eps"))
            .unseen(LESS_THAN_ROUNDING),
        fault(config, "a block more", |f| f.config["depths"] = json!([1, 2, 3, 1])),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["ConvNextV2Model"])),
    ]
}

/// Returns those of DINOv3's class of it.
pub fn dinov3() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.", "stages.2.layers.1.")
        }),
        fault(weight, "rows and columns of depth-wise kernels exchanged", |f| {
            f.weights.transpose_kernels("stages.1.layers.0.depthwise_conv.weight");
        }),
        fault(weight, "rows and columns of a downsampling exchanged", |f| {
            f.weights.transpose_kernels("stages.2.downsample_layers.1.weight");
        }),
        fault(weight, "red and blue of the stem exchanged", |f| {
            f.weights.swap_red_and_blue("stages.0.downsample_layers.0.weight")
        }),
        fault(weight, "a layer scale of ones", |f| f.weights.fill("stages.3.layers.0.gamma", 1.0)),
        fault(weight, "a layer scale rolled by one", |f| {
            f.weights.edit("stages.1.layers.0.gamma", |v| v.rotate_right(1));
        }),
        fault(weight, "an MLP's bias zeroed", |f| {
            f.weights.fill("stages.3.layers.0.pointwise_conv1.bias", 0.0)
        }),
        fault(weight, "the stem's norm of ones", |f| {
            f.weights.fill("stages.0.downsample_layers.1.weight", 1.0)
        }),
        fault(weight, "a block's norm of ones", |f| {
            f.weights.fill("stages.3.layers.0.layer_norm.weight", 1.0)
        }),
        fault(config, "the class's own epsilon", |f| f.forget("layer_norm_eps")),
        fault(config, "an epsilon of 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "a block more", |f| f.config["depths"] = json!([2, 1, 3, 1])),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([2, 1, 1, 1])),
        fault(config, "depths left out", |f| f.forget("depths")),
        fault(config, "other widths", |f| f.config["hidden_sizes"] = json!([16, 24, 32, 64])),
        fault(config, "a ConvNeXt", |f| f.config["model_type"] = json!("convnext")),
    ]
}
