//! Lists the faults that only the folders of a Swin and a SwinV2 can have.

use serde_json::json;

use super::fault::{Fault, Kind, fault};

const COMPUTED: &str = "the network computes it, and only version 4 of transformers reads it";

/// Returns those of Swin.
pub fn list() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("layers.1.blocks.0.", "layers.1.blocks.1.")
        }),
        fault(weight, "a shifted and another block's tables exchanged", |f| {
            f.weights.swap_all(
                "layers.1.blocks.1.attention.self.relative_position_bias_table",
                "layers.1.blocks.2.attention.self.relative_position_bias_table",
            );
        }),
        fault(weight, "a table rolled by one distance", |f| {
            f.weights.roll_rows("layers.0.blocks.1.attention.self.relative_position_bias_table");
        }),
        fault(weight, "a table zeroed", |f| {
            f.weights.fill("layers.2.blocks.0.attention.self.relative_position_bias_table", 0.0);
        }),
        fault(weight, "one number of an index changed", |f| {
            f.weights.count_otherwise("layers.0.blocks.0.attention.self.relative_position_index");
        })
        .unseen(COMPUTED),
        fault(weight, "queries and keys exchanged", |f| {
            f.weights
                .swap_all("layers.1.blocks.1.attention.self.query", "layers.1.blocks.1.attention.self.key");
        }),
        fault(weight, "keys and values exchanged", |f| {
            f.weights
                .swap_all("layers.0.blocks.0.attention.self.key", "layers.0.blocks.0.attention.self.value");
        }),
        fault(weight, "a block's norms exchanged", |f| {
            f.weights.swap_all("layers.1.blocks.1.layernorm_before", "layers.1.blocks.1.layernorm_after");
        }),
        fault(weight, "merged patches in another order", |f| {
            f.weights.edit("layers.0.downsample.reduction.weight", |v| {
                v.chunks_exact_mut(48).for_each(|row| row[12..36].rotate_right(12));
            });
        }),
        fault(weight, "a merging's norm without bias", |f| {
            f.weights.fill("layers.1.downsample.norm.bias", 0.0)
        }),
        fault(weight, "rows and columns of the patches exchanged", |f| {
            f.weights.transpose_kernels("patch_embeddings.projection.weight");
        }),
        fault(config, "another window", |f| f.config["window_size"] = json!(2)),
        fault(config, "other heads", |f| f.config["num_heads"] = json!([3, 2, 4])),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([2, 2, 2])),
        fault(config, "another ratio", |f| f.config["mlp_ratio"] = json!(2.0)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "an epsilon of 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3)),
        fault(config, "no biases", |f| f.config["qkv_bias"] = json!(false)),
        fault(config, "position embeddings", |f| f.config["use_absolute_embeddings"] = json!(true)),
        fault(config, "SwinV2", |f| f.config["model_type"] = json!("swinv2")),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["SwinModel"])),
    ]
}

/// Returns those of SwinV2.
pub fn second() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    vec![
        fault(weight, "two blocks exchanged", |f| {
            f.weights.swap_all("layers.1.blocks.0.", "layers.1.blocks.1.")
        }),
        fault(weight, "MLPs that make biases exchanged", |f| {
            f.weights.swap_all(
                "layers.1.blocks.1.attention.self.continuous_position_bias_mlp",
                "layers.1.blocks.2.attention.self.continuous_position_bias_mlp",
            );
        }),
        fault(weight, "coordinates exchanged", |f| {
            f.weights.edit("layers.0.blocks.1.attention.self.continuous_position_bias_mlp.0.weight", |v| {
                v.chunks_exact_mut(2).for_each(<[f32]>::reverse);
            });
        }),
        fault(weight, "factors of cosines exchanged", |f| {
            f.weights.swap_all(
                "layers.1.blocks.0.attention.self.logit_scale",
                "layers.1.blocks.1.attention.self.logit_scale",
            );
        }),
        fault(weight, "a factor of cosines of 1", |f| {
            f.weights.fill("layers.2.blocks.0.attention.self.logit_scale", 0.0);
        }),
        fault(weight, "queries and keys exchanged", |f| {
            f.weights.swap_all(
                "layers.1.blocks.1.attention.self.query.weight",
                "layers.1.blocks.1.attention.self.key.weight",
            );
        }),
        fault(weight, "biases of queries and values exchanged", |f| {
            f.weights.swap_all(
                "layers.0.blocks.0.attention.self.query.bias",
                "layers.0.blocks.0.attention.self.value.bias",
            );
        }),
        fault(weight, "a block's norms exchanged", |f| {
            f.weights.swap_all("layers.1.blocks.1.layernorm_before", "layers.1.blocks.1.layernorm_after");
        }),
        fault(weight, "merged patches in another order", |f| {
            f.weights.edit("layers.0.downsample.reduction.weight", |v| {
                v.chunks_exact_mut(48).for_each(|row| row[12..36].rotate_right(12));
            });
        }),
        fault(weight, "a merging's norm without bias", |f| {
            f.weights.fill("layers.1.downsample.norm.bias", 0.0)
        }),
        fault(weight, "rows and columns of the patches exchanged", |f| {
            f.weights.transpose_kernels("patch_embeddings.projection.weight");
        }),
        fault(config, "another window", |f| f.config["window_size"] = json!(2)),
        fault(config, "a larger window", |f| f.config["window_size"] = json!(16)),
        fault(config, "windows trained with forgotten", |f| {
            f.config["pretrained_window_sizes"] = json!([0, 0, 0])
        }),
        fault(config, "one stage's window trained with forgotten", |f| {
            f.config["pretrained_window_sizes"] = json!([3, 0, 2])
        }),
        fault(config, "other heads", |f| f.config["num_heads"] = json!([3, 2, 4])),
        fault(config, "a block fewer", |f| f.config["depths"] = json!([2, 2, 2])),
        fault(config, "another ratio", |f| f.config["mlp_ratio"] = json!(2.0)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu")),
        fault(config, "an epsilon of 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3)),
        fault(config, "no biases", |f| f.config["qkv_bias"] = json!(false)),
        fault(config, "position embeddings", |f| f.config["use_absolute_embeddings"] = json!(true)),
        fault(config, "Swin", |f| f.config["model_type"] = json!("swin")),
        fault(config, "a model without its head", |f| f.config["architectures"] = json!(["Swinv2Model"])),
    ]
}
