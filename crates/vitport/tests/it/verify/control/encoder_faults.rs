//! Lists the faults that the folders of other encoders than ViT can have: CLIP, SigLIP, I-JEPA, AIMv2, InternViT, TIPSv2, RADIO,
//! BEiT and DINOv3.

use serde_json::{Value, json};

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const LESS_THAN_ROUNDING: &str = "on this network the outputs may move by less than rounding";

fn has(files: &FolderFiles, key: &str) -> bool {
    files.config.get(key).is_some_and(|value| !value.is_null())
}

/// Returns whether the class has a head or a projection.
fn has_head(files: &FolderFiles) -> bool {
    let class = files.config["architectures"][0].as_str().unwrap();
    class.ends_with("ForImageClassification") || class.ends_with("WithProjection")
}

/// Changes a number of the config.
fn number(files: &mut FolderFiles, key: &str, change: fn(u64) -> u64) {
    let number = files.config[key].as_u64().unwrap();
    files.config[key] = json!(change(number));
}

/// Returns the faults that any of them can have, in keys of the config that several have.
pub fn list() -> Vec<Fault> {
    let config = Kind::Config;
    vec![
        fault(config, "one layer fewer", |f| number(f, "num_hidden_layers", |count| count - 1)),
        fault(config, "one layer more", |f| number(f, "num_hidden_layers", |count| count + 1)),
        fault(config, "one attention head for several", |f| f.config["num_attention_heads"] = json!(1)),
        fault(config, "twice the attention heads", |f| number(f, "num_attention_heads", |count| count * 2)),
        fault(config, "another width", |f| number(f, "hidden_size", |width| width * 2)),
        fault(config, "another activation", |f| f.config["hidden_act"] = json!("relu"))
            .fits(|f| has(f, "hidden_act")),
        fault(config, "layer_norm_eps 1e-3", |f| f.config["layer_norm_eps"] = json!(1e-3))
            .fits(|f| has(f, "layer_norm_eps")),
        fault(config, "layer_norm_eps ten times as large", |f| {
            let eps = f.config["layer_norm_eps"].as_f64().unwrap();
            f.config["layer_norm_eps"] = json!(eps * 10.0);
        })
        .fits(|f| has(f, "layer_norm_eps"))
        .maybe_unseen(LESS_THAN_ROUNDING),
        fault(config, "rms_norm_eps 1e-3", |f| f.config["rms_norm_eps"] = json!(1e-3))
            .fits(|f| has(f, "rms_norm_eps")),
        fault(config, "image_size 40", |f| f.config["image_size"] = json!(40)).fits(|f| has(f, "image_size")),
        fault(config, "patch_size 2", |f| f.config["patch_size"] = json!(2)).fits(|f| has(f, "patch_size")),
        fault(config, "another width of the MLP", |f| number(f, "intermediate_size", |width| width / 2))
            .fits(|f| f.config.get("intermediate_size").is_some_and(Value::is_u64)),
        fault(config, "a model without its head", |f| {
            let class = f.config["architectures"][0].as_str().unwrap();
            let bare = class.replace("ForImageClassification", "Model").replace("WithProjection", "");
            f.config["architectures"] = json!([bare]);
        })
        .fits(has_head),
    ]
}

/// Returns those that only a CLIP tower can have.
pub fn clip() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    let mut all = list();
    all.extend([
        fault(weight, "q and k exchanged in one layer", |f| {
            f.weights.swap("layers.1.self_attn.q_proj.weight", "layers.1.self_attn.k_proj.weight");
        }),
        fault(weight, "the biases of k and v exchanged", |f| {
            f.weights.swap("layers.1.self_attn.k_proj.bias", "layers.1.self_attn.v_proj.bias");
        }),
        fault(weight, "the two layer norms of a layer exchanged", |f| {
            f.weights.swap("layers.1.layer_norm1.weight", "layers.1.layer_norm2.weight");
        }),
        fault(weight, "first norm for last", |f| f.weights.swap("pre_layrnorm.bias", "post_layernorm.bias")),
        fault(weight, "square weight transposed", |f| {
            f.weights.transpose("layers.1.self_attn.out_proj.weight");
        }),
        fault(weight, "two layers exchanged", |f| f.weights.swap_all("layers.0.", "layers.1.")),
        fault(weight, "class token zeroed", |f| f.weights.fill("class_embedding", 0.0)),
        fault(weight, "positions moved by one row", |f| f.weights.roll_rows("position_embedding.weight")),
        fault(weight, "red and blue of the patch embedding exchanged", |f| {
            f.weights.swap_red_and_blue("patch_embedding.weight");
        }),
        fault(weight, "rows and columns of the patch embedding exchanged", |f| {
            f.weights.transpose_kernels("patch_embedding.weight");
        }),
        fault(weight, "sign of one number of the projection flipped", |f| {
            f.weights.edit("visual_projection.weight", |values| values[5] = -values[5]);
        }),
        fault(config, "GELU for QuickGELU", |f| f.config["hidden_act"] = json!("gelu")),
        fault(config, "another width of the projection", |f| f.config["projection_dim"] = json!(11)),
        fault(config, "a ViT", |f| f.config["model_type"] = json!("vit")),
    ]);
    all
}

