//! Arrays in an `.npz`: the input is one entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vitport_fuzz::open(&vitport_fuzz::zip(&[("w.npy", data)]));
});
