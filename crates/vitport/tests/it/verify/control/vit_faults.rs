//! Lists faults planted in the folder of a ViT. Layers are found by the end of their names, so one list serves classifiers and
//! bare models; a fault that a model has no place for is left out by `fits`.

use serde_json::json;

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const QUERY: &str = "layer.1.attention.attention.query";
const KEY: &str = "layer.1.attention.attention.key";
const VALUE: &str = "layer.1.attention.attention.value";
const DENSE: &str = "layer.1.attention.output.dense";

fn has_qkv_bias(files: &FolderFiles) -> bool {
    files.weights.has("layer.1.attention.attention.query.bias")
}

fn has_head(files: &FolderFiles) -> bool {
    files.weights.has("classifier.weight")
}

fn has_pooler(files: &FolderFiles) -> bool {
    files.weights.has("pooler.dense.weight")
}

fn is_scaled(files: &FolderFiles) -> bool {
    files.source.as_ref().is_some_and(|source| source.has("blocks.1.ls1.gamma"))
}

fn has_padded_position(files: &FolderFiles) -> bool {
    let width = files.weights.rows("cls_token").1;
    let positions = files.weights.values("position_embeddings");
    let source = files.source.as_ref().map(|source| source.values("pos_embed").len());
    source.is_some_and(|source| source + width == positions.len())
}

/// Weight and, where there is one, bias.
fn parts(files: &FolderFiles, name: &str) -> Vec<String> {
    ["weight", "bias"]
        .map(|part| format!("{name}.{part}"))
        .into_iter()
        .filter(|name| files.weights.has(name))
        .collect()
}

fn swap_projections(files: &mut FolderFiles, a: &str, b: &str) {
    for (a, b) in parts(files, a).into_iter().zip(parts(files, b)) {
        files.weights.swap(&a, &b);
    }
}

/// Exchanges the first two heads' rows of a projection.
fn swap_heads_of(files: &mut FolderFiles, projection: &str) {
    let size = files.head_size();
    for part in parts(files, projection) {
        files.weights.swap_rows(&part, size);
    }
}

fn swap_head_columns(files: &mut FolderFiles) {
    let size = files.head_size();
    files.weights.swap_columns(&format!("{DENSE}.weight"), size);
}

/// Multiplies (or divides) the rows of a folded tensor once more by the source's layer scale.
fn scale_rows(files: &mut FolderFiles, target: &str, gamma: &str, power: i32) {
    let gamma = files.source.as_ref().unwrap().values(gamma);
    files.weights.edit(target, |values| {
        let row = values.len() / gamma.len();
        for (row, factor) in values.chunks_exact_mut(row).zip(gamma) {
            row.iter_mut().for_each(|value| *value *= factor.powi(power));
        }
    });
}

/// Returns the faults.
pub fn list() -> Vec<Fault> {
    weights().into_iter().chain(config()).collect()
}

