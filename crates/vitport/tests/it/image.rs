//! Compares decoding, resizing and preprocessing with Pillow, timm, torchvision and transformers, bit for bit.

use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;
use vitport::image::{
    CropMode, Filter, ImageError, ImageProcessor, MicrosoftTransform, Pixels, RgbImage, TimmTransform, resize,
};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/image").join(name)).unwrap()
}

fn image(name: &str) -> RgbImage {
    RgbImage::decode(&file(&format!("{name}.png"))).unwrap()
}

/// Runs `check` on every case of a kind with the bytes that are expected, and returns how many there were.
fn each(kind: &str, check: impl Fn(&Value, &RgbImage) -> Vec<u8>) -> usize {
    let cases: Vec<Value> = serde_json::from_slice(&file("cases.json")).unwrap();
    let expected = file("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let mut count = 0;
    for case in cases.iter().filter(|case| case["kind"] == kind) {
        let name = case["name"].as_str().unwrap();
        let found = check(case, &image(case["image"].as_str().unwrap()));
        let expected = expected.tensor(name).unwrap().data();
        let differing = found.iter().zip(expected).filter(|(a, b)| a != b).count();
        assert!(
            found.len() == expected.len() && differing == 0,
            "{name}: {differing} of {} bytes: {case}",
            found.len()
        );
        count += 1;
    }
    count
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn triple(value: &Value) -> [f64; 3] {
    serde_json::from_value(value.clone()).unwrap()
}

/// The bytes of the pixels, or of every so many rows and columns.
fn bytes(case: &Value, pixels: &Pixels) -> Vec<u8> {
    let every = case.get("every").map_or(1, size);
    let [_, height, width] = pixels.shape();
    pixels
        .values()
        .chunks_exact(height * width)
        .flat_map(|plane| plane.chunks_exact(width).step_by(every))
        .flat_map(|row| row.iter().step_by(every))
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[test]
fn decoding_is_pillow_s() {
    assert_eq!(each("decode", |_, image| image.bytes().to_vec()), 12);
}

#[test]
fn resizing_is_pillow_s() {
    let count = each("resize", |case, image| {
        let filter = Filter::from_pillow_number(case["filter"].as_u64().unwrap()).unwrap();
        let resized = resize(image, size(&case["size"][0]), size(&case["size"][1]), filter).unwrap();
        resized.bytes().to_vec()
    });
    assert!(count > 40);
}

#[test]
fn preprocessing_is_timm_s() {
    let count = each("timm", |case, image| {
        let parameters = &case["parameters"];
        let transform = TimmTransform {
            input_size: (size(&parameters["input_size"][1]), size(&parameters["input_size"][2])),
            crop_pct: parameters["crop_pct"].as_f64().unwrap(),
            crop_mode: CropMode::from_name(parameters["crop_mode"].as_str().unwrap()),
            interpolation: Filter::from_name(parameters["interpolation"].as_str().unwrap()).unwrap(),
            mean: triple(&parameters["mean"]),
            std: triple(&parameters["std"]),
        };
        bytes(case, &transform.apply(image).unwrap())
    });
    assert!(count > 35);
}

#[test]
fn preprocessing_is_microsoft_s() {
    let count = each("microsoft", |case, image| {
        let transform = MicrosoftTransform {
            image_size: size(&case["image_size"]),
            center_crop: case["center_crop"].as_bool().unwrap(),
            interpolation: Filter::Bicubic,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        };
        bytes(case, &transform.apply(image).unwrap())
    });
    assert_eq!(count, 8);
}

#[test]
fn preprocessing_is_transformers_s() {
    let count = each("processor", |case, image| {
        let processor = ImageProcessor::from_json(case["config"].as_object().unwrap(), None).unwrap();
        bytes(case, &processor.apply(image).unwrap())
    });
    assert!(count > 25);
}

#[test]
fn an_unknown_processor_is_named() {
    for (json, fallback, named) in [
        (
            r#"{"image_processor_type": "LevitImageProcessor"}"#,
            Some("ViTImageProcessor"),
            "LevitImageProcessor",
        ),
        (r#"{}"#, None, "\"\""),
        (r#"{}"#, Some("LevitImageProcessor"), "LevitImageProcessor"),
    ] {
        let json: Value = serde_json::from_str(json).unwrap();
        let error = ImageProcessor::from_json(json.as_object().unwrap(), fallback).unwrap_err();
        assert!(matches!(error, ImageError::UnknownProcessor { .. }), "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let empty = serde_json::Map::new();
    assert!(ImageProcessor::from_json(&empty, Some("ViTImageProcessor")).is_ok());
    assert!(ImageProcessor::from_json(&empty, Some("ViTImageProcessorFast")).is_ok());
}

#[test]
fn fields_that_the_class_would_refuse_are_errors() {
    for (class, fields) in [
        ("ViT", r#""size": {"shortest_edge": 224}"#),
        ("ViT", r#""size": {"height": 0, "width": 3}"#),
        ("ViT", r#""size": -1"#),
        ("ViT", r#""size": {"height": 99999999999, "width": 3}"#),
        ("ViT", r#""resample": 9"#),
        ("ViT", r#""resample": null"#),
        ("ViT", r#""image_mean": [0.5, 0.5]"#),
        ("ViT", r#""image_std": "large""#),
        ("CLIP", r#""size": {"longest_edge": 3}"#),
        ("CLIP", r#""crop_size": {"shortest_edge": 224}"#),
        ("ConvNext", r#""size": {"height": 3, "width": 3}"#),
        ("ConvNext", r#""crop_pct": 0"#),
        ("DeiT", r#""rescale_factor": null"#),
    ] {
        let json = format!(r#"{{"image_processor_type": "{class}ImageProcessor", {fields}}}"#);
        let json: Value = serde_json::from_str(&json).unwrap();
        let result = ImageProcessor::from_json(json.as_object().unwrap(), None);
        let Err(ImageError::Processor { field, .. }) = result else { panic!("{class} {fields}: {result:?}") };
        assert!(fields.contains(field), "{field} in {fields}");
    }
}

#[test]
fn transforms_without_sense_are_errors() {
    let good = TimmTransform {
        input_size: (16, 16),
        crop_pct: 0.9,
        crop_mode: CropMode::Center,
        interpolation: Filter::Bicubic,
        mean: [0.5; 3],
        std: [0.5; 3],
    };
    let photo = image("photo");
    assert!(good.apply(&photo).is_ok());
    for bad in [
        TimmTransform { crop_pct: 0.0, ..good.clone() },
        TimmTransform { crop_pct: f64::NAN, ..good.clone() },
        TimmTransform { crop_pct: 1e-12, ..good.clone() },
        TimmTransform { input_size: (0, 16), ..good.clone() },
        TimmTransform { input_size: (usize::MAX, usize::MAX), crop_pct: 1e30, ..good.clone() },
        TimmTransform { input_size: (usize::MAX, usize::MAX), crop_mode: CropMode::Border, ..good.clone() },
    ] {
        assert!(bad.apply(&photo).is_err(), "{bad:?}");
    }
    // An image so narrow that fitting its longer side leaves no pixel of the shorter.
    let border = TimmTransform { crop_mode: CropMode::Border, ..good };
    assert!(matches!(border.apply(&image("line")), Err(ImageError::Empty { width: 0, .. })));
}

#[test]
fn a_decompression_bomb_is_refused_by_its_header() {
    // A PNG header of 60000 × 60000 pixels, with the right checksum and no data after it.
    let mut bomb =
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x02\x00\x00\x00".to_vec();
    bomb.extend([15, 176, 226, 21]);
    bomb.extend(b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e\x00\x00\x00\x00IEND\xae\x42\x60\x82");
    let error = RgbImage::decode(&bomb).unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { width: 60_000, height: 60_000, .. }), "{error}");
}
