//! `burn_reader SOURCE OUT`: a PyTorch checkpoint to safetensors with Burn's reader and the safetensors library, each
//! tensor read when it is written, nothing renamed or split: what `scripts/compare_write.py` can take turns with.

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;

use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::{Dtype, View};

struct Lazy<'a>(&'a Tensor);

impl View for Lazy<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.dtype() {
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            other => panic!("{other:?} is not in the files that are compared"),
        }
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.read().expect("a readable file"))
    }

    fn data_len(&self) -> usize {
        self.0.byte_len()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: burn_reader SOURCE OUT".into());
    };
    let reader = PytorchReader::new(&source)?;
    let tensors = reader.tensors().iter().map(|(name, tensor)| (name, Lazy(tensor)));
    Ok(safetensors::serialize_to_file(tensors, None, Path::new(&out))?)
}
