#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vitport_fuzz::targets::distributed(data));