/// Returns those that only a BEiT can have.
pub fn beit() -> Vec<Fault> {
    const TABLE: &str = "layer.1.attention.attention.relative_position_bias.relative_position_bias_table";
    let (weight, config) = (Kind::Weights, Kind::Config);
    let mut all = list();
    all.extend([
        fault(weight, "q and k exchanged in one layer", |f| {
            f.weights
                .swap("layer.1.attention.attention.query.weight", "layer.1.attention.attention.key.weight");
        }),
        fault(weight, "the biases of q and v exchanged", |f| {
            f.weights
                .swap("layer.1.attention.attention.query.bias", "layer.1.attention.attention.value.bias");
        }),
        fault(weight, "the two layer norms of a layer exchanged", |f| {
            f.weights.swap("layer.1.layernorm_before.weight", "layer.1.layernorm_after.weight");
        }),
        fault(weight, "the two layer scales of a layer exchanged", |f| {
            f.weights.swap("layer.1.lambda_1", "layer.1.lambda_2");
        }),
        fault(weight, "a layer scale of ones", |f| f.weights.fill("layer.1.lambda_2", 1.0)),
        fault(weight, "distances moved by one", |f| f.weights.roll_rows(TABLE)),
        fault(weight, "the bias of one distance zeroed", |f| {
            f.weights.edit(TABLE, |values| values[24 * 3..25 * 3].fill(0.0));
        }),
        fault(weight, "relative position biases larger by one per mille", |f| {
            f.weights.edit(TABLE, |values| values.iter_mut().for_each(|value| *value *= 1.001));
        }),
        fault(weight, "rows of a projection to keys rolled by one", |f| {
            f.weights.roll_rows("layer.1.attention.attention.key.weight");
        }),
        fault(weight, "bias after attention zeroed", |f| {
            f.weights.fill("layer.1.attention.output.dense.bias", 0.0);
        }),
        fault(weight, "two elements exchanged", |f| {
            f.weights.edit("layer.1.output.dense.weight", |values| values.swap(0, 1));
        }),
        fault(config, "the class token for the mean", |f| f.config["use_mean_pooling"] = json!(false)),
        fault(config, "no tables", |f| f.config["use_relative_position_bias"] = json!(false)),
        fault(config, "a table that layers share", |f| {
            f.config["use_shared_relative_position_bias"] = json!(true);
        }),
        fault(config, "position embeddings", |f| {
            f.config["use_absolute_position_embeddings"] = json!(true);
        }),
        fault(config, "a mask token", |f| f.config["use_mask_token"] = json!(true))
            .unseen("no forward pass without masks reads it"),
        fault(config, "no layer scale in the config", |f| f.config["layer_scale_init_value"] = json!(0.0)),
        fault(config, "a whole number as layer scale", |f| f.config["layer_scale_init_value"] = json!(0)),
    ]);
    all
}

/// Returns those that only a ViT with relative positions can have that became a BEiT: those of its table, next to a BEiT's.
pub fn relpos() -> Vec<Fault> {
    const TABLE: &str = "layer.1.attention.attention.relative_position_bias.relative_position_bias_table";
    // Four by four patches with three heads: 49 distances, and then three rows of the class token.
    const TO_CLASS_TOKEN: usize = 50 * 3;
    let weight = Kind::Weights;
    let mut all = beit();
    // Both are zeros.
    all.retain(|fault| fault.name != "the biases of q and v exchanged");
    all.extend([
        fault(weight, "biases of queries that timm does not have", |f| {
            f.weights.fill("layer.1.attention.attention.query.bias", 0.5);
        }),
        fault(weight, "the class token seen by the patches", |f| {
            f.weights.edit(TABLE, |values| values[TO_CLASS_TOKEN..TO_CLASS_TOKEN + 3].fill(0.0));
        }),
        fault(weight, "the patches hidden from the class token and not it from them", |f| {
            f.weights.edit(TABLE, |values| values[49 * 3..51 * 3].rotate_left(3));
        }),
        fault(weight, "heads of a table in another order", |f| {
            f.weights.edit(TABLE, |values| values.chunks_exact_mut(3).for_each(|heads| heads.rotate_left(1)));
        }),
        fault(weight, "distances in reverse order", |f| {
            f.weights.edit(TABLE, |values| {
                let reversed: Vec<f32> = values[..49 * 3].rchunks_exact(3).flatten().copied().collect();
                values[..49 * 3].copy_from_slice(&reversed);
            });
        }),
    ]);
    all
}

