//! Tests timm's BEiT: its definition compared with what timm computed, the conversion of whole folders, and what is
//! refused.

use std::path::{Path, PathBuf};

use safetensors::{SafeTensors, serialize_to_file, tensor::TensorView};
use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::facts::FactError;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{Report, TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::golden::{self, compare, pixels, tensors, weights};

fn data(name: &str) -> PathBuf {
    golden::path(&format!("beit/{name}"))
}

fn open(path: &Path, without_head: bool) -> Result<Prepared, ConvertError> {
    let source = Source::open(path, None, &Limits::default()).unwrap();
    let facts = FactOptions { without_head, ..FactOptions::default() };
    plan(source, &Request { facts, ..Request::default() })
}

fn document(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn timms_definition_computes_what_timm_does() {
    for (name, places) in [("plain", 5), ("shared", 5)] {
        let prepared = open(&data(name), false).unwrap();
        let expected = tensors(&format!("beit/{name}.expected"));
        let weights = weights(&tensors(&format!("beit/{name}/model")));
        assert_eq!(
            compare(&expected, &prepared.model.network, &pixels(&expected), &weights),
            places,
            "{name}"
        );
    }
}

/// A converted folder, which is there as long as the first of the pair.
fn converted(prepared: &Prepared) -> (tempfile::TempDir, PathBuf) {
    const OPTIONS: WriteOptions =
        WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("out");
    write(prepared, &out, OPTIONS, &|_| {}).unwrap().staging.publish().unwrap();
    (parent, out)
}

fn judged(prepared: &Prepared, folder: &Path) -> Report {
    verify(prepared, folder, &TestImage::built_in().unwrap()).unwrap()
}

#[test]
fn folders_are_the_same_model() {
    for (name, without_head, class, scale) in [
        ("plain", false, "BeitForImageClassification", 0.1),
        ("plain", true, "BeitModel", 0.1),
        ("shared", false, "BeitModel", 0.0),
    ] {
        let prepared = open(&data(name), without_head).unwrap();
        let (_parent, folder) = converted(&prepared);
        let config = document(&folder.join("config.json"));
        assert_eq!(config["architectures"], json!([class]));
        assert_eq!(config["layer_scale_init_value"], json!(scale));
        let report = judged(&prepared, &folder);
        assert_eq!(report.verdict, Verdict::Same, "{name}: {:?}", report.reasons);
    }
}

#[test]
fn every_tag_converts() {
    let models = catalogue::models().filter(|model| model.module == Some("beit"));
    let classes: Vec<_> = models.map(|model| model.becomes.class().map(str::to_owned)).collect();
    assert_eq!(classes.len(), 13);
    assert!(
        classes.iter().all(|class| class.as_deref() == Some("BeitForImageClassification")),
        "{classes:?}"
    );
}

/// Changes the tensors of a safetensors file: each has its name and its values, and is left out without a name.
fn rewrite(file: &Path, mut change: impl FnMut(&mut String, &mut Vec<f32>)) {
    let bytes = std::fs::read(file).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let mut changed = Vec::new();
    for (name, view) in all.iter().filter(|(_, view)| view.dtype() == safetensors::Dtype::F32) {
        let mut name = name.to_owned();
        let mut values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        change(&mut name, &mut values);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        changed.push((name, view.shape().to_vec(), bytes));
    }
    let views = changed.iter().filter(|(name, ..)| !name.is_empty()).map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, Some([("format".to_owned(), "pt".to_owned())].into()), file).unwrap();
}

#[test]
fn each_refusal_names_its_structure() {
    type Change = fn(&mut Map<String, Value>);
    let cases: [(Change, &str); 4] = [
        (
            |a| drop(a.insert("global_pool".to_owned(), json!("token"))),
            "global_pool `token` and its last norm",
        ),
        (|a| drop(a.insert("global_pool".to_owned(), json!("max"))), "global_pool `max`"),
        (|a| drop(a.insert("swiglu_mlp".to_owned(), json!(true))), "gated MLPs"),
        (|a| drop(a.insert("scale_mlp".to_owned(), json!(true))), "norms inside its MLPs"),
    ];
    for (change, words) in cases {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(data("plain").join("model.safetensors"), folder.path().join("model.safetensors"))
            .unwrap();
        let mut config = document(&data("plain").join("config.json"));
        change(config["model_args"].as_object_mut().unwrap());
        std::fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).unwrap();
        let said = open(folder.path(), false).err().expect(words).to_string();
        assert!(said.contains(words), "{words}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    std::fs::copy(data("plain").join("model.safetensors"), &file).unwrap();
    std::fs::copy(data("plain").join("config.json"), folder.path().join("config.json")).unwrap();
    rewrite(&file, |name, _| {
        if name.ends_with("q_bias") || name.ends_with("v_bias") {
            name.clear();
        }
    });
    let said = open(folder.path(), false).err().expect("it is refused").to_string();
    assert!(said.contains("biases of queries and values"), "{said}");
}

/// timm norms all tokens then, and the architecture's norm after the pooling says nothing.
#[test]
fn a_beit_that_reads_its_class_token_converts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    std::fs::copy(data("plain").join("model.safetensors"), &file).unwrap();
    rewrite(&file, |name, _| *name = name.replace("fc_norm.", "norm."));
    let mut config = document(&data("plain").join("config.json"));
    config["global_pool"] = json!("token");
    config["model_args"]["global_pool"] = json!("token");
    std::fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    let prepared = open(folder.path(), false).unwrap();
    let (_parent, folder) = converted(&prepared);
    let config = document(&folder.join("config.json"));
    assert_eq!(config["architectures"], json!(["BeitForImageClassification"]));
    assert_eq!(config["use_mean_pooling"], json!(false));
    assert_eq!(judged(&prepared, &folder).verdict, Verdict::Same);
}

#[test]
fn another_size_than_the_tables_show_is_a_contradiction() {
    let source = Source::open(&data("plain"), None, &Limits::default()).unwrap();
    let facts = FactOptions { image_size: Some([40, 40]), ..FactOptions::default() };
    let error = plan(source, &Request { facts, ..Request::default() }).err().unwrap();
    assert!(matches!(error, ConvertError::Facts(FactError::Contradiction(_))), "{error}");
    assert!(error.to_string().contains("20x20"), "{error}");
}
