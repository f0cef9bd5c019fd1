//! `cargo bench --bench forward [FILTER]`: how long whole forward passes take, as a ratio to the most that the processor
//! can do.
//!
//! ViT-B/16 (timm's side) and CvT-13 (transformers' side) run on a picture of 224 × 224 pixels with made-up weights in
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

use made_up::MadeUp;
use peak::{multiply_adds, seconds};
use vitport::families::cvt::forward_transformers::{Cvt, CvtConfig};
use vitport::families::vit::forward_timm::VisionTransformer;
use vitport::image::Pixels;
use vitport::nn::{ForwardError, Output, StateDict, Weights};

const ROUNDS: usize = 15;

/// Height and width of the picture.
const SIDE: usize = 224;

/// Runs a network once.
type Forward = Box<dyn Fn(&Pixels, &dyn Weights) -> Result<Output, ForwardError>>;

struct Case {
    name: &'static str,
    /// Multiply-adds of one pass.
    work: usize,
    forward: Forward,
    weights: StateDict,
}

impl Case {
    fn new(name: &'static str, work: usize, pixels: &Pixels, forward: Forward) -> Result<Self, ForwardError> {
        let made_up = MadeUp::default();
        forward(pixels, &made_up)?;
        Ok(Self { name, work, forward, weights: made_up.into_state_dict()? })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let values = (0..3 * SIDE * SIDE).map(|place| (place % 255) as f32 / 127.0 - 1.0).collect();
    let pixels = Pixels::new(SIDE, SIDE, values).ok_or("too few pixels")?;
    let (vit, config) = (networks::vit_b(), networks::cvt_13());
    let (vit_work, cvt_work) = (work_of_vit(&vit), work_of_cvt(&config));
    let cvt = Cvt::new(&config)?;
    let mut cases = vec![
        Case::new(
            "ViT-B/16 at 224",
            vit_work,
            &pixels,
            Box::new(move |pixels, weights| vit.forward(pixels, weights, &mut ())),
        )?,
        Case::new(
            "CvT-13 at 224",
            cvt_work,
            &pixels,
            Box::new(move |pixels, weights| cvt.forward(pixels, weights, &mut ())),
        )?,
    ];
    cases.retain(|case| case.name.contains(&filter));

    let mut ratios = vec![Vec::new(); cases.len()];
    for round in 0..=ROUNDS {
        for (case, ratios) in cases.iter().zip(&mut ratios) {
            let peak = seconds(|| multiply_adds(case.work));
            let mut output = Ok(Output::default());
            let pass = seconds(|| output = black_box((case.forward)(&pixels, &case.weights)));
            output?;
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

/// Multiply-adds of a ViT's matrix products, its embedding's among them.
fn work_of_vit(vit: &VisionTransformer) -> usize {
    let patches = (SIDE / vit.patch_size.0) * (SIDE / vit.patch_size.1);
    let tokens = patches + 1;
    let embedding = patches * vit.patch_size.0 * vit.patch_size.1 * vit.channels * vit.dim;
    let projections = 4 * tokens * vit.dim * vit.dim;
    let attention = 2 * tokens * tokens * vit.dim;
    let perceptron = 2 * tokens * vit.dim * vit.mlp_hidden;
    embedding + vit.depth * (projections + attention + perceptron) + vit.dim * vit.classes
}

/// Multiply-adds of a CvT's matrix products and convolutions, for a CvT whose convolutions keep or halve the grid as the
/// released ones' do.
fn work_of_cvt(cvt: &CvtConfig) -> usize {
    let (mut side, mut channels, mut work) = (SIDE, cvt.num_channels, 0);
    for stage in 0..cvt.depth.len() {
        let width = cvt.embed_dim[stage];
        side /= cvt.patch_stride[stage];
        let (positions, kept) = (side * side, side.div_ceil(cvt.stride_kv[stage]).pow(2));
        let class_token = usize::from(cvt.cls_token[stage]);
        let (queries, keys) = (positions + class_token, kept + class_token);
        let embedding = positions * cvt.patch_sizes[stage].pow(2) * channels * width;
        let convolutions = (positions + 2 * kept) * cvt.kernel_qkv[stage].pow(2) * width;
        let projections = 2 * (queries + keys) * width * width;
        let attention = 2 * queries * keys * width;
        let perceptron = 2 * queries * width * (width as f64 * cvt.mlp_ratio[stage]) as usize;
        work += embedding + cvt.depth[stage] * (convolutions + projections + attention + perceptron);
        channels = width;
    }
    work + channels * cvt.num_labels.unwrap_or_default()
}
