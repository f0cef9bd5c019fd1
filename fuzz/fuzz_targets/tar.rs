//! PyTorch's tar: the input is the three members, each with two bytes of length before it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut next = || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (member, tail) = tail.split_at(length);
        rest = tail;
        Some(member)
    };
    let (Some(storages), Some(tensors), Some(pickle)) = (next(), next(), next()) else {
        return;
    };
    vitport_fuzz::open(&vitport_fuzz::tar(&[
        ("storages", storages),
        ("tensors", tensors),
        ("pickle", pickle),
    ]));
});
