//! Holds the tensors of a safetensors file, to be changed one at a time and written again. Tensors are found by the end of
//! their name, so that a classifier's `vit.…` and a bare model's names are one.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};

/// Holds a tensor as it lies in the file.
#[derive(Clone)]
pub struct Tensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Holds all tensors of a file.
#[derive(Clone)]
pub struct Tensors(pub BTreeMap<String, Tensor>);

impl Tensors {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let entry = |(name, view): (String, TensorView<'_>)| {
            let (dtype, shape, bytes) = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name, Tensor { dtype, shape, bytes })
        };
        Self(file.tensors().into_iter().map(entry).collect())
    }

    pub fn write(&self, path: &Path, format: &str) {
        let view = |tensor: &Tensor| (tensor.dtype, tensor.shape.clone());
        let views: Vec<(String, TensorView<'_>)> = self
            .0
            .iter()
            .map(|(name, tensor)| {
                let (dtype, shape) = view(tensor);
                (name.clone(), TensorView::new(dtype, shape, &tensor.bytes).unwrap())
            })
            .collect();
        let metadata = [("format".to_owned(), format.to_owned())].into_iter().collect();
        serialize_to_file(views, Some(metadata), path).unwrap();
    }

    /// Returns the one tensor whose name ends so.
    pub fn name(&self, ending: &str) -> String {
        let mut found = self.0.keys().filter(|name| name.ends_with(ending));
        let (first, second) = (found.next(), found.next());
        assert!(second.is_none(), "{ending} is the end of several names");
        first.unwrap_or_else(|| panic!("no tensor's name ends in {ending}")).clone()
    }

    pub fn has(&self, ending: &str) -> bool {
        self.0.keys().any(|name| name.ends_with(ending))
    }

    pub fn get(&self, ending: &str) -> &Tensor {
        &self.0[&self.name(ending)]
    }

    /// Returns the rows (the first axis) and elements a row.
    pub fn rows(&self, ending: &str) -> (usize, usize) {
        let shape = &self.get(ending).shape;
        (shape[0], shape[1..].iter().product())
    }

    pub fn values(&self, ending: &str) -> Vec<f32> {
        let tensor = self.get(ending);
        assert_eq!(tensor.dtype, Dtype::F32);
        tensor.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// Changes the values of a tensor. A change that changes no bit is not a fault.
    pub fn edit(&mut self, ending: &str, change: impl FnOnce(&mut Vec<f32>)) {
        let mut values = self.values(ending);
        change(&mut values);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let tensor = self.0.get_mut(&self.name(ending)).unwrap();
        assert_eq!(tensor.bytes.len(), bytes.len());
        assert!(tensor.bytes != bytes, "{ending} is not changed");
        tensor.bytes = bytes;
    }

    pub fn fill(&mut self, ending: &str, value: f32) {
        self.edit(ending, |values| values.fill(value));
    }

    /// Exchanges two tensors of the same shape.
    pub fn swap(&mut self, a: &str, b: &str) {
        let (a, b) = (self.name(a), self.name(b));
        let (of_a, of_b) = (self.0[&a].clone(), self.0[&b].clone());
        assert_eq!(of_a.shape, of_b.shape);
        self.0.insert(a, of_b);
        self.0.insert(b, of_a);
    }

    /// Exchanges all tensors of two layers.
    pub fn swap_all(&mut self, a: &str, b: &str) {
        let of_a: Vec<String> = self.0.keys().filter(|name| name.contains(a)).cloned().collect();
        assert!(!of_a.is_empty());
        for name in of_a {
            self.swap(&name, &name.replace(a, b));
        }
    }

    /// Exchanges the first two blocks of `block` rows each; a vector has rows of one element.
    pub fn swap_rows(&mut self, ending: &str, block: usize) {
        let row = self.rows(ending).1 * block;
        self.edit(ending, |values| {
            let (first, rest) = values.split_at_mut(row);
            first.swap_with_slice(&mut rest[..row]);
        });
    }

    /// Exchanges the first two blocks of `block` columns each.
    pub fn swap_columns(&mut self, ending: &str, block: usize) {
        let columns = self.rows(ending).1;
        self.edit(ending, |values| {
            for row in values.chunks_exact_mut(columns) {
                let (first, rest) = row.split_at_mut(block);
                first.swap_with_slice(&mut rest[..block]);
            }
        });
    }

    pub fn transpose(&mut self, ending: &str) {
        let (rows, columns) = self.rows(ending);
        assert_eq!(rows, columns);
        self.edit(ending, |values| {
            *values = (0..rows * columns).map(|i| values[i % columns * columns + i / columns]).collect();
        });
    }

    /// Moves every row one further, the last first.
    pub fn roll_rows(&mut self, ending: &str) {
        let row = self.rows(ending).1;
        self.edit(ending, |values| values.rotate_right(row));
    }

    /// Exchanges red and blue of `[out, 3, height, width]`.
    pub fn swap_red_and_blue(&mut self, ending: &str) {
        let shape = self.get(ending).shape.clone();
        let plane = shape[2] * shape[3];
        self.edit(ending, |values| {
            for kernel in values.chunks_exact_mut(3 * plane) {
                let (red, rest) = kernel.split_at_mut(plane);
                red.swap_with_slice(&mut rest[plane..]);
            }
        });
    }

    /// Transposes square kernels `[…, side, side]`.
    pub fn transpose_kernels(&mut self, ending: &str) {
        let side = *self.get(ending).shape.last().unwrap();
        self.edit(ending, |values| {
            for kernel in values.chunks_exact_mut(side * side) {
                let transposed: Vec<f32> =
                    (0..side * side).map(|i| kernel[i % side * side + i / side]).collect();
                kernel.copy_from_slice(&transposed);
            }
        });
    }

    /// Flips one bit of the element in the middle; bit 23 is the lowest of the exponent, bit 0 the lowest of the
    /// fraction.
    pub fn flip_bit(&mut self, ending: &str, bit: u32) {
        self.edit(ending, |values| {
            let middle = values.len() / 2;
            values[middle] = f32::from_bits(values[middle].to_bits() ^ (1 << bit));
        });
    }

    /// Changes the whole number in the middle by one.
    pub fn count_otherwise(&mut self, ending: &str) {
        let name = self.name(ending);
        let tensor = self.0.get_mut(&name).unwrap();
        assert_eq!(tensor.dtype, Dtype::I64);
        let middle = tensor.bytes.len() / 16 * 8;
        tensor.bytes[middle] ^= 1;
    }

    /// Moves the element in the middle by half of the tensor's standard deviation.
    pub fn nudge(&mut self, ending: &str) {
        self.edit(ending, |values| {
            let count = values.len() as f32;
            let mean = values.iter().sum::<f32>() / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
            let middle = values.len() / 2;
            values[middle] += 0.5 * variance.sqrt();
        });
    }

    /// Rounds the float32 tensors whose name has `part` in it to f16 or bf16; stored as that, or as float32 again.
    pub fn round(&mut self, part: &str, dtype: Dtype, is_stored: bool) {
        for tensor in self.0.iter_mut().filter(|(name, _)| name.contains(part)).map(|(_, tensor)| tensor) {
            if tensor.dtype != Dtype::F32 {
                continue;
            }
            let values = tensor.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            tensor.bytes = match (dtype, is_stored) {
                (Dtype::F16, true) => values.flat_map(|v| half::f16::from_f32(v).to_le_bytes()).collect(),
                (Dtype::F16, false) => {
                    values.flat_map(|v| half::f16::from_f32(v).to_f32().to_le_bytes()).collect()
                }
                (Dtype::BF16, true) => values.flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect(),
                _ => values.flat_map(|v| half::bf16::from_f32(v).to_f32().to_le_bytes()).collect(),
            };
            if is_stored {
                tensor.dtype = dtype;
            }
        }
    }
}