/// Returns the faults in the weights.
fn weights() -> Vec<Fault> {
    let weight = Kind::Weights;
    vec![
        fault(weight, "q and k exchanged in one layer", |f| swap_projections(f, QUERY, KEY)),
        fault(weight, "k and v exchanged in one layer", |f| swap_projections(f, KEY, VALUE)),
        fault(weight, "two heads exchanged in q of one layer", |f| swap_heads_of(f, QUERY)),
        fault(weight, "two heads exchanged in v of one layer", |f| swap_heads_of(f, VALUE)),
        fault(weight, "two heads exchanged in q, k and v, not in the output", |f| {
            [QUERY, KEY, VALUE].iter().for_each(|projection| swap_heads_of(f, projection));
        }),
        fault(weight, "two heads exchanged in the output's columns only", swap_head_columns),
        fault(weight, "two heads exchanged everywhere alike", |f| {
            [QUERY, KEY, VALUE].iter().for_each(|projection| swap_heads_of(f, projection));
            swap_head_columns(f);
        })
        .unseen("it is the same function"),
        fault(weight, "two layers exchanged", |f| f.weights.swap_all("layer.0.", "layer.1.")),
        fault(weight, "q bias of one layer zeroed", |f| f.weights.fill(&format!("{QUERY}.bias"), 0.0))
            .fits(has_qkv_bias),
        fault(weight, "v bias of one layer zeroed", |f| f.weights.fill(&format!("{VALUE}.bias"), 0.0))
            .fits(has_qkv_bias),
        fault(weight, "k bias of one layer zeroed", |f| f.weights.fill(&format!("{KEY}.bias"), 0.0))
            .fits(has_qkv_bias)
            .unseen("softmax takes away what all keys have in common"),
        fault(weight, "bias after attention zeroed", |f| f.weights.fill(&format!("{DENSE}.bias"), 0.0)),
        fault(weight, "bias of an MLP zeroed", |f| f.weights.fill("layer.0.intermediate.dense.bias", 0.0)),
        fault(weight, "bias after an MLP zeroed", |f| f.weights.fill("layer.0.output.dense.bias", 0.0)),
        fault(weight, "weight of a layer norm set to 1", |f| {
            f.weights.fill("layer.0.layernorm_after.weight", 1.0);
        }),
        fault(weight, "the two layer norms of a layer exchanged", |f| {
            f.weights.swap("layer.1.layernorm_before.weight", "layer.1.layernorm_after.weight");
            f.weights.swap("layer.1.layernorm_before.bias", "layer.1.layernorm_after.bias");
        }),
        fault(weight, "bias of the last norm zeroed", |f| {
            let name = if has_head(f) { "vit.layernorm.bias" } else { "layernorm.bias" };
            f.weights.fill(name, 0.0);
        }),
        fault(weight, "square weight transposed", |f| f.weights.transpose(&format!("{DENSE}.weight"))),
        fault(weight, "q weight transposed", |f| f.weights.transpose(&format!("{QUERY}.weight"))),
        fault(weight, "sign of one projection flipped", |f| {
            f.weights.edit("layer.1.output.dense.weight", |values| {
                values.iter_mut().for_each(|value| *value = -*value);
            });
        }),
        fault(weight, "one element of a projection to keys moved by half a standard deviation", |f| {
            f.weights.nudge(&format!("{KEY}.weight"));
        }),
        fault(weight, "two rows of positions exchanged", |f| {
            let (width, count) = (f.weights.rows("cls_token").1, f.weights.rows("position_embeddings").1);
            f.weights.edit("position_embeddings", |values| {
                let (first, last) = values.split_at_mut(count - width);
                first[width..2 * width].swap_with_slice(last);
            });
        }),
        fault(weight, "positions moved by one row", |f| {
            let width = f.weights.rows("cls_token").1;
            f.weights.edit("position_embeddings", |values| values.rotate_right(width));
        }),
        fault(weight, "class token zeroed", |f| f.weights.fill("cls_token", 0.0)),
        fault(weight, "class token's position not zero", |f| {
            f.weights.edit("position_embeddings", |values| values[0] = 0.01);
        })
        .fits(has_padded_position),
        fault(weight, "red and blue of the patch embedding exchanged", |f| {
            f.weights.swap_red_and_blue("patch_embeddings.projection.weight");
        }),
        fault(weight, "rows and columns of the patch embedding exchanged", |f| {
            f.weights.transpose_kernels("patch_embeddings.projection.weight");
        }),
        fault(weight, "bias of the patch embedding zeroed", |f| {
            f.weights.fill("patch_embeddings.projection.bias", 0.0);
        }),
        fault(weight, "layer scale folded twice", |f| {
            scale_rows(f, &format!("{DENSE}.weight"), "blocks.1.ls1.gamma", 1);
            scale_rows(f, &format!("{DENSE}.bias"), "blocks.1.ls1.gamma", 1);
        })
        .fits(is_scaled),
        fault(weight, "layer scale not folded", |f| {
            scale_rows(f, "layer.1.output.dense.weight", "blocks.1.ls2.gamma", -1);
            scale_rows(f, "layer.1.output.dense.bias", "blocks.1.ls2.gamma", -1);
        })
        .fits(is_scaled),
        fault(weight, "layer scale folded into the weight, not the bias", |f| {
            scale_rows(f, "layer.1.output.dense.bias", "blocks.1.ls2.gamma", -1);
        })
        .fits(is_scaled),
        fault(weight, "pooler's rows rolled by one", |f| f.weights.roll_rows("pooler.dense.weight"))
            .fits(has_pooler),
        fault(weight, "pooler's bias not zero", |f| {
            f.weights.edit("pooler.dense.bias", |values| values[0] = 0.01);
        })
        .fits(has_pooler),
    ]
}

/// Returns the faults in `config.json`.
fn config() -> Vec<Fault> {
    let config = Kind::Config;
    let is_fact = "on this network the outputs move by less than rounding, or not at all";
    vec![
        fault(config, "layer_norm_eps 1e-12 for 1e-6", |f| f.config["layer_norm_eps"] = json!(1e-12))
            .maybe_unseen(is_fact),
        fault(config, "layer_norm_eps left out, which means 1e-12", |f| {
            f.forget("layer_norm_eps");
        })
        .maybe_unseen(is_fact),
        fault(config, "layer_norm_eps 1e-5 for 1e-6", |f| f.config["layer_norm_eps"] = json!(1e-5))
            .maybe_unseen(is_fact),
        fault(config, "hidden_act gelu_pytorch_tanh", |f| {
            f.config["hidden_act"] = json!("gelu_pytorch_tanh")
        }),
        fault(config, "hidden_act quick_gelu", |f| f.config["hidden_act"] = json!("quick_gelu")),
        fault(config, "one attention head for several", |f| f.config["num_attention_heads"] = json!(1)),
        fault(config, "twice the attention heads", |f| {
            let heads = f.config["num_attention_heads"].as_u64().unwrap();
            f.config["num_attention_heads"] = json!(heads * 2);
        }),
        fault(config, "qkv_bias inverted", |f| {
            let bias = f.config["qkv_bias"].as_bool().unwrap();
            f.config["qkv_bias"] = json!(!bias);
        }),
        fault(config, "one layer fewer", |f| {
            let layers = f.config["num_hidden_layers"].as_u64().unwrap();
            f.config["num_hidden_layers"] = json!(layers - 1);
        }),
        fault(config, "image_size doubled", |f| f.config["image_size"] = json!(128)),
        fault(config, "pooler_act left out, which means tanh", |f| {
            f.forget("pooler_act");
        })
        .fits(has_pooler),
        fault(config, "class ViTModel for a classifier", |f| f.config["architectures"] = json!(["ViTModel"]))
            .fits(has_head),
    ]
}
