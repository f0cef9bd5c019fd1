//! Reads the golden files of `tests/data` and compares forward passes with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use vitport::nn::{ForwardError, Matrix, MemoryWeights, Network, Outputs, Pixels, Weights};

/// Holds the tensors of one golden file by name: shape and values.
pub type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// Returns where a file in `tests/data` lies.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns the bytes of a file in `tests/data`.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// Returns the float32 tensors of a safetensors file in `tests/data`.
pub fn tensors(name: &str) -> Tensors {
    let bytes = bytes(&format!("{name}.safetensors"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .filter(|(_, view)| view.dtype() == Dtype::F32)
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            (name.to_owned(), (view.shape().to_vec(), values.collect()))
        })
        .collect()
}

/// Returns those tensors as weights in memory.
pub fn weights(tensors: &Tensors) -> MemoryWeights {
    let mut weights = MemoryWeights::new();
    for (name, (shape, values)) in tensors {
        weights.insert(name, shape, values.clone()).unwrap();
    }
    weights
}

/// Returns the tensor `pixels` of a golden file.
pub fn pixels(expected: &Tensors) -> Pixels {
    let (shape, values) = &expected["pixels"];
    Pixels::new(shape[1], shape[2], values.clone()).unwrap()
}

/// Returns the largest difference over the root mean square of what is expected.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square: f64 = expected.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let size = (square / expected.len() as f64).sqrt();
    let differences = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst }) / size
}

/// What the golden files call the places and outputs of the networks; `{}` stands for a number.
const NAMES: [(&str, &str); 19] = [
    ("norm_pre", "embeddings"),
    ("pos_drop", "embeddings"),
    ("embeddings", "embeddings"),
    ("blocks.{}", "layer {}"),
    ("encoder.layer.{}", "layer {}"),
    ("encoder.layers.{}", "layer {}"),
    ("layer.{}", "layer {}"),
    ("stage{}.patch_embed", "stage {} embedding"),
    ("encoder.stages.{}.embedding", "stage {} embedding"),
    ("stage{}.blocks.{}", "stage {} layer {}"),
    ("encoder.stages.{}.layers.{}", "stage {} layer {}"),
    ("norm", "norm"),
    ("layernorm", "norm"),
    ("post_layernorm", "norm"),
    ("rms_norm", "norm"),
    ("pre_logits", "pooled"),
    ("last_hidden_state[{}]", "pooled"),
    ("features", "pooled"),
    ("cls_token_value", "pooled"),
];

/// What the golden files call a place or output of a network; its own name where they call it so too.
fn golden_name(place: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit();
    let numbers: Vec<&str> = place.split(|c| !is_digit(c)).filter(|run| !run.is_empty()).collect();
    let pattern = numbers.iter().fold(place.to_owned(), |pattern, number| pattern.replacen(number, "{}", 1));
    match NAMES.iter().find(|(known, _)| *known == pattern) {
        Some((_, golden)) => {
            numbers.iter().fold((*golden).to_owned(), |name, number| name.replacen("{}", number, 1))
        }
        None => place.to_owned(),
    }
}

/// Returns everything that a network lets be seen on these pixels, by the golden files' names: hidden states and outputs.
///
/// # Errors
/// Returns what the forward pass does.
pub fn run(
    network: &Network,
    pixels: &Pixels,
    weights: &dyn Weights,
) -> Result<HashMap<String, Vec<f32>>, ForwardError> {
    let mut places: Vec<(String, Matrix)> = Vec::new();
    let outputs: Outputs = network.forward(pixels, weights, &mut places)?;
    let places = places.into_iter().map(|(name, hidden)| (name, hidden.into_values()));
    let outputs = outputs.iter().map(|output| (output.name.to_owned(), output.values.clone()));
    Ok(places.chain(outputs).map(|(name, values)| (golden_name(&name), values)).collect())
}

/// Compares a run of a network with its golden file: every expected hidden state and output must be there and agree to 1e-5
/// of its size. Returns how many were compared.
pub fn compare(expected: &Tensors, network: &Network, pixels: &Pixels, weights: &dyn Weights) -> usize {
    let found = run(network, pixels, weights).unwrap();
    let mut compared = 0;
    for (name, (_, values)) in expected.iter().filter(|(name, _)| *name != "pixels") {
        let error = relative_error(&found[name], values);
        assert!(error < 1e-5, "{name} is off by {error:e}");
        compared += 1;
    }
    compared
}
