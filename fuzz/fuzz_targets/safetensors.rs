//! safetensors: the input is the header and the data; the header's length is put before it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vitport_fuzz::open(data);
    if let Some(end) = data.iter().rposition(|byte| *byte == b'}') {
        let mut file = (end as u64 + 1).to_le_bytes().to_vec();
        file.extend(data);
        vitport_fuzz::open(&file);
    }
});
