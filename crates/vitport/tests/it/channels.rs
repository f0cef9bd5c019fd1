//! Tests networks for images of other than three channels: one channel has an image processor, others are converted without.

use std::path::Path;

use serde_json::{Value, json};
use vitport::facts::FactError;
use vitport::image::RgbImage;
use vitport::labels::LabelChoice;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{Classifier, Report, TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::assumptions::write_weights;

/// Writes a ViT for 32 × 32 pixels of so many channels.
fn write_vit(path: &Path, channels: u64) {
    let config = json!({
        "img_size": [32, 32], "patch_size": [8, 8], "in_chans": channels, "num_classes": 3, "embed_dim": 16, "depth": 1,
        "num_heads": 2, "mlp_dim": 32, "qkv_bias": true, "layer_scale": false, "no_embed_class": false, "pre_norm": false,
        "act_layer": "gelu", "norm_eps": 1e-6,
    });
    write_weights(path, "timm/vision_transformer", config.as_object().unwrap());
    // Weights that make outputs depend on every channel.
    let mut file = std::fs::read(path).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let mut state = 1_u32;
    for number in file[header..].chunks_exact_mut(4) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        number.copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(path, file).unwrap();
}

fn options() -> FactOptions {
    FactOptions { num_heads: Some(vec![2]), labels: Some(LabelChoice::None), ..FactOptions::default() }
}

fn like(tag: &str) -> FactOptions {
    FactOptions { like: Some(tag.to_owned()), ..options() }
}

/// Writes the folder of a source, and compares both.
fn convert(source: &Path, out: &Path, facts: FactOptions) -> Result<Report, ConvertError> {
    let source = Source::open(source, None, &Limits::default())?;
    let prepared = plan(source, &Request { facts, ..Request::default() })?;
    let options = WriteOptions { max_shard_size: 5 << 30, force: false, fsync: false, exact_code: false };
    write(&prepared, out, options, &|_| ())?.staging.publish()?;
    Ok(verify(&prepared, out, &TestImage::built_in().unwrap()).unwrap())
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// timm's `save_for_hf` writes a mean for each channel.
#[test]
fn other_channels_with_a_mean_for_each_are_converted_without_a_processor() {
    for channels in [2_usize, 4] {
        let scratch = tempfile::tempdir().unwrap();
        write_vit(&scratch.path().join("model.safetensors"), channels as u64);
        let folder = |mean: Vec<f64>| {
            let config = json!({
                "architecture": "vit_tiny_patch16_224",
                "model_args": {
                    "img_size": 32, "patch_size": 8, "in_chans": channels, "num_classes": 3, "embed_dim": 16, "depth": 1,
                    "num_heads": 2, "mlp_ratio": 2,
                },
                "pretrained_cfg": { "mean": mean, "std": vec![0.226; channels], "input_size": [channels, 32, 32] },
            });
            std::fs::write(scratch.path().join("config.json"), config.to_string()).unwrap();
            let facts = FactOptions { labels: Some(LabelChoice::None), ..FactOptions::default() };
            let without = FactOptions { without_processor: true, ..facts.clone() };
            let out = tempfile::tempdir().unwrap();
            [facts, without].map(|facts| convert(scratch.path(), &out.path().join("out"), facts))
        };
        let [with, without] = folder(vec![0.449; channels]);
        assert!(with.unwrap_err().to_string().contains(&format!("images of {channels} channels")));
        assert_eq!(without.unwrap().verdict, Verdict::Same);
        let [_, wrong] = folder(vec![0.449; 5]);
        assert!(wrong.unwrap_err().to_string().contains("is not a valid mean"));
    }
}

#[test]
fn one_channel_has_one_mean_and_is_classified_in_grey() {
    let scratch = tempfile::tempdir().unwrap();
    let (file, out) = (scratch.path().join("grey.safetensors"), scratch.path().join("out"));
    write_vit(&file, 1);
    let report = convert(&file, &out, like("vit_tiny_patch16_384.augreg_in21k_ft_in1k")).unwrap();
    assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
    assert!(
        report.warnings.iter().any(|warning| warning.contains("pipeline makes RGB")),
        "{:?}",
        report.warnings
    );
    let processor = document(&out.join("preprocessor_config.json"));
    assert_eq!(
        (&processor["image_mean"], &processor["image_std"], &processor["do_convert_rgb"]),
        (&json!([0.5]), &json!([0.5]), &json!(false))
    );
    assert_eq!(document(&out.join("config.json"))["num_channels"], 1);
    let image = TestImage::built_in().unwrap().decoded;
    let classifier = Classifier::open(&out, &Limits::default()).unwrap();
    assert_eq!(classifier.top(&image, 5).unwrap(), classifier.top(&image.to_grey(), 5).unwrap());
    // What makes RGB of an image gives the network three channels.
    let mut converting = processor;
    converting["do_convert_rgb"] = json!(true);
    std::fs::write(out.join("preprocessor_config.json"), converting.to_string()).unwrap();
    let error = Classifier::open(&out, &Limits::default()).err().unwrap().to_string();
    assert!(error.contains("do_convert_rgb"), "{error}");
}

#[test]
fn three_means_are_none_for_one_channel() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("grey.safetensors");
    write_vit(&file, 1);
    let asked = |facts: FactOptions| convert(&file, &scratch.path().join("out"), facts).err().unwrap();
    let ConvertError::Facts(FactError::Questions { open, .. }) = asked(like("deit_tiny_patch16_224.fb_in1k"))
    else {
        panic!("the mean of one channel");
    };
    let facts: Vec<&str> = open.iter().map(|question| question.fact).collect();
    assert_eq!(facts, ["mean", "std"]);
    let given =
        FactOptions { mean: Some([0.4, 0.5, 0.6]), ..like("vit_tiny_patch16_384.augreg_in21k_ft_in1k") };
    let error = asked(given).to_string();
    assert!(error.contains("--mean [0.4, 0.5, 0.6] does not fit") && error.contains("one number"), "{error}");
}

#[test]
fn other_channels_are_converted_without_an_image_processor() {
    for channels in [2, 4, 13] {
        let scratch = tempfile::tempdir().unwrap();
        let (file, out) = (scratch.path().join("many.safetensors"), scratch.path().join("out"));
        write_vit(&file, channels);
        let refused = convert(&file, &out, FactOptions::default()).err().unwrap().to_string();
        assert!(
            refused.contains(&format!("{channels} channels")) && refused.contains("--no-processor"),
            "{refused}"
        );
        let without = FactOptions { without_processor: true, ..options() };
        let report = convert(&file, &out, without.clone()).unwrap();
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
        assert!(
            report.pixels.is_empty() && report.warnings[0].contains("made directly"),
            "{:?}",
            report.warnings
        );
        assert!(!out.join("preprocessor_config.json").exists());
        assert_eq!(document(&out.join("config.json"))["num_channels"], channels);
        // A processor that nobody asked for is not passed over.
        std::fs::write(out.join("preprocessor_config.json"), "{}").unwrap();
        let source = Source::open(&file, None, &Limits::default()).unwrap();
        let prepared = plan(source, &Request { facts: without, ..Request::default() }).unwrap();
        let report = verify(&prepared, &out, &TestImage::built_in().unwrap()).unwrap();
        assert_eq!(report.verdict, Verdict::Different);
    }
}

#[test]
fn grey_is_pillows() {
    // Python: Image.new("RGB", (1, 1), (10, 200, 30)).convert("L").getpixel((0, 0))
    let grey = RgbImage::new(1, 1, vec![10, 200, 30]).unwrap().to_grey();
    assert_eq!(grey.bytes(), [124; 3]);
}
