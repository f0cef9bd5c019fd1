//! Measures the most that the processor can do, as a baseline for whatever is made of multiply-adds, and takes
//! the time of both. The forward passes' benchmark in `crates/vitport` shares this file.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Simd, WithSimd};

/// Returns the seconds that `run` takes.
pub fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// Computes that many multiply-adds of float32 on registers, shared out among rayon's threads.
pub fn multiply_adds(count: usize) {
    let threads = rayon::current_num_threads();
    rayon::broadcast(|_| pulp::Arch::new().dispatch(OnRegisters { count: count / threads }));
}

struct OnRegisters {
    count: usize,
}

impl WithSimd for OnRegisters {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sums = [simd.splat_f32s(black_box(1.0)); 12];
        let factor = simd.splat_f32s(black_box(0.5));
        for _ in 0..self.count / (12 * S::F32_LANES) {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, factor);
            }
        }
        black_box(sums);
    }
}
