//! Shard indices: the input is the JSON document, in a folder with two shards.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let folder = vitport_fuzz::folder();
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    for name in ["1.safetensors", "2.safetensors"] {
        let path = folder.join(name);
        if !path.exists() {
            let file = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 4]].concat();
            std::fs::write(path, file).expect("a temporary file");
        }
    }
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(&index, data).expect("a temporary file");
    vitport_fuzz::open_path(&index);
});
