//! Tests timm's Eva: its definition compared with what timm computed, the conversion of whole folders, and what is refused.

use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};
use vitport::catalogue;
use vitport::facts::FactError;
use vitport::model::Prepared;
use vitport::options::FactOptions;
use vitport::pipeline::{ConvertError, Request, WriteOptions, plan, verify, write};
use vitport::source::Source;
use vitport::verify::{SourceWeights, TestImage, Verdict};
use vitport_checkpoint::Limits;

use crate::golden::{self, compare, pixels, tensors, weights};

/// Networks, with the classes that they become with a head and without, and how many places are compared.
const NETWORKS: [(&str, &str, &str, usize); 4] = [
    ("dinov3", "DINOv3ViTModel", "DINOv3ViTModel", 5),
    ("gated", "DINOv3ViTModel", "DINOv3ViTModel", 5),
    ("eva01", "BeitForImageClassification", "BeitModel", 5),
    ("eva01_clip", "ViTForImageClassification", "ViTModel", 6),
];

fn data(name: &str) -> PathBuf {
    golden::path(&format!("eva/{name}"))
}

fn open(path: &Path, facts: FactOptions) -> Result<Prepared, ConvertError> {
    let source = Source::open(path, None, &Limits::default()).unwrap();
    plan(source, &Request { facts, ..Request::default() })
}

