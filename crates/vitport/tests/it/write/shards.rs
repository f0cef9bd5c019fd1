//! Checks that the split into shards and the index are huggingface's, and every file is one that the safetensors library reads.

use std::collections::BTreeMap;
use std::fs;

use safetensors::SafeTensors;
use serde_json::Value;
use vitport::folder::gather;
use vitport::folder::layout::FileLayout;
use vitport::folder::syncing::Syncing;
use vitport::plan::Plan;
use vitport_checkpoint::{Checkpoint, Dtype, Limits};

use super::source::{Source, bytes_of, noise, singles, target};

#[test]
fn tensors_are_split_as_huggingface_splits_them() {
    let golden: Value = serde_json::from_str(include_str!("../../data/write/shards.json")).unwrap();
    for case in golden.as_array().unwrap() {
        let sizes: Vec<u64> =
            case["sizes"].as_array().unwrap().iter().map(|size| size.as_u64().unwrap()).collect();
        let names: Vec<_> = (0..sizes.len()).map(|number| format!("layer.{number}.weight")).collect();
        let mut shapes: Vec<_> = names.iter().map(String::as_str).zip(&sizes).collect();
        shapes.push(("norm.running_mean", &1));
        let values = |count: u64, seed| bytes_of(&singles(usize::try_from(count).unwrap(), seed));
        let entries: Vec<_> = shapes
            .iter()
            .zip(0..)
            .map(|((name, count), seed)| {
                (*name, Dtype::F32, std::slice::from_ref(*count), values(**count, seed))
            })
            .collect();
        let source = Source::new(&entries);
        let targets = entries
            .iter()
            .map(|(name, dtype, shape, _)| target(name, *dtype, shape, vec![source.whole(name)]));
        let plan = Plan { targets: targets.collect(), ..Plan::default() };
        let layout = FileLayout::new(&plan, case["limit"].as_u64().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        gather::write_weights(&source.checkpoint, &layout, folder.path(), &Syncing::new(false), &|_| ())
            .unwrap();

        let files: BTreeMap<&str, Vec<&str>> = layout
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.tensors.iter().map(|tensor| &*tensor.name).collect()))
            .collect();
        assert_eq!(serde_json::to_value(&files).unwrap(), case["files"]);
        let index = fs::read_to_string(folder.path().join("model.safetensors.index.json")).ok();
        assert_eq!(index.as_deref(), case["index"].as_str());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len() + usize::from(index.is_some()));

        // Read back as one checkpoint, the tensors are what they were.
        let opened = Checkpoint::open(folder.path(), &Limits::default()).unwrap();
        for (name, _, _, bytes) in &entries {
            let mut found = vec![0; bytes.len()];
            opened.read(opened.tensor(name).unwrap(), 0, &mut found).unwrap();
            assert_eq!(found, *bytes);
        }
    }
}

#[test]
fn every_tensor_begins_at_a_multiple_of_its_element_s_size() {
    let entries: [(&str, Dtype, &[u64], Vec<u8>); 5] = [
        ("mask", Dtype::Bool, &[3], vec![1; 3]),
        ("weight", Dtype::F32, &[3], bytes_of(&singles(3, 1))),
        ("num_batches_tracked", Dtype::I64, &[], noise(8, 2)),
        ("half", Dtype::F16, &[3], noise(6, 3)),
        ("schräg\u{1b}\"", Dtype::F32, &[1], noise(4, 4)),
    ];
    let source = Source::new(&entries);
    let targets =
        entries.iter().map(|(name, dtype, shape, _)| target(name, *dtype, shape, vec![source.whole(name)]));
    let plan = Plan { targets: targets.collect(), ..Plan::default() };
    let folder = tempfile::tempdir().unwrap();
    let layout = FileLayout::new(&plan, u64::MAX).unwrap();
    gather::write_weights(&source.checkpoint, &layout, folder.path(), &Syncing::new(false), &|_| ()).unwrap();
    let file = fs::read(folder.path().join("model.safetensors")).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&file).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!((header + 8) % 8, 0);
    let read = SafeTensors::deserialize(&file).unwrap();
    for (name, dtype, _, bytes) in &entries {
        assert_eq!(read.tensor(name).unwrap().data(), bytes);
        let offset = metadata.info(name).unwrap().data_offsets.0 as u64;
        assert_eq!(offset % dtype.size(), 0, "{name}");
    }
}

#[test]
fn a_plan_without_tensors_is_still_a_file() {
    let source = Source::new(&[("w", Dtype::F32, &[1], bytes_of(&[1.0]))]);
    let plan = Plan::default();
    let layout = FileLayout::new(&plan, 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    gather::write_weights(&source.checkpoint, &layout, folder.path(), &Syncing::new(false), &|_| ()).unwrap();
    let file = fs::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(SafeTensors::deserialize(&file).unwrap().len(), 0);
}
