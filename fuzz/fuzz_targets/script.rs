//! TorchScript: the input is the code, then a zero byte, then the pickle.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (code, pickle) = data.split_at(at);
    vitport_fuzz::open(&vitport_fuzz::zip(&[
        ("a/data.pkl", pickle.get(1..).unwrap_or_default()),
        ("a/data/0", &[7; 24]),
        ("a/data/1", &[7; 8]),
        ("a/code/__torch__/net.py", code),
        ("a/constants.pkl", b"\x80\x02)."),
    ]));
});
