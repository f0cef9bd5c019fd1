//! Lists faults in weights that any network can have. They lie in its largest matrix, and in its classifier.

use safetensors::tensor::Dtype;

use super::fault::{Fault, Kind, fault};
use super::folder::FolderFiles;
use super::tensors::{Tensor, Tensors};

fn largest(files: &FolderFiles) -> String {
    // Of larger kernels, a part may lie over the padding alone.
    let is_matrix = |tensor: &Tensor| match tensor.shape[..] {
        [_, _] | [_, _, 1, 1] => tensor.dtype == Dtype::F32,
        _ => false,
    };
    let matrices = files.weights.0.iter().filter(|(_, tensor)| is_matrix(tensor));
    matrices.max_by_key(|(_, tensor)| tensor.bytes.len()).unwrap().0.clone()
}

/// Returns the name of the classifier's weight, or bias.
fn classifier(files: &FolderFiles, part: &str) -> Option<String> {
    let mut names = files.weights.0.keys();
    names.find(|name| name.starts_with("classifier") && name.ends_with(part)).cloned()
}

fn has_head(files: &FolderFiles) -> bool {
    classifier(files, "weight").is_some()
}

fn of_classifier(files: &mut FolderFiles, part: &str, change: fn(&mut Tensors, &str)) {
    let name = classifier(files, part).unwrap();
    change(&mut files.weights, &name);
}

fn of_largest(files: &mut FolderFiles, change: fn(&mut Tensors, &str)) {
    let name = largest(files);
    change(&mut files.weights, &name);
}

/// Returns whether outputs depend on every element of the largest weight. In the RegNet, the one in the middle belongs to a channel that
/// a ReLU turns off on the built-in image.
fn is_always_on(files: &FolderFiles) -> bool {
    files.config["model_type"] != "regnet"
}

/// Returns the faults.
pub fn list() -> Vec<Fault> {
    let weight = Kind::Weights;
    vec![
        fault(weight, "classifier rows rolled by one", |f| {
            of_classifier(f, "weight", |w, name| w.roll_rows(name));
            of_classifier(f, "bias", |w, name| w.roll_rows(name));
        })
        .fits(has_head),
        fault(weight, "classifier weights rolled by one, not its bias", |f| {
            of_classifier(f, "weight", |w, name| w.roll_rows(name));
        })
        .fits(has_head),
        fault(weight, "classifier bias zeroed", |f| of_classifier(f, "bias", |w, name| w.fill(name, 0.0)))
            .fits(has_head),
        fault(weight, "rows of a weight rolled by one", |f| of_largest(f, |w, name| w.roll_rows(name))),
        fault(weight, "sign of a weight flipped", |f| {
            of_largest(f, |w, name| {
                w.edit(name, |values| values.iter_mut().for_each(|value| *value = -*value))
            });
        }),
        fault(weight, "one element moved by half a standard deviation", |f| {
            of_largest(f, |w, name| w.nudge(name))
        })
        .fits(is_always_on),
        fault(weight, "all weights silently in bf16", |f| f.weights.round("", Dtype::BF16, true)),
        fault(weight, "all weights rounded to bf16, stored in float32", |f| {
            f.weights.round("", Dtype::BF16, false);
        }),
        fault(weight, "all weights rounded to f16, stored in float32", |f| {
            f.weights.round("", Dtype::F16, false);
        }),
        fault(weight, "one tensor in f16", |f| of_largest(f, |w, name| w.round(name, Dtype::F16, true))),
        fault(weight, "one tensor rounded to f16, stored in float32", |f| {
            of_largest(f, |w, name| w.round(name, Dtype::F16, false));
        }),
        fault(weight, "lowest exponent bit of one weight flipped", |f| {
            of_largest(f, |w, name| w.flip_bit(name, 23))
        })
        .fits(is_always_on),
        fault(weight, "highest exponent bit of one weight flipped", |f| {
            of_largest(f, |w, name| w.flip_bit(name, 30))
        }),
        fault(weight, "sign bit of one weight flipped", |f| of_largest(f, |w, name| w.flip_bit(name, 31)))
            .fits(is_always_on),
        fault(weight, "lowest fraction bit of one weight flipped", |f| {
            of_largest(f, |w, name| w.flip_bit(name, 0))
        })
        .unseen("it is less than the rounding of every product"),
        fault(weight, "a tensor missing", |f| {
            let name = largest(f);
            f.weights.0.remove(&name);
        }),
        fault(weight, "a tensor too many", |f| {
            let extra = Tensor { dtype: Dtype::F32, shape: vec![1], bytes: vec![0; 4] };
            f.weights.0.insert("encoder.layer.1.lambda".to_owned(), extra);
        })
        .unseen("no network reads it"),
    ]
}
