//! Tests a CvT whose queries, keys and values have biases in some stages only (`QKV_BIAS` is an entry a stage): it converts
//! exactly, and both networks compute the same.

use std::path::Path;

use safetensors::{SafeTensors, serialize_to_file};
use serde_json::json;
use vitport::options::FactOptions;
use vitport::pipeline::Request;
use vitport::pipeline::verify;
use vitport::verify::{TestImage, Verdict};

use super::convert::convert;
use crate::golden;

#[test]
fn a_cvt_with_biases_in_some_stages_converts_exactly() {
    let bytes = golden::bytes("cvt/microsoft.safetensors");
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    let is_bias =
        |name: &str| name.starts_with("stage1.") && name.contains(".attn.proj_") && name.ends_with(".bias");
    let kept: Vec<_> = whole.iter().filter(|(name, _)| !is_bias(name)).collect();
    assert_eq!(whole.len() - kept.len(), 2 * 3, "two blocks with three biases each");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("some_biases.safetensors");
    serialize_to_file(kept, None, Path::new(&source)).unwrap();

    let facts =
        FactOptions { num_heads: Some(vec![1, 2, 4]), image_size: Some([64, 64]), ..FactOptions::default() };
    let converted = convert(&source, &Request { facts, ..Request::default() });
    let model = &converted.prepared.model;
    assert_eq!(model.config["qkv_bias"], json!([true, false, true]));
    assert!(converted.prepared.plan.is_reversible());
    let biased = |stage: usize| {
        let start = format!("cvt.encoder.stages.{stage}.");
        let is_bias = |name: &str| name.starts_with(&start) && name.ends_with("projection_query.bias");
        converted.prepared.plan.targets.iter().filter(|target| is_bias(&target.name)).count()
    };
    assert_eq!([0, 1, 2].map(biased), [1, 0, 3]);
    let report = verify(&converted.prepared, &converted.folder, &TestImage::built_in().unwrap()).unwrap();
    assert!(report.weights.agree());
    assert_eq!(report.verdict, Verdict::SameWithKnownDeviation, "{:?}", report.reasons);
}
