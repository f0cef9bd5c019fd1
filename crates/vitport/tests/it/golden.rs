//! Reads the golden files of `tests/data` and compares a forward pass with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use vitport::image::Pixels;
use vitport::nn::{ForwardError, Matrix, Observer, Output, Stage, StateDict};

/// Tensors of one golden file by name: shape and values.
pub type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// Where a file in `tests/data` lies.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The bytes of a file in `tests/data`.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

/// The float32 tensors of a safetensors file in `tests/data`.
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

/// A state dict of those tensors.
pub fn state_dict(tensors: &Tensors) -> StateDict {
    let mut weights = StateDict::new();
    for (name, (shape, values)) in tensors {
        weights.insert(name, shape, values.clone()).unwrap();
    }
    weights
}

/// The tensor `pixels` of a golden file.
pub fn pixels(expected: &Tensors) -> Pixels {
    let (shape, values) = &expected["pixels"];
    Pixels::new(shape[1], shape[2], values.clone()).unwrap()
}

/// Largest difference over the root mean square of what is expected.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square: f64 = expected.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
    let size = (square / expected.len() as f64).sqrt();
    let differences = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst }) / size
}

/// A run of a network against its golden file: every expected hidden state and output must be there
/// and agree to 1e-5 of its size. Returns how many were compared.
pub fn compare(
    expected: &Tensors,
    forward: impl FnOnce(&mut dyn Observer) -> Result<Output, ForwardError>,
) -> usize {
    let mut stages: Vec<(Stage, Matrix)> = Vec::new();
    let output = forward(&mut stages).unwrap();
    let mut found: HashMap<String, Vec<f32>> =
        stages.into_iter().map(|(stage, hidden)| (stage.to_string(), hidden.into_values())).collect();
    found.insert("pooled".to_owned(), output.pooled);
    found.extend(output.logits.map(|values| ("logits".to_owned(), values)));
    found.extend(output.pooler_output.map(|values| ("pooler_output".to_owned(), values)));
    let mut compared = 0;
    for (name, (_, values)) in expected.iter().filter(|(name, _)| *name != "pixels") {
        let error = relative_error(&found[name], values);
        assert!(error < 1e-5, "{name} is off by {error:e}");
        compared += 1;
    }
    compared
}
