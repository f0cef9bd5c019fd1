//! Lists faults planted in the folder of a CvT.

use serde_json::json;

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const LAYER: &str = "stages.2.layers.1";
const ATTENTION: &str = "stages.2.layers.1.attention.attention";

fn projection(of: &str) -> String {
    format!("{ATTENTION}.projection_{of}")
}

fn convolution(of: &str) -> String {
    format!("{ATTENTION}.convolution_projection_{of}.convolution_projection.convolution.weight")
}

fn normalization(of: &str, part: &str) -> String {
    format!("{ATTENTION}.convolution_projection_{of}.convolution_projection.normalization.{part}")
}

fn swap_projections(files: &mut FolderFiles, a: &str, b: &str) {
    for part in ["weight", "bias"] {
        files.weights.swap(&format!("{}.{part}", projection(a)), &format!("{}.{part}", projection(b)));
    }
}

/// Width of a head of the last stage: 64 channels, 4 heads.
const HEAD: usize = 16;

/// Returns the faults.
pub fn list() -> Vec<Fault> {
    weights().into_iter().chain(config()).chain(processor()).collect()
}

/// Returns the faults in the weights.
fn weights() -> Vec<Fault> {
    let weight = Kind::Weights;
    vec![
        fault(weight, "q and k projections exchanged in one layer", |f| swap_projections(f, "query", "key")),
        fault(weight, "k and v projections exchanged in one layer", |f| swap_projections(f, "key", "value")),
        fault(weight, "q and k convolutions exchanged in one layer", |f| {
            f.weights.swap(&convolution("query"), &convolution("key"));
        }),
        fault(weight, "k and v convolutions exchanged in one layer", |f| {
            f.weights.swap(&convolution("key"), &convolution("value"));
        }),
        fault(weight, "two heads exchanged in q of one layer", |f| {
            f.weights.swap_rows(&format!("{}.weight", projection("query")), HEAD);
            f.weights.swap_rows(&format!("{}.bias", projection("query")), HEAD);
        }),
        fault(weight, "two heads exchanged in the output's columns only", |f| {
            f.weights.swap_columns(&format!("{LAYER}.attention.output.dense.weight"), HEAD);
        }),
        fault(weight, "two layers exchanged", |f| {
            f.weights.swap_all("stages.2.layers.0.", "stages.2.layers.1.");
        }),
        fault(weight, "q bias of one layer zeroed", |f| {
            f.weights.fill(&format!("{}.bias", projection("query")), 0.0);
        }),
        fault(weight, "k bias of one layer zeroed", |f| {
            f.weights.fill(&format!("{}.bias", projection("key")), 0.0);
        })
        .unseen("softmax takes away what all keys have in common"),
        fault(weight, "bias of an MLP zeroed", |f| {
            f.weights.fill(&format!("{LAYER}.intermediate.dense.bias"), 0.0);
        }),
        fault(weight, "weight of a layer norm set to 1", |f| {
            f.weights.fill("stages.1.layers.0.layernorm_after.weight", 1.0);
        }),
        fault(weight, "square weight transposed", |f| {
            f.weights.transpose(&format!("{LAYER}.attention.output.dense.weight"));
        }),
        fault(weight, "rows and columns of a depth-wise kernel exchanged", |f| {
            f.weights.transpose_kernels(&convolution("value"));
        }),
        fault(weight, "running variance larger by a tenth", |f| {
            f.weights.edit(&normalization("key", "running_var"), |values| {
                values.iter_mut().for_each(|value| *value *= 1.1);
            });
        }),
        fault(weight, "running mean zeroed", |f| {
            f.weights.fill(&normalization("value", "running_mean"), 0.0);
        }),
        fault(weight, "weight of a batch norm set to 1", |f| {
            f.weights.fill(&normalization("query", "weight"), 1.0);
        }),
        fault(weight, "running mean and variance exchanged", |f| {
            f.weights.swap(&normalization("value", "running_mean"), &normalization("value", "running_var"));
        }),
        fault(weight, "number of tracked batches changed", |f| {
            let name = f.weights.name(&normalization("query", "num_batches_tracked"));
            f.weights.0.get_mut(&name).unwrap().bytes[0] ^= 1;
        })
        .unseen("evaluation does not read it"),
        fault(weight, "class token zeroed", |f| f.weights.fill("cls_token", 0.0)),
        fault(weight, "red and blue of the patch embedding exchanged", |f| {
            f.weights.swap_red_and_blue("stages.0.embedding.convolution_embeddings.projection.weight");
        }),
        fault(weight, "rows and columns of a patch embedding exchanged", |f| {
            f.weights.transpose_kernels("stages.1.embedding.convolution_embeddings.projection.weight");
        }),
        fault(weight, "one element of a depth-wise kernel moved by half a standard deviation", |f| {
            f.weights.nudge(&convolution("key"));
        }),
    ]
}

/// Returns the faults in `config.json`.
fn config() -> Vec<Fault> {
    let config = Kind::Config;
    vec![
        fault(config, "num_heads 2,2,4 for 1,2,4", |f| f.config["num_heads"] = json!([2, 2, 4])),
        fault(config, "num_heads left out, which means 1,3,6", |f| {
            f.forget("num_heads");
        }),
        fault(config, "qkv_bias false", |f| f.config["qkv_bias"] = json!([false, false, false])),
        fault(config, "one layer fewer", |f| f.config["depth"] = json!([1, 2, 2])),
        fault(config, "stride_kv 1 for 2", |f| f.config["stride_kv"] = json!([1, 1, 1])),
        fault(config, "padding_q 0 for 1", |f| f.config["padding_q"] = json!([0, 0, 0])),
        fault(config, "patch_padding 3 for 2", |f| f.config["patch_padding"] = json!([3, 1, 1])),
        fault(config, "patch_stride 4 for 2", |f| f.config["patch_stride"] = json!([4, 2, 4])),
        fault(config, "class token left out", |f| f.config["cls_token"] = json!([false, false, false])),
    ]
}

/// Returns the faults in `preprocessor_config.json`.
fn processor() -> Vec<Fault> {
    let processor = Kind::Processor;
    vec![
        fault(processor, "squash for crop (ViTImageProcessor)", |f| {
            f.processor["image_processor_type"] = json!("ViTImageProcessor");
            f.processor["size"] = json!({ "height": 64, "width": 64 });
        }),
        fault(processor, "crop fraction 0.9 for 0.875", |f| f.processor["crop_pct"] = json!(0.9)),
        fault(processor, "crop fraction lost", |f| f.processor["crop_pct"] = json!(1.0)),
    ]
}
