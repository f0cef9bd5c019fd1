//! Tests timm's CLIP image towers: both definitions against their frameworks' own hidden states, and the conversion.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Map, Value, json};
use vitport::catalogue::{self, Becomes};
use vitport::facts::FactError;
use vitport::frameworks::Definition;
use vitport::frameworks::timm::vision_transformer;
use vitport::frameworks::transformers::clip;
use vitport::mapping::Level;
use vitport::model::Prepared;
use vitport::nn::{Matrix, MemoryWeights, Network, Pixels};
use vitport::options::FactOptions;
use vitport::pipeline::verify;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, write};
use vitport::source::Source;
use vitport::verify::{Report, TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::networks::timm_vit;

/// Shape and values by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip").join(name)
}

fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let values =
        |data: &[u8]| data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), values(view.data())))).collect()
}

fn save(path: &Path, tensors: &Tensors) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let bytes: Vec<_> = tensors.iter().map(|(name, (shape, values))| (name, shape, bytes(values))).collect();
    let view = |shape: &Vec<usize>, data| TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
    let views: Vec<_> = bytes.iter().map(|(name, shape, data)| (*name, view(shape, data))).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    std::fs::write(path, safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
}

fn json(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every expected hidden state and output is there and agrees to 1e-5 of its size; returns how many there are.
fn compare(network: &Network, weights: &str, expected: &str) -> usize {
    let expected = tensors(&path(expected));
    let mut memory = MemoryWeights::new();
    for (name, (shape, values)) in tensors(&path(weights)) {
        memory.insert(name, &shape, values).unwrap();
    }
    let (shape, values) = &expected["pixels"];
    let pixels = Pixels::new(shape[1], shape[2], values.clone()).unwrap();
    let mut places: Vec<(String, Matrix)> = Vec::new();
    let outputs = network.forward(&pixels, &memory, &mut places).unwrap();
    let places = places.iter().map(|(name, hidden)| (name.as_str(), hidden.values()));
    let found: HashMap<&str, &[f32]> =
        places.chain(outputs.iter().map(|output| (output.name, output.values.as_slice()))).collect();
    let all = expected.iter().filter(|(name, _)| *name != "pixels");
    for (name, (_, wanted)) in all.clone() {
        let size = (wanted.iter().map(|v| v * v).sum::<f32>() / wanted.len() as f32).sqrt();
        let pairs = found[name.as_str()].iter().zip(wanted);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size;
        assert_eq!(found[name.as_str()].len(), wanted.len(), "{name}");
        assert!(worst < 1e-5, "{name} is off by {worst:e}");
    }
    all.count()
}

#[test]
fn transformers_tower_is_transformers_own() {
    let network = clip::DEFINITION.build(&json(&path("transformers.json"))).unwrap();
    assert_eq!(compare(&network, "transformers.safetensors", "transformers.expected.safetensors"), 5);
}

#[test]
fn timms_tower_is_timms_own() {
    let config = timm_vit(json!({
        "img_size": [32, 32], "patch_size": [8, 8], "num_classes": 12, "embed_dim": 32, "num_heads": 4, "mlp_dim": 128,
        "pre_norm": true, "act_layer": "quick_gelu", "norm_eps": 1e-5,
    }));
    let network = vision_transformer::DEFINITION.build(&config).unwrap();
    assert_eq!(compare(&network, "tower/model.safetensors", "tower.expected.safetensors"), 5);
}

fn prepared(source: &Path, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let source = Source::open(source, None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() })
}

const WRITE: WriteOptions =
    WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };

/// A converted folder, which is there as long as the first of the pair.
fn converted(prepared: &Prepared, name: &str) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join(name);
    write(prepared, &out, WRITE, &|_| {}).unwrap().staging.publish().unwrap();
    (parent, out)
}

fn judged(prepared: &Prepared, folder: &Path) -> Report {
    verify(prepared, folder, &TestImage::built_in().unwrap()).unwrap()
}

