//! Lists faults that folders of every family can have: dtype, labels and the numbers of the image processor.

use serde_json::{Map, Value, json};

use vitport::preprocessing::{IMAGENET_MEAN, IMAGENET_STD};

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const CLIP_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
const NO_OUTPUT: &str = "no output shows a name";

fn has_labels(files: &FolderFiles) -> bool {
    files.config.get("id2label").is_some()
}

/// The classes' names in order.
fn labels(files: &FolderFiles) -> Vec<String> {
    let by_id = files.config["id2label"].as_object().unwrap();
    (0..by_id.len()).map(|id| by_id[&id.to_string()].as_str().unwrap().to_owned()).collect()
}

fn set_labels(files: &mut FolderFiles, labels: &[String]) {
    let by_id: Map<String, Value> =
        labels.iter().enumerate().map(|(id, label)| (id.to_string(), json!(label))).collect();
    let by_label: Map<String, Value> =
        labels.iter().enumerate().map(|(id, label)| (label.clone(), json!(id))).collect();
    files.config["id2label"] = Value::Object(by_id);
    files.config["label2id"] = Value::Object(by_label);
}

/// Returns whether the folder's processor crops.
fn crops(files: &FolderFiles) -> bool {
    files.processor.get("crop_size").is_some()
}

/// Replaces numbers of the processor by those of ImageNet, or of CLIP if they are ImageNet's.
fn another(files: &mut FolderFiles, key: &str, [imagenet, clip]: [[f64; 3]; 2]) {
    let found = &mut files.processor[key];
    *found = if *found == json!(imagenet) { json!(clip) } else { json!(imagenet) };
}

fn scale(value: &mut Value, factor: f64) {
    *value =
        json!(value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() * factor).collect::<Vec<_>>());
}

/// Returns the faults.
pub fn list() -> Vec<Fault> {
    let (config, names, processor) = (Kind::Config, Kind::Labels, Kind::Processor);
    vec![
        fault(config, "torch_dtype bfloat16 for float32 weights", |f| {
            f.config["torch_dtype"] = json!("bfloat16");
        })
        .unseen("the folder is run in float32"),
        fault(names, "labels shifted by one", |f| {
            let mut all = labels(f);
            all.rotate_right(1);
            set_labels(f, &all);
        })
        .fits(has_labels)
        .unseen(NO_OUTPUT),
        fault(names, "two labels exchanged", |f| {
            let mut all = labels(f);
            all.swap(2, 3);
            set_labels(f, &all);
        })
        .fits(has_labels)
        .unseen(NO_OUTPUT),
        fault(names, "label2id lacks a class", |f| {
            let label = labels(f)[1].clone();
            f.config["label2id"].as_object_mut().unwrap().remove(&label);
        })
        .fits(has_labels)
        .unseen(NO_OUTPUT),
        fault(names, "label2id names a class that does not exist", |f| {
            f.config["label2id"]["nothing"] = json!(0)
        })
        .fits(has_labels)
        .unseen(NO_OUTPUT),
        fault(names, "a class too few in id2label", |f| {
            let mut all = labels(f);
            all.pop();
            set_labels(f, &all);
        })
        .fits(has_labels),
        fault(processor, "mean of another data set", |f| {
            another(f, "image_mean", [IMAGENET_MEAN, CLIP_MEAN])
        }),
        fault(processor, "mean moved by 1e-4", |f| {
            let first = f.processor["image_mean"][0].as_f64().unwrap();
            f.processor["image_mean"][0] = json!(first + 1e-4);
        }),
        fault(processor, "std of another data set", |f| another(f, "image_std", [IMAGENET_STD, CLIP_STD])),
        fault(processor, "std larger by one per mille", |f| scale(&mut f.processor["image_std"], 1.001)),
        fault(processor, "bilinear for bicubic", |f| f.processor["resample"] = json!(2)),
        fault(processor, "nearest for bicubic", |f| f.processor["resample"] = json!(0)),
        fault(processor, "resample left out", |f| {
            f.processor.as_object_mut().unwrap().remove("resample");
        })
        .fits(|f| f.processor["image_processor_type"] != "CLIPImageProcessor"),
        fault(processor, "rescale_factor 1", |f| f.processor["rescale_factor"] = json!(1.0)),
        fault(processor, "rescale_factor 1/256", |f| f.processor["rescale_factor"] = json!(1.0 / 256.0)),
        fault(processor, "do_rescale false", |f| f.processor["do_rescale"] = json!(false)),
        fault(processor, "do_normalize false", |f| f.processor["do_normalize"] = json!(false))
            .fits(|f| f.processor["image_mean"] != json!([0.0, 0.0, 0.0])),
        fault(processor, "do_resize false", |f| f.processor["do_resize"] = json!(false)),
        fault(processor, "do_convert_rgb false", |f| f.processor["do_convert_rgb"] = json!(false))
            .fits(|f| f.processor.get("do_convert_rgb").is_some())
            .unseen("an image in colours shows it nowhere; one in grey or with alpha would fail"),
        fault(processor, "squash to 224 (the original script's processor)", |f| {
            f.processor = json!({
                "do_normalize": true, "do_rescale": true, "do_resize": true,
                "image_mean": f.processor["image_mean"], "image_processor_type": "ViTImageProcessor",
                "image_std": f.processor["image_std"], "resample": 2, "rescale_factor": 1.0 / 255.0,
                "size": { "height": 224, "width": 224 },
            });
        }),
        fault(processor, "squash for crop (ViTImageProcessor)", |f| {
            f.processor["image_processor_type"] = json!("ViTImageProcessor");
            f.processor["size"] = f.processor["crop_size"].clone();
        })
        .fits(crops),
        fault(processor, "crop fraction lost", |f| {
            f.processor["size"] = json!({ "shortest_edge": f.processor["crop_size"]["height"] });
        })
        .fits(|f| crops(f) && f.processor["size"]["shortest_edge"] != f.processor["crop_size"]["height"]),
        fault(processor, "resized one pixel too large", |f| {
            let edge = f.processor["size"]["shortest_edge"].as_u64().unwrap();
            f.processor["size"] = json!({ "shortest_edge": edge + 1 });
        })
        .fits(crops),
        fault(processor, "no crop", |f| f.processor["do_center_crop"] = json!(false)).fits(crops),
    ]
}
