//! Lists what a folder can have next to what a conversion writes: keys that transformers obeys, files that it prefers, code
//! that it runs, weights that say they are another framework's.

use serde_json::json;

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;

const NOT_RUN: &str = "vitport's own run of the folder does not obey it";

fn config(name: &'static str, plant: fn(&mut FolderFiles)) -> Fault {
    fault(Kind::Config, name, plant).unseen(NOT_RUN)
}

fn processor(name: &'static str, plant: fn(&mut FolderFiles)) -> Fault {
    fault(Kind::Processor, name, plant).unseen(NOT_RUN)
}

/// Changes a folder.
pub type Change = fn(&mut FolderFiles);

fn put(files: &mut FolderFiles, name: &'static str, text: impl Into<String>) {
    files.others.insert(name, text.into());
}

/// Returns the faults.
pub fn list() -> Vec<Fault> {
    vec![
        config("problem_type multi_label_classification", |f| {
            f.config["problem_type"] = json!("multi_label_classification");
        }),
        config("problem_type regression", |f| f.config["problem_type"] = json!("regression")),
        config("pruned_heads", |f| f.config["pruned_heads"] = json!({ "0": [0] })),
        config("quantization_config", |f| {
            f.config["quantization_config"] = json!({ "quant_method": "bitsandbytes", "load_in_8bit": true });
        }),
        config("auto_map to strange code", |f| {
            f.config["auto_map"] = json!({ "AutoModelForImageClassification": "strange.Model" });
        }),
        config("return_dict false", |f| f.config["return_dict"] = json!(false)),
        config("configuration_files", |f| {
            f.config["configuration_files"] = json!(["config.4.0.0.json"]);
        }),
        config("custom_pipelines", |f| {
            f.config["custom_pipelines"] = json!({ "image-classification": { "impl": "strange.Pipeline" } });
        }),
        config("per_layer_config", |f| {
            f.config["per_layer_config"] = json!({ "0": { "hidden_act": "relu" } })
        }),
        config("num_labels next to another id2label", |f| f.config["num_labels"] = json!(4321))
            .fits(|f| f.config.get("id2label").is_some()),
        config("dtype bfloat16 next to torch_dtype", |f| f.config["dtype"] = json!("bfloat16")),
        fault(Kind::Config, "model_type of another class", |f| f.config["model_type"] = json!("deit")),
        fault(Kind::Config, "model_type left out", |f| {
            f.forget("model_type");
        }),
        fault(Kind::Config, "architectures of another task", |f| {
            f.config["architectures"] = json!(["ViTForMaskedImageModeling"]);
        }),
        fault(Kind::Config, "num_channels 1", |f| f.config["num_channels"] = json!(1)),
        processor("a Fast image processor", |f| {
            let class = f.processor["image_processor_type"].as_str().unwrap().to_owned();
            f.processor["image_processor_type"] = json!(class + "Fast");
        }),
        processor("auto_map of the processor", |f| {
            f.processor["auto_map"] = json!({ "AutoImageProcessor": "strange.Processor" });
        }),
        processor("device of the processor", |f| f.processor["device"] = json!("cuda")),
        processor("do_pad", |f| {
            f.processor["do_pad"] = json!(true);
            f.processor["pad_size"] = json!({ "height": 300, "width": 300 });
        }),
        processor("do_convert_rgb null", |f| f.processor["do_convert_rgb"] = json!(null))
            .fits(|f| f.processor.get("do_convert_rgb").is_some()),
        fault(Kind::Processor, "an image processor of another model", |f| {
            f.processor["image_processor_type"] = json!("LevitImageProcessor");
        }),
        fault(Kind::Processor, "resample by name", |f| f.processor["resample"] = json!("bicubic")),
        processor("another image processor in processor_config.json", |f| {
            let mut nested = f.processor.clone();
            nested["image_mean"] = json!([0.1, 0.2, 0.3]);
            put(f, "processor_config.json", json!({ "image_processor": nested }).to_string());
        }),
        config("adapter_config.json", |f| {
            put(
                f,
                "adapter_config.json",
                r#"{"base_model_name_or_path": "other/model", "peft_type": "LORA"}"#,
            );
        }),
        fault(Kind::Weights, "weights that say they are TensorFlow's", |f| f.format = "tf").unseen(NOT_RUN),
        config("the exact code changed", |f| {
            f.config["auto_map"] = json!({
                "AutoModelForImageClassification": "modeling_microsoft_cvt.MicrosoftCvtForImageClassification"
            });
            put(f, "modeling_microsoft_cvt.py", "raise SystemExit");
        })
        .fits(|f| f.config["model_type"] == "cvt"),
    ]
}

/// Changes that change nothing in transformers, at which no alarm may be raised.
pub fn harmless() -> Vec<(&'static str, Change)> {
    vec![
        ("single_label_classification", |f| {
            f.config["problem_type"] = json!("single_label_classification");
        }),
        ("a key that no class reads", |f| f.config["note"] = json!("hello")),
        ("what transformers saves of itself", |f| {
            let config = f.config.as_object_mut().unwrap();
            let dtype = config.remove("torch_dtype").unwrap();
            config.insert("dtype".to_owned(), dtype);
            config.insert("transformers_version".to_owned(), json!("5.23.0"));
            config.insert("_name_or_path".to_owned(), json!("somewhere"));
            config.insert("is_decoder".to_owned(), json!(false));
            config.insert("pruned_heads".to_owned(), json!({}));
            config.insert("return_dict".to_owned(), json!(true));
        }),
        ("dropout and initialisation", |f| {
            f.config["hidden_dropout_prob"] = json!(0.1);
            f.config["initializer_range"] = json!(0.5);
            f.config["encoder_stride"] = json!(3);
            f.config["chunk_size_feed_forward"] = json!(7);
        }),
        ("sizes spelled otherwise", |f| {
            for key in ["size", "crop_size"] {
                let size = f.processor.get(key).cloned().unwrap_or_default();
                match (size["shortest_edge"].as_u64(), size["height"].as_u64(), size["width"].as_u64()) {
                    (Some(edge), ..) => f.processor[key] = json!(edge),
                    (None, Some(height), Some(width)) if height == width => f.processor[key] = json!(height),
                    _ => {}
                }
            }
        }),
        ("keys of a processor that its class does not read", |f| {
            f.processor["do_reduce_labels"] = json!(true);
            f.processor["processor_class"] = json!("CLIPProcessor");
            f.processor["offset"] = json!(true);
        }),
        ("files next to the model", |f| {
            put(f, "generation_config.json", "{}");
            put(f, "processor_config.json", r#"{"processor_class": "CLIPProcessor"}"#);
            put(f, "pytorch_model.bin", "not the weights that are read");
            put(f, "model.safetensors.index.json", "{}");
            put(f, "model.fp16.safetensors", "a variant that nobody asked for");
            put(f, "strange.py", "raise SystemExit");
        }),
    ]
}
