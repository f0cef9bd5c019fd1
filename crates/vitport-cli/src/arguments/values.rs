//! Parses values of options: texts to numbers and names, with a sentence about what is expected.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use vitport::folder::layout::{DEFAULT_SHARD_SIZE, parse_size};
use vitport::image::{CropMode, Filter};
use vitport::preprocessing::plausibility;
use vitport_checkpoint::Dtype;

/// Parses a number of conversions at a time.
pub(super) fn workers(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=1024).contains(&count) => Ok(count),
        _ => Err("a number of conversions at a time is 1 to 1024".to_owned()),
    }
}

/// Parses `384` or `HEIGHTxWIDTH`, in pixels.
pub(super) fn image_size(text: &str) -> Result<[u64; 2], String> {
    let edge = |text: &str| match text.trim().parse::<u64>() {
        Ok(edge) if (1..=65_536).contains(&edge) => Ok(edge),
        _ => Err("an image size is one number of pixels, or HEIGHTxWIDTH, up to 65536".to_owned()),
    };
    match text.split_once(['x', 'X', ',']) {
        Some((height, width)) => Ok([edge(height)?, edge(width)?]),
        None => edge(text).map(|edge| [edge, edge]),
    }
}

/// Parses one finite number for all channels, or three.
fn channels(text: &str) -> Result<[f64; 3], String> {
    let numbers: Result<Vec<f64>, _> = text.split(',').map(|number| number.trim().parse::<f64>()).collect();
    match numbers.as_deref() {
        Ok(&[one]) if one.is_finite() => Ok([one; 3]),
        Ok(&[red, green, blue]) if [red, green, blue].iter().all(|n| n.is_finite()) => Ok([red, green, blue]),
        _ => Err("give one number, or three with commas between them".to_owned()),
    }
}

/// Parses means that a network may have been trained with.
pub(super) fn mean(text: &str) -> Result<[f64; 3], String> {
    let mean = channels(text)?;
    plausibility::mean(&mean).map(|()| mean).map_err(|why| why.to_string())
}

/// Parses standard deviations that a network may have been trained with.
pub(super) fn std(text: &str) -> Result<[f64; 3], String> {
    let std = channels(text)?;
    plausibility::std(&std).map(|()| std).map_err(|why| why.to_string())
}

/// Parses the fraction of an image that a crop keeps.
pub(super) fn crop_pct(text: &str) -> Result<f64, String> {
    let fraction = text.parse::<f64>().unwrap_or(f64::NAN);
    plausibility::crop_pct(fraction).map(|()| fraction).map_err(|why| why.to_string())
}

/// Parses an epsilon between 0 and 1.
pub(super) fn epsilon(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(epsilon) if epsilon > 0.0 && epsilon < 1.0 => Ok(epsilon),
        _ => Err("an epsilon is between 0 and 1, such as 1e-6".to_owned()),
    }
}

/// Parses the alpha of adapters.
pub(super) fn alpha(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(alpha) if alpha > 0.0 && alpha.is_finite() => Ok(alpha),
        _ => Err("an alpha is a number above 0, such as 16".to_owned()),
    }
}

/// Parses timm's name of a crop mode.
pub(super) fn crop_mode(text: &str) -> Result<CropMode, String> {
    match CropMode::from_name(text) {
        mode if mode.name() == text => Ok(mode),
        _ => Err("crop modes are center, squash and border".to_owned()),
    }
}

/// Parses the name of a filter.
pub(super) fn interpolation(text: &str) -> Result<Filter, String> {
    let known = "interpolations are bicubic, bilinear, lanczos, nearest, box and hamming";
    Filter::from_name(text).ok_or_else(|| known.to_owned())
}

/// Parses a dtype by safetensors' short names, or by those of PyTorch and of training programs.
pub(super) fn dtype() -> impl TypedValueParser<Value = Dtype> {
    const NAMES: [(&str, [&str; 2], Dtype); 3] = [
        ("f32", ["fp32", "float32"], Dtype::F32),
        ("f16", ["fp16", "float16"], Dtype::F16),
        ("bf16", ["bfp16", "bfloat16"], Dtype::BF16),
    ];
    let values = NAMES.map(|(name, aliases, _)| PossibleValue::new(name).aliases(aliases));
    PossibleValuesParser::new(values).try_map(|text| {
        let known =
            NAMES.into_iter().find(|(name, aliases, _)| text == *name || aliases.contains(&text.as_str()));
        known.map(|(.., dtype)| dtype).ok_or_else(|| format!("no dtype {text}"))
    })
}

/// Parses a number of bytes above 0, with or without a unit.
pub(super) fn shard_size(text: &str) -> Result<u64, String> {
    match parse_size(text).map_err(|error| error.to_string())? {
        0 => Err(format!("a shard holds at least one byte; the default is {} bytes", DEFAULT_SHARD_SIZE)),
        size => Ok(size),
    }
}