fn document(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn timms_definition_computes_what_timm_does() {
    for (name, _, _, places) in NETWORKS {
        let prepared = open(&data(name), FactOptions::default()).unwrap();
        let expected = tensors(&format!("eva/{name}.expected"));
        let weights = weights(&tensors(&format!("eva/{name}/model")));
        let compared = compare(&expected, &prepared.model.network, &pixels(&expected), &weights);
        assert_eq!(compared, places, "{name}");
    }
}

#[test]
fn folders_are_the_same_model() {
    for (name, class, bare, _) in NETWORKS {
        for (without_head, class) in [(false, class), (true, bare)] {
            let prepared = open(&data(name), FactOptions { without_head, ..FactOptions::default() }).unwrap();
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("out");
            let options =
                WriteOptions { max_shard_size: u64::MAX, force: false, fsync: false, exact_code: false };
            write(&prepared, &folder, options, &|_| {}).unwrap().staging.publish().unwrap();
            let config = document(&folder.join("config.json"));
            assert_eq!(config["architectures"], json!([class]), "{name}");
            let report = verify(&prepared, &folder, &TestImage::built_in().unwrap()).unwrap();
            assert_eq!(report.verdict, Verdict::Same, "{name}: {:?}", report.reasons);
        }
    }
}

#[test]
fn every_tag_of_dinov3_and_eva_01_converts() {
    let models = catalogue::models().filter(|model| model.module == Some("eva"));
    let classes: Vec<_> = models.filter_map(|model| model.becomes.class().map(str::to_owned)).collect();
    let count = |class: &str| classes.iter().filter(|found| *found == class).count();
    let counts = ["DINOv3ViTModel", "BeitForImageClassification", "ViTForImageClassification"].map(count);
    assert_eq!((counts, classes.len()), ([21, 4, 2], 27));
}

/// Opens a fixture with other `model_args`, or with another architecture under the key `architecture`.
fn changed(name: &str, changes: Value) -> Result<Prepared, ConvertError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(data(name).join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let mut config = document(&data(name).join("config.json"));
    for (key, value) in changes.as_object().unwrap() {
        let place =
            if key == "architecture" { &mut config } else { config["model_args"].as_object_mut().unwrap() };
        place.insert(key.clone(), value.clone());
    }
    std::fs::write(folder.path().join("config.json"), Value::Object(config).to_string()).unwrap();
    open(folder.path(), FactOptions::default())
}

#[test]
fn other_rotary_positions_are_refused() {
    for (change, words) in [
        (json!({ "rope_type": "cat" }), "rotary positions of the kind `cat`"),
        (json!({ "rope_type": "mixed" }), "rotary positions of the kind `mixed`"),
        (json!({ "rope_rotate_half": false }), "rotates neighbouring numbers"),
        (json!({ "rope_grid_indexing": "xy" }), "horizontal positions come first"),
        (json!({ "rope_grid_offset": 0.5 }), "moved by 0.5"),
        (json!({ "use_rot_pos_emb": false }), "an EVA without positions"),
        (json!({ "use_post_norm": true }), "norms stand after its branches"),
        (json!({ "global_pool": "max" }), "global_pool `max`"),
        (json!({ "attn_type": "rope" }), "AttentionRope"),
    ] {
        let said = changed("dinov3", change).err().expect(words);
        assert!(matches!(said, ConvertError::Facts(FactError::NoTarget { .. })), "{words}: {said}");
        assert!(said.to_string().contains(words), "{words}: {said}");
    }
    for (change, words) in [
        (json!({ "use_rot_pos_emb": true }), "an EVA with rotary positions"),
        (json!({ "use_post_norm": true }), "norms stand after its branches"),
        (json!({ "global_pool": "token" }), "global_pool `token`"),
    ] {
        let said = changed("eva01", change).err().expect(words).to_string();
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// timm's gates have SiLU, whatever the architecture has in MLPs without one.
#[test]
fn a_gate_has_an_activation_of_its_own() {
    let gated = json!({ "swiglu_mlp": true, "swiglu_align_to": 8, "mlp_ratio": 2.67, "qkv_bias": false });
    let mut changes = gated.as_object().unwrap().clone();
    changes.insert("architecture".to_owned(), json!("vit_small_patch16_dinov3"));
    let prepared = changed("gated", Value::Object(changes)).unwrap();
    assert_eq!(prepared.model.config["hidden_act"], json!("silu"));
}

#[test]
fn the_base_of_the_angles_comes_to_the_config() {
    let base = |prepared: &Prepared| prepared.model.config["rope_theta"].clone();
    assert_eq!(base(&open(&data("dinov3"), FactOptions::default()).unwrap()), json!(100.0));
    assert_eq!(base(&open(&data("gated"), FactOptions::default()).unwrap()), json!(50.0));
    assert_eq!(base(&changed("dinov3", json!({ "rope_temperature": 20 })).unwrap()), json!(20.0));
}

/// What a file of Meta's does not say.
fn stated() -> FactOptions {
    FactOptions {
        num_heads: Some(vec![3]),
        image_size: Some([20, 20]),
        like: Some("vit_small_patch16_dinov3.lvd1689m".to_owned()),
        ..FactOptions::default()
    }
}

#[test]
fn a_file_of_metas_is_the_model_that_timm_has() {
    let meta = open(&data("dinov3_of_meta.pth"), stated()).unwrap();
    let timm = open(&data("dinov3"), FactOptions::default()).unwrap();
    assert_eq!(meta.model.config, timm.model.config);
    let expected = tensors("eva/dinov3.expected");
    let weights = SourceWeights::new(&meta.source.checkpoint, &meta.model.tensors);
    assert_eq!(compare(&expected, &meta.model.network, &pixels(&expected), &weights), 5);
    let dropped: Vec<_> = meta.plan.dropped.iter().map(|part| part.name.as_str()).collect();
    assert!(dropped.contains(&"rope_embed.periods"), "{dropped:?}");
}

#[test]
fn a_bias_of_keys_that_no_mask_takes_away_is_refused() {
    let source = Source::open(&data("dinov3_of_meta.pth"), None, &Limits::default()).unwrap();
    let read = |name: &str| {
        let tensor = source.checkpoint.tensors().iter().find(|tensor| *tensor.name == *name).unwrap();
        let mut bytes = vec![0; tensor.bytes() as usize];
        source.checkpoint.read(tensor, 0, &mut bytes).unwrap();
        (tensor.shape.iter().map(|&size| size as usize).collect::<Vec<_>>(), bytes)
    };
    let names: Vec<String> =
        source.checkpoint.tensors().iter().map(|tensor| tensor.name.to_string()).collect();
    let is_kept = |name: &&String| !name.contains("bias_mask") && *name != "rope_embed.periods";
    let kept: Vec<_> = names.iter().filter(is_kept).map(|name| (name, read(name))).collect();
    let views = kept.iter().map(|(name, (shape, bytes))| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("unmasked.safetensors");
    serialize_to_file(views, None, &file).unwrap();
    let said = open(&file, stated()).err().expect("it is refused").to_string();
    assert!(said.contains("biases of keys (as large as 5e-1)"), "{said}");
}

#[test]
fn a_bare_file_is_asked_for_its_heads() {
    let error = open(&data("dinov3").join("model.safetensors"), FactOptions::default()).err();
    assert!(error.is_none(), "the config next to it is read");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    std::fs::copy(data("dinov3").join("model.safetensors"), &file).unwrap();
    match open(&file, FactOptions::default()).err().unwrap() {
        ConvertError::Facts(FactError::Questions { open, .. }) => {
            let asked: Vec<_> = open.iter().map(|question| question.fact).collect();
            assert!(asked.contains(&"num_heads") && asked.contains(&"img_size"), "{asked:?}");
        }
        other => panic!("{other}"),
    }
}