#[test]
fn a_tower_is_the_same_with_its_projection_and_without() {
    for (without_head, class, tensors) in
        [(false, "CLIPVisionModelWithProjection", 40), (true, "CLIPVisionModel", 39)]
    {
        let prepared =
            prepared(&path("tower"), FactOptions { without_head, ..FactOptions::default() }).unwrap();
        assert_eq!(prepared.plan.targets.len(), tensors);
        let (_parent, folder) = converted(&prepared, "out");
        let config = json(&folder.join("config.json"));
        assert_eq!(config["architectures"], json!([class]));
        assert_eq!(config.get("id2label"), None);
        let report = judged(&prepared, &folder);
        assert_eq!(report.verdict, Verdict::Same, "{:?}", report.reasons);
        assert!(report.source_top5.is_empty());
    }
    let prepared = prepared(&path("tower"), FactOptions::default()).unwrap();
    let (_parent, folder) = converted(&prepared, "out");
    assert_eq!(tensors(&folder.join("model.safetensors")), tensors(&path("transformers.safetensors")));
}

/// The tower with other tensors.
fn altered(alter: impl Fn(&mut Tensors)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = tensors(&path("tower/model.safetensors"));
    alter(&mut tensors);
    save(&folder.path().join("model.safetensors"), &tensors);
    std::fs::copy(path("tower/config.json"), folder.path().join("config.json")).unwrap();
    folder
}

fn refusal(folder: &Path) -> String {
    match prepared(folder, FactOptions::default()).err().expect("a refusal") {
        ConvertError::Facts(error @ FactError::NoTarget { .. }) => error.to_string(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_the_class_cannot_hold_is_refused() {
    let with_fc_norm = altered(|tensors| {
        let norm = tensors["norm.weight"].clone();
        tensors.insert("fc_norm.weight".to_owned(), norm);
    });
    let sentence = refusal(with_fc_norm.path());
    assert!(sentence.contains("a CLIP image tower with `fc_norm=True`"), "{sentence}");
}

#[test]
fn a_classifier_with_a_bias_stays_outside() {
    let with_bias = altered(|tensors| tensors.get_mut("head.bias").unwrap().1[3] = 0.5);
    let model = prepared(with_bias.path(), FactOptions::default()).unwrap().model;
    let target = model.target_class().unwrap();
    assert_eq!((target.class.as_str(), target.level), ("CLIPVisionModel", Level::Features));
    assert!(target.outside.unwrap().what.contains("classifier"));
    assert_eq!(model.targets.len(), 1);
    let wanted = |class: &str| FactOptions { target: Some(class.to_owned()), ..FactOptions::default() };
    let refused =
        prepared(with_bias.path(), wanted("CLIPVisionModelWithProjection")).err().unwrap().to_string();
    assert!(refused.contains("the bias of its head reaches 5e-1"), "{refused}");
    let headless = FactOptions { without_head: true, ..FactOptions::default() };
    let whole = prepared(with_bias.path(), headless).unwrap().model.target_class().unwrap();
    assert_eq!((whole.class.as_str(), whole.level), ("CLIPVisionModel", Level::Whole));
}

#[test]
fn a_target_is_chosen_among_those_that_hold_the_model() {
    let tower = path("tower");
    let wanted = |class: &str| FactOptions { target: Some(class.to_owned()), ..FactOptions::default() };
    let model = prepared(&tower, FactOptions::default()).unwrap().model;
    let classes: Vec<&str> = model.targets.iter().map(|target| target.class.as_str()).collect();
    assert_eq!(classes, ["CLIPVisionModelWithProjection", "CLIPVisionModel"]);
    let model = prepared(&tower, wanted("CLIPVisionModel")).unwrap().model;
    assert_eq!(model.config["architectures"], json!(["CLIPVisionModel"]));
    let refused = |class: &str| prepared(&tower, wanted(class)).err().unwrap().to_string();
    assert!(refused("ViTModel").contains("a CLIP image tower"), "{}", refused("ViTModel"));
    assert!(refused("BertModel").contains("can become"), "{}", refused("BertModel"));
}

#[test]
fn a_bare_tower_is_asked_for_what_its_weights_do_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join("model.safetensors");
    std::fs::copy(path("tower/model.safetensors"), &bare).unwrap();
    match prepared(&bare, FactOptions::default()).err().expect("questions") {
        ConvertError::Facts(FactError::Questions { open, .. }) => {
            let facts: Vec<&str> = open.iter().map(|question| question.fact).collect();
            assert!(facts.contains(&"act_layer") && facts.contains(&"norm_eps"), "{facts:?}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn fifty_eight_tags_become_towers() {
    let towers = catalogue::models()
        .filter(|model| model.becomes == Becomes::Class("CLIPVisionModelWithProjection".to_owned()))
        .inspect(|model| assert!(model.name.contains("_clip_"), "{}", model.name));
    assert_eq!(towers.count(), 58);
}
