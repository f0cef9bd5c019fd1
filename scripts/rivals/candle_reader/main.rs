//! `candle_reader SOURCE OUT`: a checkpoint to safetensors with candle's reader and writer, all tensors in memory, nothing
//! renamed or split: what `scripts/compare_write.py` can take turns with.

use std::collections::HashMap;
use std::error::Error;

use candle_core::{Device, Tensor, pickle, safetensors};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: candle_reader SOURCE OUT".into());
    };
    let tensors: HashMap<String, Tensor> = if source.ends_with(".safetensors") {
        safetensors::load(&source, &Device::Cpu)?
    } else {
        pickle::read_all(&source)?.into_iter().collect()
    };
    Ok(safetensors::save(&tensors, out)?)
}
