//! Measures, as `cargo bench --bench forward [FILTER]`, how long whole forward passes take, as a ratio to the most that the
//! processor can do.
//!
//! ViT-B/16 (timm's side) and CvT-13 (transformers' side) run on an image of 224 × 224 pixels with made-up weights in
//! memory, float32, batch one, on all threads. In every round each network runs once, right after as many multiply-adds on
//! registers as its products, convolutions and attention are made of; what is printed is the median over the rounds of the
//! ratio of the two. `scripts/compare_forward.py` takes turns with other engines instead.
#![allow(clippy::print_stdout, clippy::indexing_slicing, missing_docs)]

mod made_up;
mod networks;
#[path = "../../../vitport-nn/benches/peak/mod.rs"]
mod peak;

use std::error::Error;
use std::hint::black_box;

use peak::{multiply_adds, seconds};
use serde_json::{Map, Value};
use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer::{Config, DEFINITION};
use vitport::frameworks::transformers::cvt::Cvt;
use vitport::nn::{ForwardError, MemoryWeights, Network, Outputs, Pixels};

const ROUNDS: usize = 15;

/// Height and width of the image.
const SIDE: usize = 224;

struct Case {
    name: &'static str,
    /// Multiply-adds of one pass.
    work: usize,
    network: Network,
    weights: MemoryWeights,
}

impl Case {
    fn new(name: &'static str, work: usize, network: Network) -> Result<Self, ForwardError> {
        let weights = made_up::weights_of(&network)?;
        Ok(Self { name, work, network, weights })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let values = (0..3 * SIDE * SIDE).map(|place| (place % 255) as f32 / 127.0 - 1.0).collect();
    let pixels = Pixels::new(SIDE, SIDE, values).ok_or("too few pixels")?;
    let (vit, cvt) = (networks::vit_b(), networks::cvt_13());
    let vit_work = work_of_vit(&serde_json::from_value(Value::Object(vit.clone()))?);
    let mut cases = vec![
        Case::new("ViT-B/16 at 224", vit_work, DEFINITION.build(&vit)?)?,
        Case::new("CvT-13 at 224", work_of_cvt(&cvt), Cvt.build(&cvt)?)?,
    ];
    cases.retain(|case| case.name.contains(&filter));

    let mut ratios = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, ratios) in cases.iter().zip(&mut ratios) {
            let peak = seconds(|| multiply_adds(case.work));
            let mut outputs = Ok(Outputs::new());
            let pass = seconds(|| outputs = black_box(case.network.forward(&pixels, &case.weights, &mut ())));
            outputs?;
            if round > 0 {
                ratios.push(pass / peak);
            }
        }
    }
    for (case, mut ratios) in cases.iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        let at = |place: usize| ratios.get(place).copied().unwrap_or(f64::NAN);
        let (median, least, most) = (at(ROUNDS / 2), at(0), at(ROUNDS - 1));
        println!(
            "{:<16} {median:5.2} × the processor's peak at its {:.2} G multiply-adds  ({least:.2} to {most:.2})",
            case.name,
            case.work as f64 / 1e9
        );
    }
    Ok(())
}

/// Returns the multiply-adds of a ViT's matrix products, its embedding's among them.
fn work_of_vit(vit: &Config) -> usize {
    let [patch_height, patch_width] = vit.patch_size;
    let patches = (SIDE / patch_height) * (SIDE / patch_width);
    let (tokens, dim) = (patches + 1, vit.embed_dim);
    let embedding = patches * patch_height * patch_width * vit.in_chans * dim;
    let projections = 4 * tokens * dim * dim;
    let attention = 2 * tokens * tokens * dim;
    let mlp = 2 * tokens * dim * vit.mlp_dim;
    embedding + vit.depth * (projections + attention + mlp) + dim * vit.num_classes
}

/// Returns the multiply-adds of a CvT's matrix products and convolutions, for a CvT whose convolutions keep or halve the grid
/// as the released ones' do.
fn work_of_cvt(cvt: &Map<String, Value>) -> usize {
    let number = |value: &Value| value.as_f64().unwrap_or_default() as usize;
    let of = |key: &str, stage: usize| number(&cvt[key][stage]);
    let (mut side, mut channels, mut work) = (SIDE, number(&cvt["num_channels"]), 0);
    for stage in 0..cvt["depth"].as_array().map_or(0, Vec::len) {
        let width = of("embed_dim", stage);
        side /= of("patch_stride", stage);
        let (positions, kept) = (side * side, side.div_ceil(of("stride_kv", stage)).pow(2));
        let class_token = usize::from(cvt["cls_token"][stage] == true);
        let (queries, keys) = (positions + class_token, kept + class_token);
        let embedding = positions * of("patch_sizes", stage).pow(2) * channels * width;
        let convolutions = (positions + 2 * kept) * of("kernel_qkv", stage).pow(2) * width;
        let projections = 2 * (queries + keys) * width * width;
        let attention = 2 * queries * keys * width;
        let hidden = (width as f64 * cvt["mlp_ratio"][stage].as_f64().unwrap_or_default()) as usize;
        let mlp = 2 * queries * width * hidden;
        work += embedding + of("depth", stage) * (convolutions + projections + attention + mlp);
        channels = width;
    }
    work + channels * number(&cvt["num_labels"])
}
