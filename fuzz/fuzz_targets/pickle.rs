//! The pickle machine, the builders and the walk: the input is the pickle of a PyTorch zip that has four
//! storages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let values = [7; 96];
    vitport_fuzz::open(&vitport_fuzz::zip(&[
        ("a/data.pkl", data),
        ("a/data/0", &values),
        ("a/data/1", &values[..16]),
        ("a/data/2", &values[..4]),
        ("a/data/3", &values[..8]),
    ]));
});
