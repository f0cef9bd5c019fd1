//! Every file next to the tests reads as torch, numpy and safetensors read it: the names in their order,
//! the dtypes, the shapes, and every byte. One test names each row of the table of file formats.

use crate::support::{described, expected, open};

/// Compares one file with what was written down for it.
fn same(name: &str) {
    let expected = expected();
    let wanted = expected.get(name).unwrap_or_else(|| panic!("nothing is written down for {name}"));
    let checkpoint = open(name);
    let mut found = described(&checkpoint);
    if wanted.get("unordered").is_some() {
        found.sort_by_key(ToString::to_string);
    }
    assert_eq!(&serde_json::Value::from(found), wanted.get("tensors").unwrap(), "{name}");
    assert_eq!(checkpoint.root().path, wanted["root"], "{name}");
    checkpoint.verify_all().unwrap();
}

macro_rules! same {
    ($($test:ident: $($file:literal),+;)*) => { $(#[test] fn $test() { $(same($file);)+ })* };
}

same! {
    every_dtype: "dtypes.pth", "dtypes.safetensors";
    zip_container: "small.pth";
    legacy_stream: "small.legacy.pth";
    tar: "old.tar";
    protocol_1: "protocol1.pth", "protocol1.legacy.pth";
    protocols_2_to_5: "protocol2.pth", "protocol3.pth", "protocol4.pth", "protocol5.pth";
    plain_pickles_of_every_protocol: "plain0.pkl", "plain1.pkl", "plain2.pkl", "plain3.pkl", "plain4.pkl", "plain5.pkl";
    plain_pickles_of_arrays: "arrays2.pkl", "arrays4.pkl", "arrays5.pkl";
    views_of_every_kind: "views.pth", "views.legacy.pth";
    storages_that_are_parts_of_others: "old_views.legacy.pth";
    storages_from_a_gpu: "cuda.pth";
    training_runs: "train.pth", "train.legacy.pth";
    averaged_weights_come_first: "ema.pth";
    teacher_before_student: "dino.pth";
    weights_some_levels_down: "deep.pth";
    unknown_things_next_to_the_weights: "odd.pth";
    a_tensor_by_itself: "tensor.pth";
    a_list_of_tensors: "list.pth";
    parameters_and_buffers: "parameters.pth";
    whole_modules: "module.pt", "module.legacy.pt", "module_inside.pt";
    torchscript: "script.pt", "trace.pt";
    deflated_entries: "deflated.pth";
    zip64: "zip64.pth";
    no_root_folder: "no_folder.pth";
    sizes_behind_the_data: "streamed.pth";
    padding_before_and_behind: "padded.pth", "trailing.pth";
    files_without_checksums: "no_crc.pth";
    big_endian: "big_endian.pth";
    sparse_beside_the_weights: "sparse_beside.pth";
    npz: "arrays.npz", "arrays_compressed.npz", "text.npz";
    shards: "shards", "bins";
}

#[test]
fn nothing_that_was_written_down_goes_unread() {
    let source = include_str!("same_as_torch.rs");
    for name in expected().keys() {
        assert!(source.contains(&format!("\"{name}\"")), "{name} has no test");
    }
}
