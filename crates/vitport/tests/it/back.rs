//! Tests the way back where a folder says what no conversion writes: what decides nothing, which is read, or in numbers that another framework's
//! network has no place for, which are refused.

use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::facts::FactError;
use vitport::options::FactOptions;
use vitport::pipeline::{
    Acceptance, BackRequest, ConvertBackRequest, ConvertError, Request, WriteOptions, convert_back, plan,
    plan_back, write,
};
use vitport::source::Source;
use vitport::verify::{TestImage, VerifyError, page};
use vitport_checkpoint::Limits;

use crate::golden;

/// What the tests fail with.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Convert(#[from] ConvertError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Converts a fixture to a class, and returns the folder.
fn folder(fixture: &str, target: Option<&str>, parent: &Path) -> PathBuf {
    let facts = FactOptions { target: target.map(str::to_owned), ..FactOptions::default() };
    let source = Source::open(&golden::path(fixture), None, &Limits::default()).unwrap();
    let prepared = plan(source, &Request { facts, ..Request::default() }).unwrap();
    let options = WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
    let out = parent.join("folder");
    write(&prepared, &out, options, &|_| {}).unwrap().staging.publish().unwrap();
    out
}

fn request() -> BackRequest {
    BackRequest { framework: "timm".to_owned(), ..BackRequest::default() }
}

/// Changes keys of the folder's config.
fn say(folder: &Path, changes: Value) {
    let path = folder.join("config.json");
    let mut config: Map<String, Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config.extend(changes.as_object().unwrap().clone());
    std::fs::write(path, Value::Object(config).to_string()).unwrap();
}

#[test]
fn a_projection_that_the_class_does_not_have_decides_nothing_and_the_page_names_both_sides() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("clip/tower", Some("CLIPVisionModel"), parent.path());
    say(&folder, json!({ "projection_dim": 768 }));
    let image = TestImage::built_in().unwrap();
    let out = parent.path().join("back");
    let wanted = ConvertBackRequest {
        out: &out,
        force: false,
        fsync: false,
        image: Some(&image),
        acceptance: Acceptance::default(),
        keep_anyway: false,
        run: None,
    };
    let prepared = plan_back(&folder, &request()).unwrap();
    let back = convert_back::<Failed>(prepared, wanted, &|_| {}, &|_| Ok(())).unwrap();
    assert!(back.is_published, "{:?}", back.accepted);
    let report = back.report.unwrap();
    assert_eq!(report.written.as_deref(), Some("timm"));
    let html = page::html(&report, &image);
    assert!(html.contains("<b>the source</b> below is timm's network, which was written"), "{html}");
}

#[test]
fn a_projection_that_is_there_has_its_size() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("clip/tower", None, parent.path());
    say(&folder, json!({ "projection_dim": 768 }));
    assert!(plan_back(&folder, &request()).is_err());
}

#[test]
fn a_position_that_timm_does_not_embed_is_refused_by_name() {
    const POSITIONS: &str = "embeddings.position_embeddings";
    let parent = tempfile::tempdir().unwrap();
    let folder = folder("timm_encoders/dinov2_registers", None, parent.path());
    assert!(plan_back(&folder, &request()).is_ok());
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut data: Vec<(String, TensorView<'_>)> = file.tensors();
    let (_, positions) = data.iter().find(|(name, _)| name == POSITIONS).unwrap();
    let mut changed = positions.data().to_vec();
    changed[..4].copy_from_slice(&1.0_f32.to_le_bytes());
    let changed = TensorView::new(positions.dtype(), positions.shape().to_vec(), &changed).unwrap();
    data.retain(|(name, _)| name != POSITIONS);
    data.push((POSITIONS.to_owned(), changed));
    serialize_to_file(data, Some([("format".to_owned(), "pt".to_owned())].into()), &path).unwrap();
    let error = plan_back(&folder, &request()).err().unwrap();
    let ConvertError::Facts(FactError::NoTarget { tensor, why, .. }) = &error else { panic!("{error}") };
    assert_eq!(tensor.as_deref(), Some(POSITIONS));
    assert!(why.contains("has no place for some of its numbers"), "{why}");
}
