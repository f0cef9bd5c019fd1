//! Runs a forward pass whenever it is asked to and prints how many milliseconds it took, so that
//! `scripts/compare_forward.py` can take turns with other engines.
//!
//! `forward NETWORK WEIGHTS.safetensors PIXELS.safetensors`: NETWORK is `vit-b` (timm's ViT-B/16 at 224),
//! `cvt-13` (transformers' at 224) or a folder of timm's that can be converted, the weights are float32 under
//! the framework's names, and the pixels are a tensor `pixels` [3, height, width]. Every line on standard input
//! starts one run; at its end the logits are printed, or without a head what is pooled, and where Linux reports
//! it the peak of resident memory since the weights were read, in kilobytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../benches/forward/networks.rs"]
mod networks;

use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use safetensors::{Dtype, SafeTensors};
use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer;
use vitport::frameworks::transformers::cvt::Cvt;
use vitport::nn::{MemoryWeights, Network, Pixels};
use vitport::pipeline::{Request, plan};
use vitport::source::Source;
use vitport_checkpoint::Limits;

fn read(path: &str) -> MemoryWeights {
    let file = std::fs::read(path).expect("a readable file");
    let mut weights = MemoryWeights::new();
    for (name, view) in SafeTensors::deserialize(&file).expect("a safetensors file").iter() {
        if view.dtype() == Dtype::F32 {
            let values = bytemuck::pod_collect_to_vec(view.data());
            weights.insert(name, view.shape(), values).expect("as many values as the shape says");
        }
    }
    weights
}

fn read_pixels(path: &str) -> Pixels {
    let file = std::fs::read(path).expect("a readable file");
    let tensors = SafeTensors::deserialize(&file).expect("a safetensors file");
    let pixels = tensors.tensor("pixels").expect("a tensor `pixels`");
    let &[3, height, width] = pixels.shape() else { panic!("pixels are [3, height, width]") };
    Pixels::new(height, width, bytemuck::pod_collect_to_vec(pixels.data())).expect("float32 pixels")
}

fn network(name: &str) -> Network {
    let built = match name {
        "vit-b" => vision_transformer::DEFINITION.build(&networks::vit_b()),
        "cvt-13" => Cvt.build(&networks::cvt_13()),
        folder => {
            let source = Source::open(Path::new(folder), None, &Limits::default());
            let source = source.expect("vit-b, cvt-13 or a folder of timm's");
            return plan(source, &Request::default()).expect("a model that can be converted").model.network;
        }
    };
    built.expect("a config that can be built")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, weights, pixels] = arguments.as_slice() else {
        panic!("usage: forward NETWORK WEIGHTS.safetensors PIXELS.safetensors");
    };
    let (network, weights, pixels) = (network(name), read(weights), read_pixels(pixels));
    // Where it can be, the peak is reset: while reading, the file and the weights are in memory together.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let mut logits = Vec::new();
    for line in std::io::stdin().lock().lines() {
        line.expect("a line");
        let start = Instant::now();
        let outputs = network.forward(&pixels, &weights, &mut ()).expect("a network that runs");
        println!("{:.3}", start.elapsed().as_secs_f64() * 1e3);
        let last = outputs.values("logits").or_else(|| outputs.values("pre_logits"));
        logits = last.unwrap_or_default().to_vec();
    }
    println!("{logits:?}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        println!("{}", peak.trim());
    }
}
