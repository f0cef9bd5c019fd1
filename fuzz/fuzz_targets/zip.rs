//! The zip container: the input is the whole file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"PK") {
        vitport_fuzz::open(data);
    }
});
