//! Tests `.npz` files of the original JAX releases: they become what timm's own loader makes of them, bit by bit; the network
//! that is verified computes timm's hidden states from the arrays as they lie; and what timm leaves out is refused by name.

use std::path::PathBuf;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use vitport::folder::layout::DEFAULT_SHARD_SIZE;
use vitport::image::{CropMode, Filter};
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport::verify::SourceWeights;
use vitport_checkpoint::{Checkpoint, Limits};

use crate::golden::{compare, pixels, tensors};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/vit").join(name)
}

fn options(size: [u64; 2]) -> FactOptions {
    FactOptions {
        image_size: Some(size),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        crop_pct: Some(1.0),
        crop_mode: (size[0] != size[1]).then_some(CropMode::Squash),
        interpolation: Some(Filter::Bicubic),
        ..FactOptions::default()
    }
}

fn try_prepare(file: &str, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let source = Source::open(&data(file), None, &Limits::default())?;
    plan(source, &Request { facts, ..Request::default() })
}

/// The tensors that a conversion writes: name, shape, sha256.
fn written(prepared: &Prepared) -> Vec<(String, Vec<u64>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let options =
        WriteOptions { max_shard_size: DEFAULT_SHARD_SIZE, force: false, fsync: false, exact_code: false };
    let written = write(prepared, &folder.path().join("out"), options, &|_| {}).unwrap();
    let file = written.staging.path().join("model.safetensors");
    let checkpoint = Checkpoint::open(&file, &Limits::default()).unwrap();
    let row = |t: &std::sync::Arc<vitport_checkpoint::Tensor>| {
        (t.name.to_string(), t.shape.to_vec(), checkpoint.sha256_of_tensor(t).unwrap())
    };
    let mut rows: Vec<_> = checkpoint.tensors().iter().map(row).collect();
    rows.sort();
    rows
}

const FIXTURES: [(&str, [u64; 2], u64); 4] = [
    ("jax_classifier", [16, 16], 2),
    ("jax_oblong", [16, 24], 3),
    ("jax_base", [16, 16], 2),
    ("jax_opt_target", [16, 16], 2),
];

#[test]
fn the_folder_holds_what_timms_loader_makes_of_the_file() {
    for (name, size, heads) in FIXTURES {
        let of_jax = try_prepare(&format!("{name}.npz"), options(size)).unwrap();
        let of_timm = try_prepare(
            &format!("{name}.safetensors"),
            FactOptions { num_heads: Some(vec![heads]), ..options(size) },
        )
        .unwrap();
        assert_eq!(written(&of_jax), written(&of_timm), "{name}");
        assert_eq!(of_jax.model.config, of_timm.model.config, "{name}");
        assert!(of_jax.plan.is_reversible());
    }
}

#[test]
fn the_network_computes_timms_hidden_states_from_the_arrays() {
    for (name, size, _) in FIXTURES {
        let prepared = try_prepare(&format!("{name}.npz"), options(size)).unwrap();
        let weights = SourceWeights::new(&prepared.source.checkpoint, &prepared.model.tensors);
        let expected = tensors(&format!("vit/{name}.expected"));
        let compared = compare(&expected, &prepared.model.network, &pixels(&expected), &weights);
        assert!(compared >= 5, "{name}: {compared}");
    }
}

#[test]
fn heads_are_read_off_an_axis() {
    let prepared = try_prepare("jax_oblong.npz", options([16, 24])).unwrap();
    assert_eq!(prepared.model.config["num_attention_heads"], 3);
    let wrong = FactOptions { num_heads: Some(vec![4]), ..options([16, 24]) };
    let error = try_prepare("jax_oblong.npz", wrong).err().unwrap().to_string();
    assert!(error.contains("--num-heads 4") && error.contains("num_heads is 3"), "{error}");
}

#[test]
fn a_representation_layer_is_refused_by_name_and_left_out_on_request() {
    let error = try_prepare("jax_pre_logits.npz", options([16, 16])).err().unwrap().to_string();
    assert!(error.contains("pre_logits/") && error.contains("--no-head"), "{error}");
    let below = FactOptions { without_head: true, ..options([16, 16]) };
    let prepared = try_prepare("jax_pre_logits.npz", below).unwrap();
    assert_eq!(prepared.model.config["architectures"][0], "ViTModel");
    assert_eq!(prepared.plan.dropped.len(), 4);
}

#[test]
fn what_lies_next_to_the_network_s_arrays_is_left_out_as_timm_leaves_it_out() {
    let alone = try_prepare("jax_opt_target.npz", options([16, 16])).unwrap();
    let checkpoint = &alone.source.checkpoint;
    let mut arrays: Vec<_> = checkpoint
        .tensors()
        .iter()
        .map(|tensor| {
            let mut bytes = vec![0; tensor.bytes() as usize];
            checkpoint.read(tensor, 0, &mut bytes).unwrap();
            let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
            (tensor.name.to_string(), Dtype::F32, shape, bytes)
        })
        .collect();
    arrays.push(("opt/state/step".to_owned(), Dtype::I64, vec![], vec![1; 8]));
    let moment = "opt/state/param_states/embedding/kernel/grad_ema";
    arrays.push((moment.to_owned(), Dtype::F32, vec![2, 2], vec![1; 16]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arrays.safetensors");
    let views = arrays
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &file).unwrap();

    let with_others = try_prepare(file.to_str().unwrap(), options([16, 16])).unwrap();
    assert_eq!(written(&with_others), written(&alone));
    let dropped: Vec<(&str, usize)> =
        with_others.plan.dropped.iter().map(|dropped| (dropped.name.as_str(), dropped.tensors)).collect();
    assert_eq!(dropped, [("opt/state/*", 2)]);
    assert!(with_others.plan.dropped.iter().all(|dropped| dropped.reason.contains("opt/target/")));
}
