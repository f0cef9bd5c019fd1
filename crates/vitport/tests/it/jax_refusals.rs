//! Arrays of JAX that timm loads into other networks, or under other names than those of the original releases: each is
//! refused by the array that gives it away, with the prefixes that timm takes off and without them.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use vitport::options::FactOptions;
use vitport::pipeline::{Request, plan};
use vitport::source::Source;
use vitport_checkpoint::{Checkpoint, Limits};

/// Name and shape of an array.
type Array = (String, Vec<usize>);

/// The arrays of an original release.
fn release() -> Vec<Array> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vit/jax_classifier.npz");
    let release = Checkpoint::open(&file, &Limits::default()).unwrap();
    let shape = |shape: &[u64]| shape.iter().map(|&size| size as usize).collect();
    release.tensors().iter().map(|tensor| (tensor.name.to_string(), shape(&tensor.shape))).collect()
}

/// The same in the layout of big_vision, which has positions under another name and counts its layers otherwise.
fn big_vision() -> Vec<Array> {
    let renamed = |name: String| {
        name.replace("Transformer/posembed_input/pos_embedding", "pos_embedding")
            .replace("MultiHeadDotProductAttention_1", "MultiHeadDotProductAttention_0")
            .replace("MlpBlock_3", "MlpBlock_0")
            .replace("LayerNorm_2", "LayerNorm_1")
    };
    release().into_iter().map(|(name, shape)| (renamed(name), shape)).collect()
}

/// What is said of a file with these arrays, for an image of this size.
fn refusal(prefix: &str, arrays: &[Array], size: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arrays.safetensors");
    let bytes = |shape: &[usize]| vec![0; shape.iter().product::<usize>() * 4];
    let stored: Vec<Vec<u8>> = arrays.iter().map(|(_, shape)| bytes(shape)).collect();
    let views = arrays.iter().zip(&stored).map(|((name, shape), bytes)| {
        (format!("{prefix}{name}"), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, None, &file).unwrap();
    let facts = FactOptions {
        image_size: Some([size; 2]),
        mean: Some([0.5; 3]),
        std: Some([0.5; 3]),
        ..FactOptions::default()
    };
    let source = Source::open(&file, None, &Limits::default()).unwrap();
    match plan(source, &Request { facts, ..Request::default() }) {
        Ok(prepared) => panic!("taken for {}", prepared.model.config["architectures"][0]),
        Err(error) => error.to_string(),
    }
}

fn refused_under_every_prefix(arrays: &[Array], says: &[&str]) {
    for prefix in ["", "opt/target/", "params/", "params/img/"] {
        let error = refusal(prefix, arrays, 16);
        for word in says {
            assert!(error.contains(word), "{prefix}: {error}");
        }
    }
}

#[test]
fn a_hybrid_with_a_resnet_stem() {
    let mut arrays = release();
    arrays.push(("conv_root/kernel".into(), vec![7, 7, 3, 8]));
    refused_under_every_prefix(&arrays, &["conv_root/kernel", "hybrid", "vit_hybrid"]);
}

#[test]
fn attention_pooling() {
    let mut arrays = big_vision();
    arrays.retain(|(name, _)| name != "cls");
    arrays.push(("MAPHead_0/probe".into(), vec![1, 1, 16]));
    refused_under_every_prefix(&arrays, &["MAPHead_0/probe", "attention pooling", "SiglipVisionModel"]);
}

#[test]
fn the_image_tower_of_siglip() {
    let mut arrays = big_vision();
    arrays.retain(|(name, _)| name != "cls");
    arrays.push(("MAPHead_0/probe".into(), vec![1, 1, 16]));
    for (name, _) in &mut arrays {
        name.insert_str(0, "img/");
    }
    arrays.extend([("txt/Embed_0/embedding".into(), vec![5, 3]), ("t".into(), vec![1])]);
    let error = refusal("params/", &arrays, 16);
    assert!(error.contains("MAPHead_0/probe") && error.contains("SiglipVisionModel"), "{error}");
}

#[test]
fn blocks_stacked_in_one_array() {
    let mut arrays = big_vision();
    arrays.retain(|(name, _)| !name.contains("encoderblock_1"));
    for (name, shape) in &mut arrays {
        if name.contains("encoderblock_0") {
            *name = name.replace("encoderblock_0", "encoderblock");
            shape.insert(0, 2);
        }
    }
    refused_under_every_prefix(&arrays, &["Transformer/encoderblock/", "stacked", "load it in timm"]);
}

#[test]
fn the_layout_of_big_vision() {
    refused_under_every_prefix(&big_vision(), &["pos_embedding", "big_vision", "load it in timm"]);
}

#[test]
fn a_network_without_a_class_token() {
    let mut arrays = release();
    arrays.retain(|(name, _)| name != "cls");
    // Its positions have one for the class token all the same.
    refused_under_every_prefix(&arrays, &["17 positions are not a square of patches"]);
}

#[test]
fn positions_of_another_image_size() {
    let error = refusal("opt/target/", &release(), 32);
    assert!(error.contains("--image-size 32x32") && error.contains("16x16 pixels"), "{error}");
}