/// Returns those that only a DINOv3 can have.
pub fn dinov3() -> Vec<Fault> {
    let (weight, config) = (Kind::Weights, Kind::Config);
    let mut all = list();
    all.extend([
        fault(weight, "q and k exchanged in one layer", |f| {
            f.weights.swap("layer.1.attention.q_proj.weight", "layer.1.attention.k_proj.weight");
        }),
        fault(weight, "the biases of q and v exchanged", |f| {
            f.weights.swap("layer.1.attention.q_proj.bias", "layer.1.attention.v_proj.bias");
        }),
        fault(weight, "the two layer norms of a layer exchanged", |f| {
            f.weights.swap("layer.1.norm1.weight", "layer.1.norm2.weight");
        }),
        fault(weight, "the two layer scales of a layer exchanged", |f| {
            f.weights.swap("layer.1.layer_scale1.lambda1", "layer.1.layer_scale2.lambda1");
        }),
        fault(weight, "a layer scale of ones", |f| f.weights.fill("layer.0.layer_scale2.lambda1", 1.0)),
        fault(weight, "neighbouring rows of a head exchanged, as other rotations need them", |f| {
            f.weights.roll_rows("layer.1.attention.k_proj.weight");
        }),
        fault(weight, "registers in another order", |f| {
            f.weights.edit("embeddings.register_tokens", |values| values.rotate_right(24));
        }),
        fault(weight, "registers zeroed", |f| f.weights.fill("embeddings.register_tokens", 0.0)),
        fault(weight, "class token zeroed", |f| f.weights.fill("embeddings.cls_token", 0.0)),
        fault(weight, "square weight transposed", |f| {
            f.weights.transpose("layer.1.attention.o_proj.weight");
        }),
        fault(weight, "two layers exchanged", |f| f.weights.swap_all("layer.0.", "layer.1.")),
        fault(weight, "red and blue of the patch embedding exchanged", |f| {
            f.weights.swap_red_and_blue("patch_embeddings.weight");
        }),
        fault(weight, "rows and columns of the patch embedding exchanged", |f| {
            f.weights.transpose_kernels("patch_embeddings.weight");
        }),
        fault(weight, "another mask token", |f| f.weights.fill("embeddings.mask_token", 1.0))
            .unseen("no forward pass without masks reads it"),
        fault(config, "another base of the angles", |f| f.config["rope_theta"] = json!(10000.0)),
        fault(config, "a base of the angles larger by one in a thousand", |f| {
            f.config["rope_theta"] = json!(100.1);
        }),
        fault(config, "a whole number as base", |f| f.config["rope_theta"] = json!(100))
            .unseen("it is the same number, which version 5 refuses as whole"),
        fault(config, "a register fewer", |f| number(f, "num_register_tokens", |count| count - 1)),
        fault(config, "no registers in the config", |f| f.forget("num_register_tokens")),
        fault(config, "a gated MLP", |f| f.config["use_gated_mlp"] = json!(true)),
        fault(config, "biases of keys", |f| f.config["key_bias"] = json!(true)),
        fault(config, "no biases of queries", |f| f.config["query_bias"] = json!(false)),
        fault(config, "no biases of values", |f| f.config["value_bias"] = json!(false)),
        fault(config, "no biases after the attention", |f| f.config["proj_bias"] = json!(false)),
        fault(config, "no biases of the MLP", |f| f.config["mlp_bias"] = json!(false)),
        fault(config, "GELU by tanh", |f| f.config["hidden_act"] = json!("gelu_pytorch_tanh")),
        fault(config, "a ViT", |f| f.config["model_type"] = json!("vit")),
    ]);
    all
}
