//! Measures, as `cargo bench -p vitport-nn [FILTER]`, how long the kernels take at the sizes that ViT-B/16 and CvT-13 have at
//! 224 pixels.
//!
//! Each kernel runs in turn with a baseline that does the same amount of work in the same round: products and attention
//! with multiply-adds on registers alone, on all threads, which is the most that the processor can do; elementwise kernels with a copy of
//! the same values. What is printed is the median over the rounds of the ratio of the two, 1.00 being perfect.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

mod peak;

use std::hint::black_box;

use peak::{multiply_adds, seconds};
use vitport_nn::{
    Activation, Attention, BatchNorm2d, Context, Conv2d, Grid, GridLayout, Heads, LayerNorm, Linear, Matrix,
    MemoryWeights, Scope, Window, on_the_pool,
};

const ROUNDS: usize = 21;

/// What a kernel is compared with.
#[derive(Clone, Copy)]
enum Baseline {
    /// So many multiply-adds.
    MultiplyAdds(usize),
    /// A copy of so many values.
    Copy(usize),
}

struct Case {
    name: String,
    baseline: Baseline,
    run: Box<dyn FnMut() + Send>,
}

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let mut cases = cases();
    cases.retain(|case| case.name.contains(&filter));
    on_the_pool(|| {
        for case in &mut cases {
            let mut ratios = Vec::new();
            for _ in 0..ROUNDS {
                let baseline = match case.baseline {
                    Baseline::MultiplyAdds(count) => seconds(|| multiply_adds(count)),
                    Baseline::Copy(count) => {
                        let (from, mut to) = (vec![1.0_f32; count], vec![0.0_f32; count]);
                        seconds(|| black_box(&mut to).copy_from_slice(black_box(&from)))
                    }
                };
                ratios.push(seconds(&mut case.run) / baseline);
            }
            ratios.sort_by(f64::total_cmp);
            let against = match case.baseline {
                Baseline::MultiplyAdds(_) => "the processor's peak",
                Baseline::Copy(_) => "a copy",
            };
            println!(
                "{:44} {:6.2} × {against}",
                case.name,
                ratios.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
            );
        }
    });
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|seed| ((seed * 7919 + 13) % 101) as f32 / 50.0 - 1.0).collect()
}

fn matrix(rows: usize, columns: usize) -> Matrix {
    Matrix::from_values(rows, columns, values(rows * columns)).unwrap()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, tokens, inputs, outputs, activation) in [
        ("ViT-B qkv", 197, 768, 2304, Activation::Identity),
        ("ViT-B fc1 with GELU", 197, 768, 3072, Activation::Gelu),
        ("ViT-B fc2", 197, 3072, 768, Activation::Identity),
        ("CvT-13 stage 1 fc1 with QuickGELU", 3136, 64, 256, Activation::QuickGelu),
        ("CvT-13 stage 3 projection", 197, 384, 384, Activation::Identity),
    ] {
        let mut weights = MemoryWeights::new();
        weights.insert("fc.weight", &[outputs, inputs], values(outputs * inputs)).unwrap();
        weights.insert("fc.bias", &[outputs], values(outputs)).unwrap();
        let layer = Linear::new(&Scope::root().pp("fc"), inputs, outputs, true).unwrap();
        let (x, mut out) = (matrix(tokens, inputs), Matrix::new());
        cases.push(Case {
            name: format!("{name}, {tokens} × {inputs} × {outputs}"),
            baseline: Baseline::MultiplyAdds(tokens * inputs * outputs),
            run: Box::new(move || {
                reusing(&mut out, &weights, |cx| layer.forward_with(&x, activation, cx).unwrap());
            }),
        });
    }
    for (name, queries, keys, count, dim) in
        [("ViT-B attention", 197, 197, 12, 64), ("CvT-13 stage 1 attention", 3136, 784, 1, 64)]
    {
        let width = count * dim;
        let mut weights = MemoryWeights::new();
        weights.insert("proj.weight", &[width, width], values(width * width)).unwrap();
        let proj = Linear::new(&Scope::root().pp("proj"), width, width, false).unwrap();
        let layer = Attention::new(Heads { count, dim, scale: 0.125 }, proj);
        let mut inputs = [matrix(queries, width), matrix(keys, width), matrix(keys, width)];
        let mut out = Matrix::new();
        cases.push(Case {
            name: format!("{name}, {queries} × {keys}, {count} heads, and projection"),
            baseline: Baseline::MultiplyAdds(2 * queries * keys * width + queries * width * width),
            run: Box::new(move || {
                reusing(&mut out, &weights, |cx| {
                    let [q, k, v] = inputs.each_mut().map(std::mem::take);
                    let out = layer.forward(q, k, v, cx).unwrap();
                    // What was attended has the size of the queries and may come back in their place.
                    inputs = [queries, keys, keys].map(|rows| cx.scratch(rows * width));
                    out
                });
            }),
        });
    }
    let mut weights = MemoryWeights::new();
    for name in ["weight", "bias", "running_mean", "running_var"] {
        weights.insert(format!("norm.{name}"), &[768], vec![1.0; 768]).unwrap();
    }
    weights.insert("conv.weight", &[768, 1, 3, 3], values(768 * 9)).unwrap();
    let (scope, depthwise_weights) = (Scope::root(), weights.clone());
    let norm = LayerNorm::new(&scope.pp("norm"), 768, 1e-6).unwrap();
    let (x, mut out) = (matrix(197, 768), Matrix::new());
    cases.push(Case {
        name: "layer normalisation, 197 × 768".to_owned(),
        baseline: Baseline::Copy(197 * 768),
        run: Box::new(move || reusing(&mut out, &weights, |cx| norm.forward(&x, cx).unwrap())),
    });
    let conv = Conv2d::depthwise(&scope.pp("conv"), 768, Window::square(3, 1, 1), false).unwrap();
    let norm = BatchNorm2d::new(&scope.pp("norm"), 768, 1e-5).unwrap();
    let (x, mut out) = (values(196 * 768), Matrix::new());
    cases.push(Case {
        name: "depth-wise 3 × 3, 14 × 14 × 768".to_owned(),
        baseline: Baseline::Copy(196 * 768),
        run: Box::new(move || {
            reusing(&mut out, &depthwise_weights, |cx| {
                let grid = Grid::new(&x, 768, 14, 14, GridLayout::Interleaved).unwrap();
                conv.forward_normalized(&norm, grid, cx).unwrap().tokens
            });
        }),
    });
    cases
}

/// Runs a module with the memory of its last output, as a network does.
fn reusing(out: &mut Matrix, weights: &MemoryWeights, run: impl FnOnce(&mut Context<'_>) -> Matrix) {
    let mut observer = ();
    let mut cx = Context::new(weights, &mut observer);
    cx.recycle(std::mem::take(out));
    *out = run(&mut cx);
}
